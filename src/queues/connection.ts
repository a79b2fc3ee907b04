import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { Failure } from '../schema/failures.ts';

/** Where Redis is: a URL, the path of a unix socket, or the URLs of some nodes of a Redis Cluster. */
export type RedisAddress = { readonly url: string } | { readonly socket: string } | { readonly cluster: readonly string[] };

type ConnectionOptions = Omit<RedisOptions, 'replyMapping'>;

/** Milliseconds between two tries to connect at most. */
const MAX_RECONNECT_DELAY_MS = 2_000;
/** Milliseconds until a command is tried again while a cluster fails over, and how often: a minute. */
const FAILOVER_RETRY_MS = 200;
const FAILOVER_RETRIES = 300;

/**
 * Milliseconds for which a connection may owe an answer: what blocks does so for 10 s at most. A connection whose network went away without a word
 * (another address after a cut) would otherwise be waited for until TCP gives up, a quarter of an hour.
 */
const SILENCE_MS = 20_000;

/** A server says, by itself or from within a script, that it is a replica: it takes no writes, and whoever took over from it does. */
const isReadOnly = (error: Error): boolean => /\bREADONLY\b/.test(error.message);

const backoff = (times: number) => Math.min(50 * 2 ** Math.min(times, 6), MAX_RECONNECT_DELAY_MS);

/**
 * A connection that never gives up: commands wait while Redis is away, as BullMQ's workers need it. Errors are
 * handed to `onError`; ioredis reconnects by itself. A Redis Cluster has the same commands, each sent to the node of its
 * key, and is therefore used under the same type; where the two differ, `duplicate` and `nodesOf` are the way.
 */
export function connect(address: RedisAddress, onError: (error: Error) => void, options: ConnectionOptions = {}): Redis {
  const all = { maxRetriesPerRequest: null, socketTimeout: SILENCE_MS, ...options, replyMapping: 'legacy' as const };
  if ('cluster' in address) return connectCluster(address.cluster, onError, all);
  // After a failover behind one address the server before may keep its connections, as a replica: the address leads to the other one. What was
  // refused fails all the same, and whoever asked asks again: that the connection broke has to be counted first.
  const single = { retryStrategy: backoff, reconnectOnError: isReadOnly, ...all };
  const redis = 'url' in address ? new Redis(address.url, single) : new Redis({ path: address.socket, ...single });
  redis.on('error', onError);
  gatherWrites(redis);
  return endBetweenTries(redis);
}

/**
 * Has a connection end also where it is closed while it waits to connect again. ioredis calls the try off and says no more: neither that the connection
 * has ended, for which the close of BullMQ's workers waits, nor that what was asked of it has failed. So are those that are made of it.
 */
function endBetweenTries<Connection extends Redis | Cluster>(connection: Connection): Connection {
  const disconnect = connection.disconnect.bind(connection);
  connection.disconnect = (reconnect = false) => {
    // one that waits to be used first ends at once
    if (!reconnect && connection.status === 'reconnecting') connection.status = 'wait';
    disconnect(reconnect);
  };
  // either makes one of its own kind, of parameters of its own
  const another = connection.duplicate.bind(connection) as (...args: unknown[]) => Connection;
  connection.duplicate = ((...args: unknown[]) => endBetweenTries(another(...args))) as Connection['duplicate'];
  return connection;
}

/**
 * Sends what is asked of Redis in one turn of the event loop with one system call: ioredis makes one of each command, which took
 * an eighth of a worker's time. The order stays, and nothing waits longer than the turn lasts. Of a busy worker's turn many answers are a part, each with
 * its own socket, so the end of the turn is waited for, not that of the callback: a seventh of the system calls, a fiftieth of its time.
 */
function gatherWrites(redis: Redis): void {
  redis.on('connect', () => {
    const { stream } = redis;
    const write = stream.write.bind(stream);
    let corked = false;
    stream.write = ((...args: Parameters<typeof write>) => {
      if (!corked) {
        corked = true;
        stream.cork();
        setImmediate(() => {
          corked = false;
          stream.uncork();
        });
      }
      return write(...args);
    }) as typeof write;
  });
}

function connectCluster(urls: readonly string[], onError: (error: Error) => void, options: RedisOptions): Redis {
  const nodes = urls.map((text) => new URL(text));
  const [first] = nodes;
  const cluster = new Cluster(
    nodes.map((url) => ({ host: url.hostname, port: Number(url.port || 6379) })),
    {
      redisOptions: {
        ...options,
        ...(first?.username ? { username: decodeURIComponent(first.username) } : {}),
        ...(first?.password ? { password: decodeURIComponent(first.password) } : {}),
        ...(first?.protocol === 'rediss:' ? { tls: {} } : {}),
        replyMapping: 'legacy',
      },
      // ioredis would put a node's IP in the place of its name, which its certificate holds
      ...(first?.protocol === 'rediss:' ? { dnsLookup: asNamed } : {}),
      clusterRetryStrategy: backoff,
      // while a node fails over its commands wait for the replica that takes over
      maxRedirections: FAILOVER_RETRIES,
      retryDelayOnFailover: FAILOVER_RETRY_MS,
      retryDelayOnClusterDown: FAILOVER_RETRY_MS,
      slotsRefreshTimeout: 5_000,
    },
  );
  cluster.on('error', onError);
  // only some nodes are away: the cluster itself goes on
  cluster.on('node error', onError);
  return endBetweenTries(cluster) as unknown as Redis;
}

