// A real Redis Cluster of this test's own: three masters, each a redis-server process, and a replica of the first.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { leash } from './leash.ts';
import { until } from './until.ts';

/** Slots of a cluster; its nodes talk to each other on a port that is so much higher; the highest port whose bus port is one too. */
const SLOTS = 16_384;
const BUS = 10_000;
const HIGHEST_PORT = 55_535;
const MASTERS = 3;
/** Ports on which a node is tried: between the finding of one and the node somebody else may take it. */
const PORTS = 5;
/** Folder of the append-only files (redis.conf, appenddirname). */
const AOF = 'appendonlydir';

export interface TestCluster {
  /** For `connect`. */
  readonly cluster: readonly string[];
  /**
   * SIGKILL of the master that holds the key, or with `frozen` a SIGSTOP: it answers nothing and breaks no connection. Resolves when its replica has
   * taken over. Only the first master has one.
   */
  failOver(key: string, frozen?: boolean): Promise<void>;
  /** A key's node is the first master. */
  holdsOnFirst(key: string): Promise<boolean>;
  /** Whether two keys are on the same master. */
  together(key: string, other: string): Promise<boolean>;
  /** Has the slot of the key be on its way to another master, as a reshard does, or stay where it is. None of its keys is moved. */
  migrating(key: string, on: boolean): Promise<void>;
  /** SIGKILL of the master that holds the key, and in its place a server with the same slots that knows nothing. */
  emptyNodeOf(key: string): Promise<void>;
  /** Answers with the SIGSTOP of the master that holds the key; a frozen node cannot be asked for another one. */
  freezeOf(key: string): Promise<() => void>;
  /** SIGKILL of all nodes. */
  crash(): Promise<void>;
  /** New servers on the same folders and ports. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

interface Node {
  readonly dir: string;
  readonly port: number;
  readonly child: ChildProcess;
  readonly redis: Redis;
}

/** Without a replica a killed master stays away until `restart`. `fsync`: as that of `startRedis`. */
export async function startRedisCluster(options: { replica?: boolean; fsync?: 'always' | 'everysec' } = {}): Promise<TestCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'af-cluster-'));
  const nodes: Node[] = [];

  const launch = async (before?: Node): Promise<Node> => {
    for (let tries = 1; ; tries += 1) {
      const port = before?.port ?? (await freePort());
      const dir = before?.dir ?? (await mkdtemp(join(folder, 'node-')));
      const node = await tryLaunch(port, dir);
      if (typeof node !== 'string') {
        nodes.push(node);
        return node;
      }
      // the others know a node that comes back by its port
      if (before !== undefined || tries === PORTS) throw new Error(`redis-server did not start on port ${port}: ${node}`);
    }
  };

  /** A node, or the last words of one that ended. */
  const tryLaunch = async (port: number, dir: string): Promise<Node | string> => {
    const settings = {
      port,
      bind: '127.0.0.1',
      dir,
      'cluster-enabled': 'yes',
      // milliseconds until a silent master is replaced
      'cluster-node-timeout': 1_500,
      'cluster-require-full-coverage': 'no',
      'repl-diskless-sync-delay': 0,
      appendonly: 'yes',
      appendfsync: options.fsync ?? 'everysec',
      save: '',
      loglevel: 'warning',
    };
    const child = spawn(
      'redis-server',
      Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]),
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data) => {
        said += data;
      });
    await once(child, 'spawn');
    const ended = once(child, 'close').then(() => false);
    leash(child, folder);
    const redis = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 50, maxRetriesPerRequest: null });
    redis.on('error', () => {});
    // where the node cannot listen, whoever has the port may answer in its place
    const answers = redis.info('server').then((info) => info.includes(`process_id:${child.pid}\r\n`) || ended);
    if (await Promise.race([answers, ended])) return { port, dir, child, redis };
    redis.disconnect();
    return said;
  };

  const kill = async ({ child, redis }: Node) => {
    redis.disconnect();
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };

  const stop = async () => {
    await Promise.all(nodes.map(kill));
    await rm(folder, { recursive: true, force: true });
  };

  try {
    const masters = await Promise.all(Array.from({ length: MASTERS }, () => launch()));
    const replica = options.replica === false ? undefined : await launch();
    const [first] = masters;
    if (first === undefined) throw new Error('no node');
    for (const [i, { redis }] of masters.entries()) {
      const from = Math.floor((i * SLOTS) / MASTERS);
      const to = Math.floor(((i + 1) * SLOTS) / MASTERS) - 1;
      await redis.call('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
    }
    for (const { redis } of [...masters.slice(1), ...(replica === undefined ? [] : [replica])])
      await redis.cluster('MEET', '127.0.0.1', first.port);
    const whole = async ({ redis }: Node) => {
      const info = String(await redis.cluster('INFO'));
      return (
        info.includes('cluster_state:ok') &&
        info.includes(`cluster_known_nodes:${nodes.length}`) &&
        info.includes(`cluster_slots_ok:${SLOTS}`)
      );
    };
    await until('the cluster to form', async () => (await Promise.all(nodes.map(whole))).every(Boolean));
    if (replica !== undefined) {
      const firstId = String(await first.redis.cluster('MYID'));
      await replica.redis.cluster('REPLICATE', firstId);
      await until('the replica to follow', async () => (await replica.redis.info('replication')).includes('master_link_status:up'));
    }

    const slotOf = async (key: string) => Number(await nodes[0]?.redis.cluster('KEYSLOT', key));
    const masterOf = async (key: string) => {
      const slot = await slotOf(key);
      return masters.findIndex((_, i) => slot < Math.floor(((i + 1) * SLOTS) / MASTERS));
    };
    const holdsOnFirst = async (key: string) => (await masterOf(key)) === 0;
    return {
      cluster: masters.map(({ port }) => `redis://127.0.0.1:${port}`),
      holdsOnFirst,
      together: async (key, other) => (await masterOf(key)) === (await masterOf(other)),
      migrating: async (key, on) => {
        const [slot, master] = [String(await slotOf(key)), await masterOf(key)];
        const [from, to] = [masters[master], masters[(master + 1) % MASTERS]];
        if (from === undefined || to === undefined) throw new Error(`${key} is on no master`);
        const set = async ({ redis }: Node, ...how: string[]) => await redis.call('CLUSTER', 'SETSLOT', slot, ...how);
        // the one that gets it first: it is sent what the other one has no more
        await set(to, ...(on ? ['IMPORTING', String(await from.redis.cluster('MYID'))] : ['STABLE']));
        await set(from, ...(on ? ['MIGRATING', String(await to.redis.cluster('MYID'))] : ['STABLE']));
      },
      emptyNodeOf: async (key) => {
        const master = await masterOf(key);
        const node = masters[master];
        if (node === undefined) throw new Error(`${key} is on no master`);
        await kill(node);
        nodes.splice(nodes.indexOf(node), 1);
        await rm(join(node.dir, AOF), { recursive: true, force: true });
        masters[master] = await launch(node);
        await until('the cluster to form again', async () => (await Promise.all(nodes.map(whole))).every(Boolean));
      },
      failOver: async (key, frozen = false) => {
        if (!(await holdsOnFirst(key))) throw new Error(`${key} is on a master without a replica`);
        if (replica === undefined) throw new Error('the cluster was started without a replica');
        if (frozen) first.child.kill('SIGSTOP');
        else await kill(first);
        await until('the replica to take over', async () => (await replica.redis.info('replication')).includes('role:master'));
      },
      freezeOf: async (key) => {
        const master = masters[await masterOf(key)];
        return () => master?.child.kill('SIGSTOP');
      },
      crash: async () => {
        await Promise.all(nodes.map(kill));
      },
      restart: async () => {
        await Promise.all(nodes.splice(0).map(launch));
        await until('the cluster to form again', async () => (await Promise.all(nodes.map(whole))).every(Boolean));
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A port that is free, and whose bus port is. */
async function freePort(): Promise<number> {
  for (;;) {
    const [server, bus] = [createServer(), createServer()];
    const port = await listen(server, 0);
    const free = port !== undefined && port <= HIGHEST_PORT && (await listen(bus, port + BUS)) !== undefined;
    // neither before the other: both are free when the node comes
    await Promise.all([server, bus].map((one) => new Promise((resolve) => one.close(resolve))));
    if (free) return port;
  }
}

/** Answers with the port; undefined: somebody has it. */
async function listen(server: Server, port: number): Promise<number | undefined> {
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return undefined;
    throw error;
  }
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : undefined;
}
