// The BullMQ queues as operators look at them: each queue of each shard, opened for reading.
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { QUEUE_STREAMS, QUEUES, shardPrefix } from './keys.ts';

export interface Board {
  /** As it is shown: the queue's name, with its shard where there are several. */
  readonly name: string;
  readonly queue: Queue;
}

export interface Boards {
  readonly boards: readonly Board[];
  close(): Promise<void>;
}

/** Opens all queues on one connection. Nothing is read before somebody looks. */
export function openBoards(deps: { connection: Redis; shards: number; onError: (error: Error) => void }): Boards {
  const boards = Array.from({ length: deps.shards }, (_, shard) =>
    Object.values(QUEUES).map((name): Board => {
      const queue = new Queue(name, { connection: deps.connection, prefix: shardPrefix(shard), streams: QUEUE_STREAMS });
      queue.on('error', deps.onError);
      return { name: deps.shards === 1 ? name : `${name} of shard ${shard}`, queue };
    }),
  ).flat();
  return {
    boards,
    close: async () => {
      await Promise.all(boards.map(({ queue }) => queue.close()));
    },
  };
}
