import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Builds docker/Dockerfile of a folder (the clone's own) as `tag`, by the engine's own builder: the one that is there everywhere. testcontainers'
 * builder has no `--network host`, which a machine without a container registry's network needs.
 */
export async function build(tag: string, { folder = ROOT, label }: { folder?: string; label?: string } = {}): Promise<void> {
  const more = label === undefined ? [] : ['--label', label];
  await run('docker', ['build', '--network', 'host', '-f', 'docker/Dockerfile', '-t', tag, ...more, '.'], {
    cwd: folder,
    env: { ...process.env, DOCKER_BUILDKIT: '0' },
    maxBuffer: 50_000_000,
  });
}
