import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { leash } from './leash.ts';
import { startRedisCluster } from './redis-cluster.ts';

/** Folder of the append-only files (redis.conf, appenddirname). */
const AOF = 'appendonlydir';

export interface TestRedis {
  readonly socket: string;
  /** In its place the nodes of a cluster, where the tests run on one (vitest.cluster.config.ts). */
  readonly cluster?: readonly string[];
  readonly pid: number;
  /** SIGKILL, then a new server on the same folder and socket. */
  crashAndRestart(): Promise<void>;
  /** SIGKILL, and nothing answers until `restart`. */
  crash(): Promise<void>;
  restart(): Promise<void>;
  /** SIGKILL, and a new server that knows nothing; `meanwhile` is called between the two. */
  wipe(meanwhile?: () => void): Promise<void>;
  /** Keeps what the append-only file has now; answers with the way back to it: SIGKILL, and a new server that knows that much. */
  remember(): Promise<() => Promise<void>>;
  stop(): Promise<void>;
}

/**
 * A redis-server of this test's own: unix socket, temporary folder, append-only file on. `fsync: 'always'`: what was answered is in the
 * file; by default Redis may keep the last two seconds to itself while the disk is slow, and a SIGKILL loses them.
 */
export async function startRedis(options: { fsync?: 'always' | 'everysec' } = {}): Promise<TestRedis> {
  if (process.env['AUTOFILES_TEST_CLUSTER'] === '1') return await startClusterAsOne(options);
  const folder = await mkdtemp(join(tmpdir(), 'af-redis-'));
  const socket = join(folder, 'redis.sock');
  let child = await launch();

  async function launch() {
    const args = [
      '--port',
      '0',
      '--unixsocket',
      socket,
      '--dir',
      folder,
      '--appendonly',
      'yes',
      '--appendfsync',
      options.fsync ?? 'everysec',
      '--save',
      '',
      '--loglevel',
      'warning',
    ];
    const next = spawn('redis-server', args, { stdio: 'ignore' });
    await once(next, 'spawn');
    leash(next, folder);
    const until = Date.now() + 90_000;
    while (!(await answers(socket))) {
      if (Date.now() > until || next.exitCode !== null) throw new Error('redis-server did not start');
      await pause(10);
    }
    return next;
  }

  async function crash() {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  return {
    socket,
    get pid() {
      return child.pid ?? 0;
    },
    crashAndRestart: async () => {
      await crash();
      child = await launch();
    },
    crash,
    restart: async () => {
      child = await launch();
    },
    wipe: async (meanwhile = () => {}) => {
      await crash();
      meanwhile();
      await rm(join(folder, AOF), { recursive: true, force: true });
      child = await launch();
    },
    remember: async () => {
      const copy = join(folder, 'remembered');
      await rm(copy, { recursive: true, force: true });
      await cp(join(folder, AOF), copy, { recursive: true });
      return async () => {
        await crash();
        await rm(join(folder, AOF), { recursive: true, force: true });
        await cp(copy, join(folder, AOF), { recursive: true });
        child = await launch();
      };
    },
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The same of three servers; a crash is one of all three. */
async function startClusterAsOne(options: Parameters<typeof startRedis>[0]): Promise<TestRedis> {
  const { cluster, crash, restart, stop } = await startRedisCluster({ ...options, replica: false });
  return {
    socket: '',
    cluster,
    pid: 0,
    crash,
    restart,
    crashAndRestart: async () => {
      await crash();
      await restart();
    },
    wipe: () => Promise.reject(new Error('one server alone can be emptied')),
    remember: () => Promise.reject(new Error('one server alone can be rolled back')),
    stop,
  };
}

/** Whether a server answers PING on the socket. */
async function answers(path: string): Promise<boolean> {
  return await new Promise<boolean>((resolve) => {
    const socket = createConnection(path, () => socket.write('PING\r\n'));
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString().startsWith('+PONG'));
    });
    socket.once('error', () => resolve(false));
  });
}
