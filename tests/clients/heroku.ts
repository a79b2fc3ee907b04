// The real heroku CLI: installed once from its own lock, run with an environment in which it talks to nobody but the local platform.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../dynos/platform.ts';

const folder = fileURLToPath(new URL('heroku-cli', import.meta.url));
const program = join(folder, 'node_modules', 'heroku', 'bin', 'run.js');
/** Where the `heroku` command is. */
const herokuBin = join(folder, 'node_modules', '.bin');

/** Milliseconds that one command may take on a busy machine. */
const COMMAND_MS = 120_000;

/** Installs the CLI unless it already stands for exactly this lock. */
export function installHeroku(): void {
  const lock = createHash('sha256')
    .update(readFileSync(join(folder, 'package-lock.json')))
    .digest('hex');
  const stamp = join(folder, 'node_modules', '.autofiles-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status, stderr } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the heroku CLI could not be installed (npm ci in ${folder}): ${stderr}`);
  writeFileSync(stamp, lock);
}

/** What the CLI needs to find the platform (as in `.autofiles/env`), and what keeps it from talking to Heroku and npm (heroku.md 3.2). */
export function herokuEnv(deps: { home: string; host: string; token: string; app: string; caFile?: string }): Record<string, string> {
  return {
    HOME: deps.home,
    PATH: [herokuBin, '/usr/bin', '/bin', process.env['PATH'] ?? ''].join(delimiter),
    LANG: 'C.UTF-8',
    TERM: 'xterm',
    HEROKU_HOST: deps.host,
    HEROKU_API_KEY: deps.token,
    HEROKU_APP: deps.app,
    ...(deps.caFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: deps.caFile }),
    ...quiet(deps.host),
  };
}

/** No telemetry, no update, no other host. */
function quiet(host: string): Record<string, string> {
  return {
    DISABLE_TELEMETRY: 'true',
    HEROKU_PARTICLEBOARD_URL: host,
    HEROKU_NOTIFICATIONS: '0',
    HEROKU_DISABLE_AUTOUPDATE: '1',
    HEROKU_SKIP_NEW_VERSION_CHECK: 'true',
  };
}

/** A command that runs: what it printed so far, and its end. */
export interface Running {
  child: ChildProcess;
  stdout(): string;
  stderr(): string;
  ended: Promise<Finished>;
}
export interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Starts `heroku ARGS`; `input` is its whole standard input. */
export function startHeroku(args: readonly string[], env: Record<string, string>, more: { input?: string; cwd?: string } = {}): Running {
  const child = spawn(process.execPath, [program, ...args], { env, cwd: more.cwd ?? env['HOME'], timeout: COMMAND_MS, stdio: 'pipe' });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  child.stdin.on('error', () => undefined);
  // An attached run without a terminal ends its input when ours ends; one that is to stay open gets nothing here.
  if (more.input !== undefined) child.stdin.end(more.input);
  const ended = new Promise<Finished>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
  });
  return { child, stdout: () => stdout, stderr: () => stderr, ended };
}

/** Runs `heroku ARGS` to its end. */
export function heroku(
  args: readonly string[],
  env: Record<string, string>,
  more: { input?: string; cwd?: string } = {},
): Promise<Finished> {
  return startHeroku(args, env, { input: '', ...more }).ended;
}

/** `heroku ARGS` in a pseudo-terminal, as somebody at a keyboard has it. */
export interface Typed {
  /** All that the terminal showed, without escape sequences. */
  screen(): string;
  type(text: string): void;
  /** Waits until what was shown since the last call matches. */
  shows(what: RegExp): Promise<string>;
  ended: Promise<number>;
  kill(): void;
}

interface Pty {
  onData(listener: (data: string) => void): unknown;
  onExit(listener: (end: { exitCode: number }) => void): unknown;
  write(data: string): void;
  kill(signal?: string): void;
}
interface Ptys {
  spawn(file: string, args: string[], options: { cols: number; rows: number; cwd: string; env: Record<string, string>; name: string }): Pty;
}

/** Starts `heroku ARGS` in a pseudo-terminal of 100 columns and 30 rows. */
export function typeHeroku(args: readonly string[], env: Record<string, string>): Typed {
  const ptys: Ptys = createRequire(import.meta.url)('@lydell/node-pty');
  const pty = ptys.spawn(process.execPath, [program, ...args], { cols: 100, rows: 30, cwd: env['HOME'] ?? '/', env, name: 'xterm' });
  let raw = '';
  let seen = 0;
  pty.onData((data) => {
    raw += data;
  });
  const ended = new Promise<number>((resolve) => pty.onExit(({ exitCode }) => resolve(exitCode)));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals speak in control characters
  const screen = (): string => raw.replace(/\u001b\[[0-9;?]*[A-Za-z]|\u001b[()][A-Z0-9]|\r/g, '');
  return {
    screen,
    type: (text) => pty.write(text),
    async shows(what) {
      const text = await eventually(
        `the terminal shows ${what}; it showed ${JSON.stringify(screen().slice(seen))}`,
        () => {
          const since = screen().slice(seen);
          return what.test(since) && since;
        },
        90,
      );
      seen = screen().length;
      return text;
    },
    ended,
    kill: () => pty.kill('SIGKILL'),
  };
}
