// Where a resource is found by: the list of all, its bucket, its app.
import type { Redis } from 'ioredis';
import { appKey, bucketKey, RESOURCES_KEY } from './keys.ts';

interface Places {
  readonly id: string;
  readonly bucket: string;
  /** Empty while it is not known. */
  readonly app: string;
}

/** The resource is found there, unless another one is. Repeatable. */
export async function enlist(redis: Redis, { id, bucket, app }: Places): Promise<void> {
  await redis.setnx(bucketKey(bucket), id);
  if (app !== '') await redis.setnx(appKey(app), id);
  await redis.sadd(RESOURCES_KEY, id);
}

/** It is found nowhere any more. What another resource is found by stays. Repeatable. */
export async function strike(redis: Redis, { id, bucket, app }: Places): Promise<void> {
  await redis.srem(RESOURCES_KEY, id);
  for (const key of [bucketKey(bucket), ...(app === '' ? [] : [appKey(app)])]) if ((await redis.get(key)) === id) await redis.del(key);
}
