import { createRequire } from 'node:module';
import { type DynoProcess, type OutputSink, type ProcessCommand, signalGroup } from './dyno-process.ts';
import { processesOfSession } from './process-identity.ts';

/** Gives processes a pseudo-terminal. */
export interface Terminals {
  spawn(
    file: string,
    args: string[],
    options: { cols: number; rows: number; cwd: string; env: Record<string, string>; name: string; encoding: null },
  ): Terminal;
}

interface Terminal {
  pid: number;
  onData(listener: (chunk: unknown) => void): unknown;
  onExit(listener: (end: { exitCode: number; signal?: number }) => void): unknown;
  write(data: Buffer): void;
  pause(): void;
  resume(): void;
  destroy(): void;
}

/** The pseudo-terminals of `@lydell/node-pty`; undefined where it has no prebuilt binary for this machine (attached runs then go without a terminal). */
export function findTerminals(): Terminals | undefined {
  try {
    const require = createRequire(import.meta.url);
    const loaded: unknown = require('@lydell/node-pty');
    return isTerminals(loaded) ? loaded : undefined;
  } catch {
    // Not installed, or no binary for this platform or C library: both mean that there is none.
    return undefined;
  }
}

function isTerminals(loaded: unknown): loaded is Terminals {
  return typeof loaded === 'object' && loaded !== null && 'spawn' in loaded && typeof loaded.spawn === 'function';
}

const [defaultColumns, defaultRows] = [80, 24];
/**
 * Milliseconds between two looks at the leader while the output is held back: node-pty drops what a terminal still has 200 ms after the leader's end, read or not
 * (DESTROY_SOCKET_TIMEOUT_MS).
 */
const leaderPollMs = 50;

/** Starts a program as the leader of a session with a pseudo-terminal, of the size that COLUMNS and LINES in its environment say. */
export function startTerminalProcess(command: ProcessCommand, deps: { terminals: Terminals; output: OutputSink }): DynoProcess {
  const { file, args, cwd, env } = command;
  const terminal = deps.terminals.spawn(file, [...args], {
    cols: side(env['COLUMNS'], defaultColumns),
    rows: side(env['LINES'], defaultRows),
    cwd,
    // bash reads its prompt from files that differ by machine; this gives it Heroku's, where the folder is shown as `~`, and then goes away.
    env: { ...env, PROMPT_COMMAND: 'PS1="\\w $ "; unset PROMPT_COMMAND' },
    name: env['TERM'] ?? 'xterm',
    encoding: null,
  });
  const { pid } = terminal;
  // A shell at a terminal makes a group of every job: the session is what holds them all.
  const signal = (name: NodeJS.Signals): boolean => {
    const led = signalGroup(pid, name);
    for (const member of processesOfSession(pid)) if (member !== pid) signalOne(member, name);
    return led;
  };
  terminal.onData((chunk) => deps.output.push(Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk))));
  // What a terminal has is a few kilobytes: once nobody adds to it, it is read at once and waits with the client's connection.
  let watch: NodeJS.Timeout | undefined;
  const resume = (): void => {
    clearInterval(watch);
    watch = undefined;
    terminal.resume();
  };
  const pause = (): void => {
    if (watch !== undefined || !isThere(pid)) return;
    terminal.pause();
    watch = setInterval(() => {
      if (!isThere(pid)) resume();
    }, leaderPollMs);
  };
  const ended = new Promise<number>((resolve) => {
    terminal.onExit(({ exitCode, signal: number }) => {
      clearInterval(watch);
      signal('SIGKILL');
      deps.output.end();
      resolve(number === undefined || number === 0 ? exitCode : 128 + number);
    });
  });
  return {
    pid,
    ended,
    signal,
    io: {
      write: (chunk) => terminal.write(chunk),
      // Input ends with the terminal itself, as with one that hung up: a shell that SIGHUP meets just before it reads would wait for ever.
      endInput: () => terminal.destroy(),
      pause,
      resume,
    },
  };
}

function side(text: string | undefined, otherwise: number): number {
  const number = Number(text);
  return Number.isInteger(number) && number > 0 && number < 10_000 ? number : otherwise;
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function signalOne(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
