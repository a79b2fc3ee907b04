import { type ChildProcess, spawn } from 'node:child_process';

/** Reads until its other end is gone, which the system closes with the process that holds it, whatever ended that. */
const WATCH = 'read -r _; kill -9 "$1" 2>/dev/null; test -z "$2" || rm -rf "$2"';

/**
 * Ends `child` when this process ends without having ended it: its hooks ran out of time, or it was killed. `folder`: what the child works in
 * and what goes with it.
 */
export function leash(child: ChildProcess, folder = ''): void {
  const watcher = spawn('sh', ['-c', WATCH, 'sh', String(child.pid), folder], { stdio: ['pipe', 'ignore', 'ignore'] });
  // killed together with the child, its pipe may break
  watcher.stdin.on('error', () => {});
  child.once('exit', () => watcher.kill('SIGKILL'));
}