const asNamed = (name: string, found: (error: null, address: string) => void) => found(null, name);

/** The cluster behind a connection; undefined when it is one server. */
export function clusterOf(redis: Redis): Cluster | undefined {
  const connection: unknown = redis;
  return connection instanceof Cluster ? connection : undefined;
}

/** Another connection to the same place, with other options. */
export function duplicate(redis: Redis, options: Pick<ConnectionOptions, 'commandTimeout' | 'autoResubscribe'> = {}): Redis {
  const cluster = clusterOf(redis);
  if (cluster === undefined) {
    const another = redis.duplicate(options);
    gatherWrites(another);
    return another;
  }
  return cluster.duplicate([], {
    redisOptions: { ...cluster.options.redisOptions, ...options, replyMapping: 'legacy' },
  }) as unknown as Redis;
}

/** Connections to every server that takes writes: the one, or all masters of a cluster. */
export function nodesOf(redis: Redis): readonly Redis[] {
  return clusterOf(redis)?.nodes('master') ?? [redis];
}

/** Throws the first error of a MULTI's replies. ioredis does not look into them for a server that is read-only; from that one it reconnects, too. */
export function throwFirst(redis: Redis, replies: readonly (readonly [error: Error | null, reply: unknown])[]): void {
  const [error] = replies.flatMap(([refused]) => refused ?? []);
  if (error === undefined) return;
  if (isReadOnly(error)) redis.disconnect(true);
  throw error;
}

/** Names this start of Redis; undefined in a cluster, which has no one name for it. */
export async function startOfRedis(redis: Redis): Promise<string | undefined> {
  return clusterOf(redis) === undefined ? /^run_id:(\w+)/m.exec(await redis.info('server'))?.[1] : undefined;
}

/** Milliseconds that Redis may take to answer the readiness check. */
const READY_MS = 2_000;

/** Whether Redis answers in time; of a cluster, any of its masters: one that is away takes its own slots with it. Never rejects. */
export async function answers(redis: Redis, ask: (node: Redis) => Promise<boolean> = pong): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, READY_MS, false);
  });
  const nodes = nodesOf(redis);
  // a cluster that knows none yet looks for them
  const asked = nodes.length === 0 ? [redis] : nodes;
  const answered = await Promise.race([anyOf(asked.map(ask)), late]);
  clearTimeout(timer);
  return answered;
}

async function pong(node: Redis): Promise<boolean> {
  return await node.ping().then(
    (reply) => reply === 'PONG',
    () => false,
  );
}

async function anyOf(all: readonly Promise<boolean>[]): Promise<boolean> {
  const yes = all.map(async (one) => (await one) || Promise.reject(new Error('no')));
  return await Promise.any(yes).catch(() => false);
}

/** The same, asking no node again that owes an answer: while any is away no questions pile up there, however many want to know. */
export function readiness(redis: Redis): () => Promise<boolean> {
  const owed = new WeakMap<Redis, Promise<boolean>>();
  const ask = (node: Redis) => {
    const before = owed.get(node);
    if (before !== undefined) return before;
    const answer = pong(node).finally(() => owed.delete(node));
    owed.set(node, answer);
    return answer;
  };
  return async () => await answers(redis, ask);
}

/**
 * Refuses a Redis that throws keys away when memory is short, and answers with warnings about one that keeps nothing
 * on disk. Reads INFO, which managed services answer where they hide CONFIG. Throws Failure redis_unsafe.
 */
export async function checkSafety(redis: Redis): Promise<readonly string[]> {
  await redis.ping();
  const warnings = await Promise.all(nodesOf(redis).map(checkNode));
  return [...new Set(warnings.flat())];
}

async function checkNode(redis: Redis): Promise<readonly string[]> {
  const info = await redis.info();
  const value = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  const policy = value('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    throw new Failure(
      'redis_unsafe',
      `Found maxmemory-policy ${policy}, expected noeviction: it would drop runs when memory is short. Set it in redis.conf, with CONFIG SET maxmemory-policy noeviction, or on Heroku with \`heroku redis:maxmemory --policy noeviction\`.`,
    );
  }
  const warnings: string[] = [];
  if (value('aof_enabled') === '0') {
    warnings.push(
      'Redis has no append-only file (appendonly no): runs accepted since its last snapshot are lost when it stops. Set appendonly yes.',
    );
  }
  return warnings;
}
