import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { leash } from './leash.ts';
import { startRedisCluster } from './redis-cluster.ts';

/** Folder of the append-only files (redis.conf, appenddirname). */
const AOF = 'appendonlydir';
/** Milliseconds that a replica may take to know what its server does. */
const SYNC_MS = 30_000;

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
  /** Told to end at once and to save nothing; nothing answers until `restart`. */
  shutdown(): Promise<void>;
  /** SIGKILL, and a new server that knows nothing; `meanwhile` is called between the two. */
  wipe(meanwhile?: () => void): Promise<void>;
  /**
   * Keeps what the append-only file has now; answers with the way back to it: SIGKILL, and a new server that knows that much, less so many
   * bytes at the file's end.
   */
  remember(): Promise<(less?: number) => Promise<void>>;
  /** Makes a replica that knows all and hears nothing more; answers with its promotion: SIGKILL, and the replica stands in the server's place. */
  replicate(): Promise<() => Promise<void>>;
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
  /** Where the server that is asked keeps its file; a promoted replica has its own. */
  let home = folder;
  let child = await launch();

  async function launch(place = socket, dir = home, more: readonly string[] = []) {
    const args = [
      ...more,
      '--port',
      '0',
      '--unixsocket',
      place,
      '--dir',
      dir,
      '--appendonly',
      'yes',
      '--appendfsync',
      options.fsync ?? 'everysec',
      '--save',
      '',
      '--loglevel',
      'warning',
    ];
    // a disk that is full is a limit to the size of its files (full-disk.ts), and what goes past one is a signal that ends who does not ignore it
    const next = spawn('sh', ['-c', `trap '' XFSZ; exec redis-server "$@"`, 'sh', ...args], { stdio: 'ignore' });
    await once(next, 'spawn');
    leash(next, folder);
    const until = Date.now() + 90_000;
    while (!(await answers(place))) {
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
    shutdown: async () => {
      const gone = once(child, 'exit');
      // by a connection that does not send it again to the next server
      const client = createConnection(socket, () => client.write('SHUTDOWN NOSAVE NOW FORCE\r\n'));
      client.on('error', () => {}).resume();
      await gone;
    },
    wipe: async (meanwhile = () => {}) => {
      await crash();
      meanwhile();
      await rm(join(home, AOF), { recursive: true, force: true });
      child = await launch();
    },
    remember: async () => {
      const copy = join(folder, 'remembered');
      await rm(copy, { recursive: true, force: true });
      await cp(join(home, AOF), copy, { recursive: true });
      return async (less = 0) => {
        await crash();
        await rm(join(home, AOF), { recursive: true, force: true });
        await cp(copy, join(home, AOF), { recursive: true });
        if (less > 0) await shorten(join(home, AOF), less);
        child = await launch();
      };
    },
    replicate: async () => {
      const dir = await mkdtemp(join(folder, 'replica-'));
      const place = join(dir, 'redis.sock');
      // replication goes by TCP alone
      const port = await freePort();
      await ask(socket, 'CONFIG SET repl-diskless-sync-delay 0');
      await ask(socket, `CONFIG SET port ${port}`);
      const replica = await launch(place, dir, ['--replicaof', '127.0.0.1', String(port)]);
      for (const end = Date.now() + SYNC_MS; !/master_link_status:up/.test(await ask(place, 'INFO replication')); await pause(20))
        if (Date.now() > end) throw new Error('the replica did not catch up');
      for (const end = Date.now() + SYNC_MS; !isSettled(await ask(place, 'INFO persistence')); await pause(20))
        if (Date.now() > end) throw new Error('the replica did not write its file');
      await ask(place, 'REPLICAOF NO ONE');
      await ask(socket, 'CONFIG SET port 0');
      return async () => {
        await crash();
        await rename(place, socket);
        home = dir;
        child = replica;
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
    shutdown: crash,
    wipe: () => Promise.reject(new Error('one server alone can be emptied')),
    remember: () => Promise.reject(new Error('one server alone can be rolled back')),
    replicate: () => Promise.reject(new Error('one server alone gets a replica here')),
    stop,
  };
}

/** Whether no file is being rewritten, nor to be. */
const isSettled = (info: string) => /aof_rewrite_in_progress:0/.test(info) && /aof_rewrite_scheduled:0/.test(info);

/** Takes so many bytes from the end of the last append-only file. */
async function shorten(dir: string, less: number): Promise<void> {
  const last = (await readdir(dir))
    .filter((name) => name.endsWith('.incr.aof'))
    .sort(byNumber)
    .at(-1);
  if (last === undefined) return;
  const file = join(dir, last);
  await truncate(file, Math.max(0, (await stat(file)).size - less));
}

const byNumber = (a: string, b: string) => Number(/\.(\d+)\./.exec(a)?.[1] ?? 0) - Number(/\.(\d+)\./.exec(b)?.[1] ?? 0);

/** A port of this machine that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Whether a server answers PING on the socket. */
async function answers(path: string): Promise<boolean> {
  return await ask(path, 'PING').then(
    (said) => said.startsWith('+PONG'),
    () => false,
  );
}

/** The beginning of what a server says to a command. */
async function ask(path: string, command: string): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const socket = createConnection(path, () => socket.write(`${command}\r\n`));
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString());
    });
    socket.once('error', reject);
  });
}
