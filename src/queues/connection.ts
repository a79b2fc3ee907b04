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

/**
 * Refuses a Redis that throws keys away when memory is short, and answers with warnings about one that keeps nothing
 * on disk. Throws Failure redis_unsafe.
 */
export async function checkSafety(redis: Redis): Promise<readonly string[]> {
  const policy = await setting(redis, 'maxmemory-policy');
  if (policy !== undefined && policy !== 'noeviction') {
    throw new Failure(
      'redis_unsafe',
      `Found maxmemory-policy ${policy}, expected noeviction: it would drop runs when memory is short. Set it in redis.conf or with CONFIG SET maxmemory-policy noeviction.`,
    );
  }
  const warnings: string[] = [];
  if ((await setting(redis, 'appendonly')) === 'no') {
    warnings.push(
      'Redis has no append-only file (appendonly no): runs accepted since its last snapshot are lost when it stops. Set appendonly yes.',
    );
  }
  return warnings;
}

/** undefined where the service hides its settings (managed Redis). */
async function setting(redis: Redis, name: string): Promise<string | undefined> {
  try {
    const reply: unknown = await redis.config('GET', name);
    return Array.isArray(reply) && typeof reply[1] === 'string' ? reply[1] : undefined;
  } catch (error) {
    if (error instanceof Error && /unknown command|NOPERM|disabled/i.test(error.message)) return undefined;
    throw error;
  }
}
