// Takes everything of a removed resource out of Redis: its runs, indexes, counters, and whatever else has its id in its key.
import type { Redis } from 'ioredis';
import { OPEN_STATES } from '../schema/run-view.ts';
import { resourceOfPile } from './archive.ts';
import { nodesOf, startOfRedis } from './connection.ts';
import { ACCOUNTS_KEY, auditKey, budgetKey, resourceKey, type ShardKeys, shardKeys, WEBHOOKED_KEY, webhookKeys } from './keys.ts';
import { keysOfRun } from './run-record.ts';
import { run as runScript } from './scripts.ts';

/** Runs removed at a time, keys looked at in one step of the scan. */
const PAGE = 200;
const SCAN_COUNT = 1_000;

export interface Purge {
  /** The runs of the resource that have not ended, and the dynos that it still waits for or has to stop. */
  open(resource: string): Promise<{ runs: readonly string[]; watched: number }>;
  /** Which resource a run belongs to; undefined when Redis has no such run. */
  ownerOf(runId: string): Promise<string | undefined>;
  /** Removes all keys of the resource but its tombstone and its audit log. Answers on which start of Redis (`startOfRedis`). Repeatable. */
  purge(resource: string): Promise<string | undefined>;
}

/** `shards`: how many of the engine have runs at that moment, which may be more than when this process started. */
export function createPurge(deps: { redis: Redis; shards: () => number }): Purge {
  const { redis } = deps;
  const shardsNow = () => Array.from({ length: deps.shards() }, (_, shard) => shardKeys(shard));

  /** Answers how many there were. */
  const takeRuns = async (keys: ShardKeys, resource: string): Promise<number> => {
    const lists = [keys.index(resource), keys.live, keys.unarchived] as const;
    let taken = 0;
    for (let some = 1; some > 0; taken += some) some = Number(await runScript(redis, 'purge-runs', lists, ['', '', PAGE, keys.run('')]));
    return taken;
  };

  return {
    open: async (resource) => {
      const runs: string[] = [];
      let watched = 0;
      for (const keys of shardsNow()) {
        watched += await redis.hlen(keys.watch(resource));
        for (const state of OPEN_STATES) runs.push(...(await redis.zrange(keys.byState(resource, state), '0', '-1')));
      }
      return { runs, watched };
    },

    ownerOf: async (runId) => (await redis.hget(keysOfRun(runId).run(runId), 'resource')) ?? undefined,

    purge: async (resource) => {
      const start = await startOfRedis(redis);
      const shards = shardsNow();
      // what has a purge of what came late made goes last: one that breaks off is made again by whoever exports
      await redis.zadd(shardKeys(0).unexported, 'NX', 1, resource);
      for (const keys of shards) {
        await takeRuns(keys, resource);
        await redis.srem(keys.watched, resource);
        const stops = (await redis.zrange(keys.stops, '0', '-1')).filter((member) => member.startsWith(`${resource}|`));
        if (stops.length > 0) await redis.zrem(keys.stops, ...stops);
      }
      // lists of all resources, in which it is one entry
      await redis.srem(WEBHOOKED_KEY, resource);
      // before the scan: a delivery that is under way writes as long as its webhook stands (lua/note-delivery.lua), also behind the scan
      await redis.unlink(webhookKeys(resource).all);
      for (const account of await redis.smembers(ACCOUNTS_KEY))
        await runScript(redis, 'budget-forget', [budgetKey(account)], [1, 1, resource]);
      // what a list of its runs has by now goes with their records
      const kept = new Set([resourceKey(resource), auditKey(resource), ...shards.map((keys) => keys.index(resource))]);
      // a run that was accepted meanwhile has its lists behind the scan: it is in the index by then, and has the scan begin anew
      for (let late = 1; late > 0; ) {
        for (const node of nodesOf(redis)) {
          let cursor = '0';
          do {
            const [next, found] = await node.scan(cursor, 'MATCH', `*${resource}*`, 'COUNT', SCAN_COUNT);
            cursor = next;
            for (const key of found) if (!kept.has(key) && !isJob(key)) await redis.unlink(key);
          } while (cursor !== '0');
        }
        late = 0;
        for (const keys of shards) late += await takeRuns(keys, resource);
      }
      for (const keys of shards) {
        const piles = (await redis.zrange(keys.unexported, '0', '-1')).filter((pile) => resourceOfPile(pile) === resource);
        if (piles.length > 0) await redis.zrem(keys.unexported, ...piles);
      }
      return start;
    },
  };
}

/** The job that removes the resource has its id in its keys, too; BullMQ takes it away when it is done. */
function isJob(key: string): boolean {
  return key.startsWith('{af:addon}:');
}
