// BullMQ's workers of one process: how they serve a queue, and what they have served.
import { type Processor, Worker, type WorkerOptions } from 'bullmq';
import { type QueueName, shardPrefix } from '../queues/keys.ts';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import type { Telemetry } from '../schema/telemetry.ts';
import { workName } from './liveness.ts';

/** BullMQ fails a job that stalled more often than this; crashes are handled by the record's intents, not by counting. */
const NEVER_TOO_OFTEN = 1_000_000;

export interface JobWorkers {
  /** Begins to serve a queue of a shard with so many activations at a time. */
  serve(shard: number, name: QueueName, processor: Processor, concurrency: number): void;
  /** Activations so far by kind of work (`workName`). */
  readonly served: ReadonlyMap<string, number>;
  /** Resolves when all are connected. */
  ready(): Promise<void>;
  /** Takes no new job and waits for the activations under way. */
  close(): Promise<void>;
}

/** `lockMs`: milliseconds without a sign of life after which a job's worker counts as dead. */
export function createJobWorkers(deps: {
  readonly redis: WorkerOptions['connection'];
  readonly lockMs: number;
  readonly monotonic: () => number;
  readonly telemetry: Pick<Telemetry, 'activation'>;
  readonly log: Log;
}): JobWorkers {
  const { redis, lockMs, monotonic, telemetry, log } = deps;
  const workers: Worker[] = [];
  const served = new Map<string, number>();
  return {
    served,
    serve: (shard, name, processor, concurrency) => {
      const what = workName(name, shard);
      served.set(what, 0);
      // of two parameters: for one that takes a signal BullMQ makes an AbortController for each job, and nobody here cancels jobs
      const counted: Processor = async (job, token) => {
        const began = monotonic();
        try {
          return await processor(job, token);
        } finally {
          telemetry.activation(name, monotonic() - began);
          served.set(what, (served.get(what) ?? 0) + 1);
        }
      };
      const worker = new Worker(name, counted, {
        connection: redis,
        prefix: shardPrefix(shard),
        concurrency,
        lockDuration: lockMs,
        stalledInterval: Math.max(100, Math.floor(lockMs / 2)),
        maxStalledCount: NEVER_TOO_OFTEN,
        // a job that was parked does not say so itself any more (queues/parking.ts)
        removeOnComplete: { count: 0 },
        removeOnFail: { count: 0 },
      });
      worker.on('error', (error) => log.warn({ queue: name, error: messageOf(error) }, 'worker error'));
      worker.on('failed', (job, error) => {
        if (error.name !== 'UnrecoverableError') log.warn({ queue: name, jobId: job?.id, error: messageOf(error) }, 'activation failed');
      });
      workers.push(worker);
    },
    ready: async () => {
      await Promise.all(workers.map((worker) => worker.waitUntilReady()));
    },
    close: async () => {
      await Promise.all(workers.map((worker) => worker.close()));
    },
  };
}
