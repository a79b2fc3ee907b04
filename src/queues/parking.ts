import { DelayedError, type Job, Queue, type RedisQueueBackend } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure } from '../schema/failures.ts';
import { QUEUE_STREAMS, QUEUES, shardKeys, shardPrefix } from './keys.ts';
import { defineScripts, isScriptUnknown, loadScripts, queue } from './scripts.ts';
import { JOB_OPTIONS } from './tree.ts';

/** Milliseconds, one year: a park without a deadline (a held sibling that was woken too early). */
const FAR_AHEAD_MS = 31_536_000_000;

/**
 * A task's options as BullMQ writes them (`idof`: ignoreDependencyOnFailure), without those that it keeps elsewhere, too: parent, priority
 * and id stand in the job beside them, and that a finished job goes is an option of our workers (processors/job-workers.ts).
 */
const PARKED_OPTIONS = JSON.stringify({ attempts: JOB_OPTIONS.attempts, backoff: JOB_OPTIONS.backoff.delay, idof: true });

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
export function createParking(deps: { shard: number; connection: Redis; onError: (error: Error) => void; failpoint: Failpoint }): Parking {
  const keys = shardKeys(deps.shard);
  const tasks = new Queue(QUEUES.task, { connection: deps.connection, prefix: shardPrefix(deps.shard), streams: QUEUE_STREAMS });
  tasks.on('error', deps.onError);
  const backend = tasks.getBackend();
  defineScripts(deps.connection);

  const exec = async ({ token, runId, task, ms, now, seen, retry }: Park, id: string) => {
    const transaction = deps.connection.multi();
    const args = backend.moveToDelayedArgs(id, now, token, ms < 0 ? FAR_AHEAD_MS : Math.max(1, ms), {
      skipAttempt: !retry,
      fieldsToUpdate: {
        // a woken task goes before every launch that has not begun
        priority: 0,
        // what waits is kept small
        opts: PARKED_OPTIONS,
      },
    });
    backend.execCommand(asBackendTarget(transaction), 'moveToDelayed', args);
    queue(transaction, 'recheck', [keys.run(runId), keys.history(runId), keys.delayed, keys.marker], [runId, keys.channel, task, seen]);
    return (await transaction.exec()) ?? [];
  };

  return {
    park: async (request) => {
      const id = request.job.id;
      if (id === undefined) throw new Failure('internal', 'A task job has no id.');
      await tasks.waitUntilReady();
      let replies = await exec(request, id);
      if (replies.some(([error]) => isScriptUnknown(error))) {
        // a half of it may have been done: parking a parked job again changes nothing, and the recheck is what counts
        await loadScripts(deps.connection);
        replies = await exec(request, id);
      }
      if (replies.length !== 2) throw new Failure('redis_unavailable', 'The park was not answered.');
      for (const [error] of replies) if (error !== null) throw error;
      const moved = replies[0]?.[1];
      // -1: the job is gone, -2/-3/-6: its lock is not ours any more. Another activation owns it; we only leave.
      if (typeof moved !== 'number') throw new Failure('internal', `moveToDelayed answered ${String(moved)}, expected a number.`);
      deps.failpoint('task.parked');
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
