// The real heroku CLI (install-heroku.ts), run with an environment in which it talks to nobody but the local platform.
import { type ChildProcess, spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Typed, typeCommand } from '../support/terminal.ts';

const folder = fileURLToPath(new URL('heroku-cli', import.meta.url));
const program = join(folder, 'node_modules', 'heroku', 'bin', 'run.js');
/** Where the `heroku` command is. */
export const herokuBin = join(folder, 'node_modules', '.bin');

/** Milliseconds that one command may take on a busy machine. */
const COMMAND_MS = 120_000;

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
export function quiet(host: string): Record<string, string> {
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

/** Starts `heroku ARGS` in a pseudo-terminal, as somebody at a keyboard has it. */
export function typeHeroku(args: readonly string[], env: Record<string, string>): Typed {
  return typeCommand(process.execPath, [program, ...args], { cwd: env['HOME'] ?? '/', env });
}
