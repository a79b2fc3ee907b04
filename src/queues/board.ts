// The BullMQ queues of a shard as operators look at them, opened for reading.
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { QUEUE_STREAMS, QUEUES, shardPrefix } from './keys.ts';

export interface Board {
  readonly queues: readonly Queue[];
  /** Resolves when they may be used. Rejects where Redis did not answer in time: they are of no use then, and others are to be opened. */
  ready(): Promise<unknown>;
  close(): Promise<unknown>;
}

/** Opens all queues of a shard on one connection. Nothing is read before somebody looks. */
export function openBoard(deps: { connection: Redis; shard: number; onError: (error: Error) => void }): Board {
  const queues = Object.values(QUEUES).map((name) => {
    const queue = new Queue(name, { connection: deps.connection, prefix: shardPrefix(deps.shard), streams: QUEUE_STREAMS });
    queue.on('error', deps.onError);
    return queue;
  });
  return {
    queues,
    ready: async () => await Promise.all(queues.map((queue) => queue.waitUntilReady())),
    close: async () => await Promise.all(queues.map((queue) => queue.close())),
  };
}
