// The workers of a chaos run: real processes, each behind fault proxies of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';

const SKEW = fileURLToPath(new URL('./skewed-clock.mjs', import.meta.url));

export interface Slot {
  readonly name: string;
  readonly redis: FaultProxy;
  readonly store: FaultProxy;
  readonly heroku: FaultProxy;
  /** Undefined while none runs. */
  readonly child: ChildProcess | undefined;
  /** The failpoint it was started with. */
  readonly failpoint: string;
  /** Whether a process runs and has said that it works. */
  readonly ready: boolean;
  start(how?: StartOptions): void;
  signal(signal: NodeJS.Signals): void;
  /** Resolves with the signal or status that ended the process; at once when none runs. */
  gone(): Promise<string>;
}

export interface StartOptions {
  readonly failpoint?: string;
  /** Milliseconds that its clock is wrong. */
  readonly skewMs?: number;
  /** More arguments for node. */
  readonly node?: readonly string[];
}

/** Opens a place for one worker after the other. `main`: the engine's main.ts. Throws when a proxy cannot listen. */
export async function openSlot(deps: {
  name: string;
  main: string;
  folder: string;
  redisSocket: string;
  storePort: number;
  herokuPort: number;
  env: Readonly<Record<string, string>>;
  onOutput: (text: string) => void;
  /** Told when a process ended, with the signal or status. */
  onEnd: (slot: Slot, how: string) => void;
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
  };
  let child: ChildProcess | undefined;
  let failpoint = '';
  let ready = false;
  let ended: Promise<string> = Promise.resolve('');

  const slot = {
    name: deps.name,
    redis,
    store,
    heroku,
    get child() {
      return child;
    },
    get failpoint() {
      return failpoint;
    },
    get ready() {
      return ready;
    },
    start: (how: StartOptions = {}) => {
      failpoint = how.failpoint ?? '';
      ready = false;
      const skewed = how.skewMs === undefined ? [] : ['--import', SKEW];
      const next = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...skewed, ...(how.node ?? []), deps.main, 'worker'], {
        env: { PATH: process.env['PATH'], ...env, AUTOFILES_FAILPOINT: failpoint, CHAOS_SKEW_MS: String(how.skewMs ?? 0) },
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      });
      child = next;
      next.once('message', () => {
        ready = true;
      });
      for (const stream of [next.stdout, next.stderr]) stream?.on('data', (data: Buffer) => deps.onOutput(data.toString()));
      ended = once(next, 'exit').then(([status, signal]) => {
        if (child === next) {
          child = undefined;
          ready = false;
        }
        const how = String(signal ?? status);
        deps.onEnd(slot, how);
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
