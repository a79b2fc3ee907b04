// Ended runs on their way into the archive, and records whose retention has passed.
import type { Redis } from 'ioredis';
import { type ArchivedRun, readHistoryEntry } from '../schema/archived-run.ts';
import { redisTime } from './due.ts';
import { shardKeys } from './keys.ts';
import { keysOfRun } from './run-record.ts';
import { run as runScript } from './scripts.ts';

/** Milliseconds, 16 days: how long it is remembered at least that an event had its run; SQS redelivers for 14 at most. */
const MEMORY_MS = 16 * 86_400_000;

export type ArchiveQueue = ReturnType<typeof createArchiveQueue>;

/** One shard's ended runs. */
export function createArchiveQueue(deps: { redis: Redis; shard: number }) {
  const { redis } = deps;
  const keys = shardKeys(deps.shard);

  return {
    /** Ended runs that are to be archived now, those that wait longest first. */
    waiting: async (limit: number): Promise<readonly string[]> =>
      await redis.zrangebyscore(keys.unarchived, '-inf', await redisTime(redis), 'LIMIT', 0, limit),

    /** Has a run wait for `ms` more. */
    postpone: async (runId: string, ms: number): Promise<void> => {
      await redis.zadd(keys.unarchived, 'XX', (await redisTime(redis)) + ms, runId);
    },

    /** Everything that Redis has of an ended run; undefined when there is no record or it has not ended. */
    read: async (runId: string): Promise<Omit<ArchivedRun, 'format'> | undefined> => await readWhole(redis, runId),

    /**
     * The archive has the run with the record that `read` gave, and so has the tenant's bucket, unless that has refused it: it is then `refused`, and
     * tried again after so many ms. Answers whether the run still ends with that.
     */
    archived: async (
      runId: string,
      record: Readonly<Record<string, string>>,
      { refused, resource = record['resource'] ?? '' }: { readonly refused?: number; readonly resource?: string } = {},
    ): Promise<boolean> =>
      (await runScript(
        redis,
        'archived',
        [keys.run(runId), keys.history(runId), keys.unarchived, keys.unexported, keys.unexportedOf(resource)],
        [runId, '', record['end'] ?? '', record['late'] ?? '', resource, refused ?? ''],
      )) !== 'changed',

    /** Resources whose bucket has refused exports, which are to be tried again now, those that wait longest first. */
    refusing: async (limit: number): Promise<readonly string[]> =>
      await redis.zrangebyscore(keys.unexported, '-inf', await redisTime(redis), 'LIMIT', 0, limit),

    /** Has the refused exports of a resource wait for `ms` more. */
    postponeExports: async (resource: string, ms: number): Promise<void> => {
      await redis.zadd(keys.unexported, 'XX', (await redisTime(redis)) + ms, resource);
    },

    /** Runs of a resource whose export was refused, and for how many ms, longest first. */
    unexported: async (resource: string, limit: number): Promise<readonly { readonly runId: string; readonly ms: number }[]> => {
      const [found, now] = await Promise.all([
        redis.zrange(keys.unexportedOf(resource), '0', String(limit - 1), 'WITHSCORES'),
        redisTime(redis),
      ]);
      return Array.from({ length: found.length / 2 }, (_, i) => ({ runId: found[2 * i] ?? '', ms: now - Number(found[2 * i + 1]) }));
    },

    /** Gives a run's export up, for which its history says why; the run is then archived once more. */
    giveUpExport: async (runId: string, why: string): Promise<boolean> =>
      (await runScript(redis, 'give-up-export', [keys.run(runId), keys.history(runId)], [runId, keys.channel, why])) === 1,

    /** A page of a resource's runs that were accepted before `until` (ms), oldest first. */
    accepted: async (resource: string, until: number, page: { offset: number; limit: number }): Promise<readonly string[]> =>
      await redis.zrangebyscore(keys.index(resource), '-inf', until, 'LIMIT', page.offset, page.limit),

    /** Takes an ended and archived run away when `retention` ms have passed since its end, to a stub while its event may come again. */
    retire: async (resource: string, runId: string, retention: number): Promise<'retired' | 'stub' | 'gone' | 'young' | 'unarchived'> =>
      // the script answers with these words alone
      (await runScript(
        redis,
        'retire',
        [keys.run(runId), keys.history(runId), keys.document(runId), keys.index(resource)],
        [runId, '', retention, MEMORY_MS],
      )) as 'retired' | 'stub' | 'gone' | 'young' | 'unarchived',
  };
}

/** The record of an ended run with its document and history. */
async function readWhole(redis: Redis, runId: string): Promise<Omit<ArchivedRun, 'format'> | undefined> {
  const keys = keysOfRun(runId);
  const [record, document, history] = await Promise.all([
    redis.hgetall(keys.run(runId)),
    redis.get(keys.document(runId)),
    redis.lrange(keys.history(runId), 0, -1),
  ]);
  if (record['end'] === undefined || record['stub'] !== undefined) return undefined;
  return { id: runId, record, document, history: history.map(readHistoryEntry) };
}
