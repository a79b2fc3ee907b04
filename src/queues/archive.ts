// Ended runs on their way into the archive, and records whose retention has passed.
import type { Redis } from 'ioredis';
import { type ArchivedRun, readHistoryEntry } from '../schema/archived-run.ts';
import { redisTime } from './due.ts';
import { shardKeys } from './keys.ts';
import { keysOfRun } from './run-record.ts';
import { run as runScript } from './scripts.ts';

/**
 * Milliseconds, a minute, for which a bucket that has taken an export is taken for one that takes more: in that time eighty piles have had a turn of
 * about 3 s, four at a time.
 */
const TAKES_MS = 60_000;
/** Milliseconds, 16 days: how long it is remembered at least that an event had its run; SQS redelivers for 14 at most. */
const MEMORY_MS = 16 * 86_400_000;

export interface Refused {
  readonly runId: string;
  readonly ms: number;
}

/** Whose runs wait in a pile. Its name is the resource's, or `<resource>|<run>` for a run that its bucket refuses by itself. */
export function resourceOfPile(pile: string): string {
  return pile.split('|', 1)[0] ?? pile;
}

export type ArchiveQueue = ReturnType<typeof createArchiveQueue>;

/** One shard's ended runs. */
export function createArchiveQueue(deps: { redis: Redis; shard: number }) {
  const { redis } = deps;
  const keys = shardKeys(deps.shard);

  return {
    /** Ended runs that are to be archived now, those that wait longest first. */
    waiting: async (limit: number): Promise<readonly string[]> =>
      await redis.zrangebyscore(keys.unarchived, '-inf', await redisTime(redis, keys.unarchived), 'LIMIT', 0, limit),

    /** Has a run wait for `ms` more. */
    postpone: async (runId: string, ms: number): Promise<void> => {
      await redis.zadd(keys.unarchived, 'XX', (await redisTime(redis, keys.unarchived)) + ms, runId);
    },

    /** Everything that Redis has of an ended run; undefined when there is no record or it has not ended. */
    read: async (runId: string): Promise<Omit<ArchivedRun, 'format'> | undefined> => await readWhole(redis, runId),

    /**
     * The archive has the run with the record that `read` gave, and so has the tenant's bucket, unless that has refused it: it is then `refused`, and
     * tried again after so many ms. `exported`: of that pile, and the bucket alone was written. Answers whether the run still ends with that.
     */
    archived: async (
      runId: string,
      record: Readonly<Record<string, string>>,
      { refused, exported }: { readonly refused?: number; readonly exported?: string } = {},
    ): Promise<boolean> => {
      const pile = exported ?? record['resource'] ?? '';
      const reply = await runScript(
        redis,
        'archived',
        [keys.run(runId), keys.history(runId), keys.unarchived, keys.unexported, keys.unexportedOf(pile), keys.takes(pile)],
        [runId, exported === undefined ? '' : 'exported', record['end'] ?? '', record['late'] ?? '', pile, refused ?? '', TAKES_MS],
      );
      return reply !== 'changed';
    },

    /** Whether runs of a resource wait, since its bucket has refused an export, and it has taken none lately. */
    refuses: async (resource: string): Promise<boolean> =>
      (await redis.zscore(keys.unexported, resource)) !== null && (await redis.exists(keys.takes(resource))) === 0,

    /** Piles of refused exports that are to be tried again now, those that wait longest first: a resource's, or one of a single run. */
    refusing: async (limit: number): Promise<readonly string[]> =>
      await redis.zrangebyscore(keys.unexported, '-inf', await redisTime(redis, keys.unexported), 'LIMIT', 0, limit),

    /** Has the refused exports of a pile, and those that come, wait for `ms` more. */
    postponeExports: async (pile: string, ms: number): Promise<void> => {
      await redis.zadd(keys.unexported, 'XX', (await redisTime(redis, keys.unexported)) + ms, pile);
      await redis.del(keys.takes(pile));
    },

    /** What is left of a pile whose bucket takes exports goes on when those that are due by now had their turn. */
    goOnExporting: async (pile: string): Promise<void> => {
      await redis.zadd(keys.unexported, 'XX', await redisTime(redis, keys.unexported), pile);
    },

    /** Runs of a pile, and for how many ms their export has been refused: longest first, or the `youngest` first. */
    unexported: async (pile: string, limit: number, order?: 'youngest'): Promise<readonly Refused[]> => {
      const [key, last] = [keys.unexportedOf(pile), String(limit - 1)];
      const [found, now] = await Promise.all([
        order === 'youngest' ? redis.zrevrange(key, '0', last, 'WITHSCORES') : redis.zrange(key, '0', last, 'WITHSCORES'),
        redisTime(redis, keys.unexported),
      ]);
      return Array.from({ length: found.length / 2 }, (_, i) => ({ runId: found[2 * i] ?? '', ms: now - Number(found[2 * i + 1]) }));
    },

    /** Takes a run that its bucket refuses, while it takes another, out of its resource's pile into one of its own, tried again after `ms`. */
    setExportApart: async (resource: string, runId: string, ms: number): Promise<void> => {
      const own = `${resource}|${runId}`;
      const piles = [keys.unexported, keys.unexportedOf(resource), keys.unexportedOf(own)] as const;
      await runScript(redis, 'set-export-apart', piles, [runId, resource, own, ms]);
    },

    /** Gives the export of a pile's run up, for which its history says why; the run is then archived once more. */
    giveUpExport: async (pile: string, runId: string, why: string): Promise<boolean> =>
      (await runScript(
        redis,
        'give-up-export',
        [keys.run(runId), keys.history(runId), keys.unexported, keys.unexportedOf(pile)],
        [runId, keys.channel, why, pile],
      )) === 1,

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
