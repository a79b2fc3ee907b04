// What is done to a whole resource, as BullMQ jobs: each may be repeated, and is until it is done.
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { throwFirst } from './connection.ts';
import { ADDON_PREFIX, ADDON_QUEUE, rotationKey } from './keys.ts';

/** `rotate` with `before`: credentials made before that time (ms) are replaced even when they are not due. */
export type ResourceJob =
  | { readonly kind: 'provision'; readonly resource: string }
  | { readonly kind: 'deprovision'; readonly resource: string }
  | { readonly kind: 'rotate'; readonly resource: string; readonly before?: number };

export interface ResourceJobs {
  /**
   * Idempotent: a job that waits, or is done right now, is not added twice. One that waits for its next try is tried now: the time of that
   * was told by the clock of the worker where it failed, which may be minutes ahead. All rotations of a resource are one job: of their orders the last
   * one stands beside it until it is fulfilled.
   */
  add(job: ResourceJob): Promise<void>;
  /** The `before` (ms) of the last order for new credentials that is not fulfilled yet. */
  ordered(resource: string): Promise<number | undefined>;
  /** Strikes that order, unless a later one has come since. */
  fulfilled(resource: string, before: number): Promise<void>;
  close(): Promise<void>;
}

/** Far more tries than a day has minutes: a job ends when it is done or when its resource can never be. */
const ATTEMPTS = 1_000_000;

/** The one member of a rotation's ZSET, which is one for its GT: of many orders that come at once the last one stands. */
const ORDERED = 'ordered';
/** Milliseconds, a day, that an order stands: credentials are replaced every six hours anyway (processors/credentials.ts). */
const ORDER_MS = 86_400_000;

/** Adds jobs on the given connection. */
export function createResourceJobs(deps: { connection: Redis; onError: (error: Error) => void }): ResourceJobs {
  const redis = deps.connection;
  const queue = new Queue(ADDON_QUEUE, { connection: deps.connection, prefix: ADDON_PREFIX });
  queue.on('error', deps.onError);
  return {
    add: async (job) => {
      if (job.kind === 'rotate' && job.before !== undefined) {
        // before the job, which reads it
        const key = rotationKey(job.resource);
        throwFirst(redis, (await redis.multi().zadd(key, 'GT', job.before, ORDERED).pexpire(key, ORDER_MS).exec()) ?? []);
      }
      const jobId = `${job.kind}-${job.resource}`;
      const waiting = await queue.getJob(jobId);
      if (waiting !== undefined && (await waiting.isDelayed())) {
        await waiting.promote().catch(async (error: unknown) => {
          // another call, or its time, was quicker
          if (await waiting.isDelayed()) throw error;
        });
      }
      await queue.add(job.kind, job, {
        jobId,
        attempts: ATTEMPTS,
        backoff: { type: 'custom' },
        removeOnComplete: true,
        removeOnFail: true,
      });
    },
    ordered: async (resource) => {
      const before = await redis.zscore(rotationKey(resource), ORDERED);
      return before === null ? undefined : Number(before);
    },
    fulfilled: async (resource, before) => {
      await redis.zremrangebyscore(rotationKey(resource), '-inf', before);
    },
    close: async () => await queue.close(),
  };
}

/** Milliseconds until a job that failed `attempts` times is tried again: half a second, doubled each time, a minute at most. */
export function retryDelay(attempts: number): number {
  return Math.min(500 * 2 ** Math.min(attempts - 1, 10), 60_000);
}

/** Reads a job's data; undefined when it is none of ours. */
export function readResourceJob(data: unknown): ResourceJob | undefined {
  if (typeof data !== 'object' || data === null || !('kind' in data) || !('resource' in data) || typeof data.resource !== 'string')
    return undefined;
  const { kind, resource } = data;
  if (kind === 'provision' || kind === 'deprovision') return { kind, resource };
  if (kind !== 'rotate') return undefined;
  return { kind, resource, ...('before' in data && typeof data.before === 'number' ? { before: data.before } : {}) };
}
