import { Redis, type RedisOptions } from 'ioredis';
import { Failure } from '../schema/failures.ts';

/** Where Redis is: a URL, or the path of a unix socket. */
export type RedisAddress = { readonly url: string } | { readonly socket: string };

type ConnectionOptions = Omit<RedisOptions, 'replyMapping'>;

/** Milliseconds between two tries to connect at most. */
const MAX_RECONNECT_DELAY_MS = 2_000;

/**
 * A connection that never gives up: commands wait while Redis is away, as BullMQ's workers need it. Errors are
 * handed to `onError`; ioredis reconnects by itself.
 */
export function connect(address: RedisAddress, onError: (error: Error) => void, options: ConnectionOptions = {}): Redis {
  const all = {
    maxRetriesPerRequest: null,
    retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times, 6), MAX_RECONNECT_DELAY_MS),
    ...options,
    replyMapping: 'legacy' as const,
  };
  const redis = 'url' in address ? new Redis(address.url, all) : new Redis({ path: address.socket, ...all });
  redis.on('error', onError);
  return redis;
}

/** Milliseconds that Redis may take to answer the readiness check. */
const READY_MS = 2_000;

/** Whether Redis answers in time. Never rejects. */
export async function answers(redis: Redis): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, READY_MS, false);
  });
  const pong = redis.ping().then(
    (reply) => reply === 'PONG',
    () => false,
  );
  const answered = await Promise.race([pong, late]);
  clearTimeout(timer);
  return answered;
}

/**
 * Refuses a Redis that throws keys away when memory is short, and answers with warnings about one that keeps nothing
 * on disk. Reads INFO, which managed services answer where they hide CONFIG. Throws Failure redis_unsafe.
 */
export async function checkSafety(redis: Redis): Promise<readonly string[]> {
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
