import type { Redis } from 'ioredis';

/** Everything that stands in Redis as text: key → names and values of whatever type it is. */
export async function redisText(redis: Redis): Promise<ReadonlyMap<string, string>> {
  const read = async (key: string): Promise<unknown> => {
    switch (await redis.type(key)) {
      case 'string':
        return await redis.get(key);
      case 'hash':
        return await redis.hgetall(key);
      case 'list':
        return await redis.lrange(key, '0', '-1');
      case 'set':
        return await redis.smembers(key);
      case 'zset':
        return await redis.zrange(key, '0', '-1', 'WITHSCORES');
      case 'stream':
        return await redis.xrange(key, '-', '+');
      default:
        return '';
    }
  };
  const keys = await redis.keys('*');
  return new Map(await Promise.all(keys.map(async (key) => [key, JSON.stringify(await read(key))] as const)));
}
