// How many runs began and how they ended, over time: counted in the lists that are kept per state, no record is read.
import type { Redis } from 'ioredis';
import { shardKeys } from './keys.ts';

const ENDS = ['succeeded', 'failed', 'cancelled', 'rejected'] as const;

/** Runs accepted in a stretch of time, by how they ended. */
export interface ActivityStretch {
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly rejected: number;
}

/** Counts `stretches` of `width` ms each, the last one holding `now`; oldest first. */
export async function readActivity(
  redis: Redis,
  query: { resource: string; shards: number; now: number; stretches: number; width: number },
): Promise<readonly ActivityStretch[]> {
  const { resource, shards, now, stretches, width } = query;
  const last = Math.floor(now / width) * width;
  const starts = Array.from({ length: stretches }, (_, i) => last - (stretches - 1 - i) * width);
  const counts = starts.map((from) => ({ from, succeeded: 0, failed: 0, cancelled: 0, rejected: 0 }));
  for (let shard = 0; shard < shards; shard += 1) {
    const keys = shardKeys(shard);
    const pipeline = redis.pipeline();
    for (const from of starts) for (const end of ENDS) pipeline.zcount(keys.byState(resource, end), from, `(${from + width}`);
    const replies = (await pipeline.exec()) ?? [];
    for (const [i, count] of counts.entries()) {
      for (const [j, end] of ENDS.entries()) {
        const [error, value] = replies[i * ENDS.length + j] ?? [null, 0];
        if (error !== null) throw error;
        count[end] += Number(value);
      }
    }
  }
  return counts;
}
