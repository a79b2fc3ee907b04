// What somebody waits for who tries the project as README.md says: a clone, `npm start`, and its first run is green.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { ifInterrupted } from './interrupted.ts';
import { median, type Row } from './rows.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Seconds (DESIGN §10). */
const BAR_S = 90;
/** Milliseconds after which a command is ended, and what it has yet to do for its own ending. */
const MOST_MS = 600_000;
const ENDING_MS = 60_000;
/** Characters of what a command said last, for who reads why it failed. */
const LAST_WORDS = 2_000;

/**
 * From `git clone` of what is committed here to the end of the first run, the local cloud stopped. npm's cache is as the machine has it, and warm where
 * the packages of this folder were installed there. Throws when the run does not succeed.
 */
export async function freshCloneRow(deps: { rounds: number; note: (line: string) => void }): Promise<Row> {
  const seconds: number[] = [];
  for (let round = 1; round <= deps.rounds; round += 1) {
    deps.note(`a fresh clone and its first run, round ${round} of ${deps.rounds} …`);
    seconds.push(await cloneAndRun());
  }
  return { name: 'fresh clone → first green run, warm npm cache', value: median(seconds), unit: 's', bar: { most: BAR_S } };
}

async function cloneAndRun(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'af-bench-clone-'));
  const removed = ifInterrupted(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  try {
    const began = performance.now();
    await run('git', ['clone', '--quiet', ROOT, folder], folder);
    await run('npm', ['start', '--', '--once'], folder);
    return (performance.now() - began) / 1000;
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    removed();
  }
}

/** Runs a command as from a terminal to its end. It, and what it started and did not detach, ends with the bench. */
async function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  const child = spawn(command, args, { cwd, env: terminalEnv(), stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const ended = ifInterrupted(() => endGroup(child, 'SIGKILL'));
  const late = setTimeout(() => endGroup(child, 'SIGTERM'), MOST_MS);
  const tooLate = setTimeout(() => endGroup(child, 'SIGKILL'), MOST_MS + ENDING_MS);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-LAST_WORDS);
    });
  }
  try {
    const [code, signal] = await once(child, 'close');
    if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code ?? signal}:\n${said}`);
  } finally {
    clearTimeout(late);
    clearTimeout(tooLate);
    ended();
  }
}

function endGroup({ pid }: ChildProcessByStdio<null, Readable, Readable>, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // it has ended
  }
}

/** This environment without what `npm run bench` has put there: a user's terminal has neither npm's variables nor this folder's programs. */
function terminalEnv(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD$|NODE$|NODE_COMPILE_CACHE$)/.test(name));
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => !/node_modules[\\/]\.bin$|node-gyp-bin$/.test(folder));
  return { ...Object.fromEntries(kept), PATH: path.join(delimiter) };
}
