// The processes of a chaos run, workers and the web process: real ones, each behind fault proxies of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';

const SKEW = fileURLToPath(new URL('./skewed-clock.mjs', import.meta.url));

export interface Slot {
  readonly name: string;
  /** An earlier version runs here. */
  readonly earlier: boolean;
  readonly redis: FaultProxy;
  readonly store: FaultProxy;
  readonly heroku: FaultProxy;
  /** Undefined while none runs. */
  readonly child: ChildProcess | undefined;
  /** The failpoints it was started with. */
  readonly failpoint: string;
  /** Whether it was started with little memory, or few files. */
  readonly little: boolean;
  /** The failpoint that it said it passed; undefined while it has not. */
  readonly passed: string | undefined;
  /** Whether a process runs and has said that it works. */
  readonly ready: boolean;
  /** When it said so, in ms since 1970; undefined while it has not. */
  readonly readyAt: number | undefined;
  /** Where it listens, as it said; undefined for a worker. */
  readonly port: number | undefined;
  start(how?: StartOptions): void;
  signal(signal: NodeJS.Signals): void;
  /** Resolves with the signal or status that ended the process; at once when none runs. */
  gone(): Promise<string>;
}

export interface StartOptions {
  readonly failpoint?: string;
  /** Milliseconds that its clock is wrong. */
  readonly skewMs?: number;
  /** Its clock jumps so many milliseconds soon after its start, or runs away by so many a second. */
  readonly jumpMs?: number;
  readonly driftMs?: number;
  /** More arguments for node. */
  readonly node?: readonly string[];
  /** Files and connections that it may have open. */
  readonly files?: number;
}

/** Opens a place for one process of `command` after the other. `main`: the engine's main.ts. Throws when a proxy cannot listen. */
export async function openSlot(deps: {
  name: string;
  command: 'worker' | 'web';
  main: string;
  earlier: boolean;
  folder: string;
  redisSocket: string;
  storePort: number;
  herokuPort: number;
  env: Readonly<Record<string, string>>;
  onOutput: (text: string) => void;
  /** Told when a process says that it works. */
  onReady: (slot: Slot) => void;
  /** Told when a process ended, with the signal or status, and whether it had said that it works. */
  onEnd: (slot: Slot, how: string, served: boolean) => void;
}): Promise<Slot & { close(): Promise<void> }> {
  const socket = join(deps.folder, `${deps.name}.sock`);
  const [redis, store, heroku] = await Promise.all([
    startFaultProxy({ path: deps.redisSocket }, { path: socket }),
    startFaultProxy({ port: deps.storePort, host: '127.0.0.1' }, { port: 0 }),
    startFaultProxy({ port: deps.herokuPort, host: '127.0.0.1' }, { port: 0 }),
  ]);
  const endpoint = `http://127.0.0.1:${store.port}`;
  const env = {
    ...deps.env,
    AUTOFILES_REDIS_SOCKET: socket,
    AUTOFILES_S3_ENDPOINT: endpoint,
    AUTOFILES_SQS_ENDPOINT: endpoint,
    AUTOFILES_STS_ENDPOINT: endpoint,
    HEROKU_API_URL: `http://127.0.0.1:${heroku.port}`,
    HEROKU_ID_URL: `http://127.0.0.1:${heroku.port}`,
  };
  let child: ChildProcess | undefined;
  let failpoint = '';
  let little = false;
  let passed: string | undefined;
  let readyAt: number | undefined;
  let port: number | undefined;
  let ended: Promise<string> = Promise.resolve('');

  const slot = {
    name: deps.name,
    earlier: deps.earlier,
    redis,
    store,
    heroku,
    get child() {
      return child;
    },
    get failpoint() {
      return failpoint;
    },
    get little() {
      return little;
    },
    get passed() {
      return passed;
    },
    get ready() {
      return readyAt !== undefined;
    },
    get readyAt() {
      return readyAt;
    },
    get port() {
      return port;
    },
    start: (how: StartOptions = {}) => {
      failpoint = how.failpoint ?? '';
      little = how.node !== undefined || how.files !== undefined;
      let served = false;
      passed = undefined;
      readyAt = undefined;
      const clock = [how.skewMs, how.jumpMs, how.driftMs];
      const skewed = clock.every((ms) => ms === undefined) ? [] : ['--import', SKEW];
      const [skew = '0', jump = '0', drift = '0'] = clock.map((ms) => String(ms ?? 0));
      const limited = how.files === undefined ? [] : ['prlimit', `--nofile=${how.files}:${how.files}`];
      const [command = process.execPath, ...args] = [...limited, process.execPath];
      const next = spawn(
        command,
        [...args, '--disable-warning=ExperimentalWarning', ...skewed, ...(how.node ?? []), deps.main, deps.command],
        {
          env: {
            PATH: process.env['PATH'],
            ...env,
            AUTOFILES_FAILPOINT: failpoint,
            CHAOS_SKEW_MS: skew,
            CHAOS_JUMP_MS: jump,
            CHAOS_DRIFT_MS: drift,
          },
          stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        },
      );
      child = next;
      next.once('message', (message) => {
        served = true;
        readyAt = Date.now();
        port = Number(Object(message).port) || undefined;
        deps.onReady(slot);
      });
      for (const stream of [next.stdout, next.stderr]) {
        stream?.on('data', (data: Buffer) => {
          const text = data.toString();
          passed = /^failpoint (\S+)$/m.exec(text)?.[1] ?? passed;
          deps.onOutput(text);
        });
      }
      // its last words are read before its end is told
      ended = once(next, 'close').then(([status, signal]) => {
        if (child === next) {
          child = undefined;
          readyAt = undefined;
        }
        const how = String(signal ?? status);
        deps.onEnd(slot, how, served);
        return how;
      });
    },
    signal: (signal: NodeJS.Signals) => {
      child?.kill(signal);
    },
    gone: () => ended,
    close: async () => {
      child?.kill('SIGKILL');
      await ended;
      await Promise.all([redis.close(), store.close(), heroku.close()]);
    },
  };
  return slot;
}
