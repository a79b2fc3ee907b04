// How much could be served this moment, as BullMQ's own lists show it. Read-only: health and metrics look here.
import type { Redis } from 'ioredis';
import { Failure } from '../schema/failures.ts';
import { QUEUES, type QueueName, shardKeys } from './keys.ts';
import { run as runScript } from './scripts.ts';

/** BullMQ's delayed scores: milliseconds × 4096 + a sequence number. */
const SCORE_PER_MS = 4096;

export interface QueueDepth {
  /** Jobs that a worker could take now. */
  readonly waiting: number;
  /** Parked jobs whose time has come, not yet moved to the waiting ones. */
  readonly overdue: number;
  /** All parked jobs. */
  readonly parked: number;
  readonly active: number;
  /** Somebody paused the queue: nothing of it is due. */
  readonly paused: boolean;
}

/** One shard's queues. `now`: Redis' time in milliseconds. Throws Failure redis_unavailable or what Redis answered. */
export async function readDepths(redis: Redis, shard: number, now: number): Promise<Readonly<Record<QueueName, QueueDepth>>> {
  const pipeline = redis.pipeline();
  const names = Object.values(QUEUES);
  for (const name of names) {
    const lists = shardKeys(shard).lists(name);
    pipeline
      .llen(lists.wait)
      .zcard(lists.prioritized)
      .zcount(lists.delayed, '-inf', now * SCORE_PER_MS);
    pipeline.zcard(lists.delayed).llen(lists.active).hexists(lists.meta, 'paused');
  }
  const numbers = ((await pipeline.exec()) ?? []).map(([error, reply]) => {
    if (error !== null) throw error;
    return Number(reply);
  });
  const each = 6;
  const depth = (name: QueueName): QueueDepth => {
    const [wait, prioritized, overdue, parked, active, paused] = numbers.slice(names.indexOf(name) * each);
    if (wait === undefined || prioritized === undefined || overdue === undefined)
      throw new Failure('redis_unavailable', 'A look came back short.');
    return { waiting: wait + prioritized, overdue, parked: parked ?? 0, active: active ?? 0, paused: paused === 1 };
  };
  return { plan: depth('plan'), task: depth('task'), finish: depth('finish') };
}

/** Jobs of a queue that should be served now. */
export function dueOf({ waiting, overdue, paused }: QueueDepth): number {
  return paused ? 0 : waiting + overdue;
}

/**
 * Redis' time in milliseconds; with a key that of its node, where it is to be compared with what was written there: a command without one goes to
 * any node of a cluster, and each has a clock of its own.
 */
export async function redisTime(redis: Redis, key?: string): Promise<number> {
  if (key !== undefined) return Number(await runScript(redis, 'clock', [key], []));
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}
