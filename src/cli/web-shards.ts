// What a web process has of each shard. It looks for those that come while it runs: nobody starts it again for them.
import type { Redis } from 'ioredis';
import { startLoop } from '../processors/loop.ts';
import { openBoard } from '../queues/board.ts';
import { openChannel } from '../queues/channel.ts';
import { openFeed } from '../queues/feed.ts';
import { LAYOUT_EVERY_MS, type Layout } from '../queues/layout.ts';
import { createPlanner } from '../queues/planner.ts';
import type { Log } from '../schema/log.ts';

interface OfShard {
  ready(): Promise<unknown>;
  close(): Promise<unknown>;
}

/** Opens everything, and waits for Redis. `shards`: how many `layout` has, or more. */
export async function openWebShards(deps: {
  redis: Redis;
  layout: Pick<Layout, 'refresh'>;
  shards: () => number;
  onError: (error: Error) => void;
  log: Log;
}) {
  const { redis: connection, shards, onError, log } = deps;
  const channel = await openChannel({ connection, shards, onError });
  const feed = await openFeed({ connection, shards, onError });
  const planners = onePerShard(shards, (shard) => createPlanner({ shard, connection, onError, failpoint: () => {} }));
  const boards = onePerShard(shards, (shard) => openBoard({ shard, connection, onError }));
  const look = async () => {
    await deps.layout.refresh();
    await Promise.all([channel, feed].map((one) => one.hear()));
    await Promise.all([planners, boards].map((each) => each.grow()));
  };
  const looking = startLoop({ name: 'layout', every: LAYOUT_EVERY_MS, log, turn: look });
  return {
    channel,
    feed,
    /** By shard; others come to it. */
    planners: planners.all,
    /** All queues, as operators are shown them. */
    queues: () =>
      boards.all.flatMap(({ queues }, shard) =>
        queues.map((queue) => ({ queue, shard, name: boards.all.length === 1 ? queue.name : `${queue.name} of shard ${shard}` })),
      ),
    close: async () => {
      const stopped = looking.stop();
      // a look that waits for Redis ends by that
      channel.close();
      feed.close();
      await Promise.all([planners.close(), boards.close()]);
      await stopped;
    },
  };
}

/**
 * One of each shard. Those of the beginning are there at once, as their connections have all the time that Redis takes; those that come with `grow` when
 * they are ready, since one that Redis did not answer in time stays of no use: the next `grow` opens it anew.
 */
export function onePerShard<One extends OfShard>(count: () => number, open: (shard: number) => One) {
  const all = Array.from({ length: count() }, (_, shard) => open(shard));
  let opening: readonly One[] = [];
  return {
    all: all as readonly One[],
    grow: async (): Promise<void> => {
      const begun = Array.from({ length: Math.max(0, count() - all.length) }, (_, i) => open(all.length + i));
      opening = begun;
      try {
        await Promise.all(begun.map((one) => one.ready()));
        all.push(...begun);
      } catch (error) {
        await Promise.all(begun.map((one) => one.close()));
        throw error;
      } finally {
        opening = [];
      }
    },
    close: async (): Promise<void> => {
      await Promise.all([...all, ...opening].map((one) => one.close()));
    },
  };
}
