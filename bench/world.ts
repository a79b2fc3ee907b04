// What an engine under measurement needs around it: a Redis of its own, and the stub of S3 and Heroku as a process of its own.
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ifInterrupted } from './interrupted.ts';

/** Milliseconds for a server to listen. */
const START_MS = 10_000;
/** The settings of docker/redis.conf; the rows name the durability: on disk once a second. */
const SETTINGS = [
  ...['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''],
  ...['--hash-max-listpack-value', '512', '--hash-max-listpack-entries', '1024'],
  ...['--list-max-listpack-size', '-1', '--list-compress-depth', '1'],
];

export interface World {
  /** Path of Redis' socket. */
  readonly socket: string;
  /** The stub's address. */
  readonly endpoint: string;
}

/** Runs `work` in a world of its own and leaves nothing of it behind. */
export async function inWorld<T>(work: (world: World) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'af-bench-'));
  const socket = join(folder, 'redis.sock');
  const redis = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--dir', folder, '--loglevel', 'warning', ...SETTINGS], {
    stdio: 'ignore',
  });
  const ended = ifInterrupted(() => {
    redis.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  const stub = fork(new URL('stub.ts', import.meta.url), {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  try {
    // the stub says nothing else
    const [{ port }] = (await once(stub, 'message')) as [{ port: number }];
    await listening(socket);
    return await work({ socket, endpoint: `http://127.0.0.1:${port}` });
  } finally {
    if (stub.connected) stub.disconnect();
    const gone = once(redis, 'exit');
    redis.kill('SIGKILL');
    await gone;
    await rm(folder, { recursive: true, force: true });
    ended();
  }
}

async function listening(socket: string): Promise<void> {
  const until = Date.now() + START_MS;
  for (;;) {
    const probe = createConnection(socket);
    const ok = await Promise.race([once(probe, 'connect').then(() => true), once(probe, 'error').then(() => false)]).catch(() => false);
    probe.destroy();
    if (ok) return;
    if (Date.now() > until) throw new Error('redis-server does not listen. Is it installed?');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
