import { randomUUID } from 'node:crypto';
import { shardKeys } from '../../src/queues/keys.ts';
import type { World } from './world.ts';

/** Milliseconds, 400 days: longer ago than any plan keeps its records. */
const LONG_AGO_MS = 400 * 86_400_000;

/**
 * Puts the record of a run into Redis that ended, and was archived, long ago, and has whoever starts next look for such: records are looked through
 * once an hour. Resolves with the way to take it out again, should it still be there.
 */
export async function plantOldRun({ redis, tenants }: World): Promise<() => Promise<void>> {
  const [tenant] = tenants;
  if (tenant === undefined) throw new RangeError('a tenant is needed');
  const keys = shardKeys(0);
  const id = `r0-${randomUUID().replaceAll('-', '').slice(0, 20)}`;
  const ended = Date.now() - LONG_AGO_MS;
  const record = {
    state: 'succeeded',
    resource: tenant.id,
    at: ended,
    end: ended,
    arch: 1,
    title: 'old',
    steps: 1,
    n0: 1,
    'p:0.0': 'succeeded',
  };
  await redis.hset(keys.run(id), { ...record, bucket: tenant.bucket, key: `in/${id}`, version: 'old' });
  await redis.zadd(keys.index(tenant.id), ended, id);
  await redis.del(keys.lock('retention'));
  return async () => {
    await redis.del(keys.run(id));
    await redis.zrem(keys.index(tenant.id), id);
  };
}
