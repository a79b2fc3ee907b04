import { DelayedError, type Job, Queue, type RedisQueueBackend } from 'bullmq';
import type { Redis } from 'ioredis';
import { Failure } from '../schema/failures.ts';
import { QUEUES, shardKeys, shardPrefix } from './keys.ts';
import { defineScripts, queue } from './scripts.ts';

/** Milliseconds, one year: a park without a deadline (a held sibling that was woken too early). */
const FAR_AHEAD_MS = 31_536_000_000;

export interface Park {
  readonly job: Job;
  readonly token: string;
  readonly runId: string;
  /** `step.index` */
  readonly task: string;
  /** Milliseconds from `now` on; negative for no deadline. */
  readonly ms: number;
  /** Redis' time of the decision. */
  readonly now: number;
  /** What the decision saw of the record. */
  readonly seen: string;
  /** A retry also moves BullMQ's own attempt counter. */
  readonly retry: boolean;
}

export interface Parking {
  /** Parks the task and always throws BullMQ's DelayedError, which a processor must let through. */
  park(request: Park): Promise<never>;
  close(): Promise<void>;
}

/**
 * Waiting holds nothing: the job goes to BullMQ's delayed set until its deadline. Both steps are one MULTI, so a worker
 * that dies here leaves either an active job, which stall recovery runs again, or a parked one that was rechecked.
 */
export function createParking(deps: { shard: number; connection: Redis; onError: (error: Error) => void }): Parking {
  const keys = shardKeys(deps.shard);
  const tasks = new Queue(QUEUES.task, { connection: deps.connection, prefix: shardPrefix(deps.shard) });
  tasks.on('error', deps.onError);
  const backend = tasks.getBackend();
  defineScripts(deps.connection);

  return {
    park: async ({ job, token, runId, task, ms, now, seen, retry }) => {
      const id = job.id;
      if (id === undefined) throw new Failure('internal', 'A task job has no id.');
      await tasks.waitUntilReady();
      const transaction = deps.connection.multi();
      const args = backend.moveToDelayedArgs(id, now, token, ms < 0 ? FAR_AHEAD_MS : Math.max(1, ms), {
        skipAttempt: !retry,
        // a woken task goes before every launch that has not begun
        fieldsToUpdate: { priority: 0 },
      });
      backend.execCommand(asBackendTarget(transaction), 'moveToDelayed', args);
      queue(transaction, 'recheck', [keys.run(runId), keys.history(runId), keys.delayed, keys.marker], [runId, keys.channel, task, seen]);
      const replies = await transaction.exec();
      const [error, moved] = replies?.[0] ?? [new Failure('redis_unavailable', 'The park was not answered.'), undefined];
      if (error !== null) throw error;
      // -1: the job is gone, -2/-3/-6: its lock is not ours any more. Another activation owns it; we only leave.
      if (typeof moved !== 'number') throw new Failure('internal', `moveToDelayed answered ${String(moved)}, expected a number.`);
      throw new DelayedError();
    },
    close: async () => {
      await tasks.close();
    },
  };
}

/** Lets BullMQ's backend put one of its scripts (named `<script>:<version>` on every connection it uses) into our MULTI. */
function asBackendTarget(transaction: object): Parameters<RedisQueueBackend['execCommand']>[0] {
  const target = {
    runCommand: (name: string, args: readonly unknown[]): unknown => {
      const command: unknown = Reflect.get(transaction, name);
      if (typeof command !== 'function') throw new Failure('internal', `BullMQ has no script ${name} on this connection.`);
      return Reflect.apply(command, transaction, [args]);
    },
  };
  // execCommand uses runCommand alone; the contract test holds that against the pinned version
  return target as unknown as Parameters<RedisQueueBackend['execCommand']>[0];
}
