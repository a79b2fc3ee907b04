// Whether Redis still is the Redis that it was. A counter in it only grows; who finds it lower than it was, or gone, knows
// that data was lost, and raises the epoch.
import type { Redis } from 'ioredis';
import type { ArchivedRun } from '../schema/archived-run.ts';
import { clusterOf } from './connection.ts';
import { STORE_KEY, shardKeys } from './keys.ts';
import { keysOfRun } from './run-record.ts';
import { defineScripts, run as runScript } from './scripts.ts';

export interface StoreState {
  readonly beat: number;
  /** undefined: this Redis was never given one, it is new or was emptied. */
  readonly epoch: number | undefined;
  /** Milliseconds by Redis' clock: when the epoch began; 0 for the first. */
  readonly since: number;
  /** Starts of the server in this epoch and the count at which each was found, oldest first; the present one is missing until somebody counts. */
  readonly starts: readonly { readonly start: string; readonly beat: number }[];
}

/** Starts of the server that are kept: a worker that is away for longer than that many takes what it finds for a loss. */
const STARTS = 16;

export type StoreEpoch = ReturnType<typeof createStoreEpoch>;

export function createStoreEpoch(deps: { redis: Redis; shards: number }) {
  const { redis } = deps;
  defineScripts(redis);
  let breaks = 0;
  redis.on('close', () => {
    breaks += 1;
  });
  return {
    /** How often the connection broke: after a break Redis may be another one than before. */
    breaks: (): number => breaks,

    /** Counts on and answers with what stands. */
    beat: async (): Promise<StoreState> => {
      const reply = await runScript(redis, 'beat', [STORE_KEY], ['', '', STARTS]);
      return stateOf(Array.isArray(reply) ? reply : []);
    },

    /** What stands, without counting: whoever saw more must be able to tell. */
    peek: async (): Promise<StoreState> => stateOf(await redis.hmget(STORE_KEY, 'beat', 'epoch', 'since', 'starts')),

    /** Which start of the server this is, and for how many seconds it has been up; undefined for a cluster, which has many. */
    server: async (): Promise<{ readonly start: string; readonly seconds: number } | undefined> => {
      if (clusterOf(redis) !== undefined) return undefined;
      const info = await redis.info('server');
      const start = /^run_id:(\S+)/m.exec(info)?.[1];
      const seconds = /^uptime_in_seconds:(\d+)/m.exec(info)?.[1];
      return start === undefined || seconds === undefined ? undefined : { start, seconds: Number(seconds) };
    },

    /** Begins the epoch unless a later one has begun. `beat`: from where to count on, above all that was ever seen. */
    raise: async (epoch: number, beat: number, since: number): Promise<void> => {
      await runScript(redis, 'raise', [STORE_KEY], ['', '', epoch, beat, since]);
    },

    /** Frees locks that came back with an older Redis: whoever held them then has long let go of them, and does not know it. */
    free: async (locks: readonly string[]): Promise<void> => {
      for (let shard = 0; shard < deps.shards; shard += 1) for (const what of locks) await redis.del(shardKeys(shard).lock(what));
    },

    /** A page of runs that have not ended, in all shards. */
    live: async (shard: number, page: { offset: number; limit: number }): Promise<readonly string[]> =>
      await redis.zrange(shardKeys(shard).live, String(page.offset), String(page.offset + page.limit - 1)),

    /** Marks a run that has not ended as one whose work may be done again; answers whether it was not marked before. */
    redo: async (runId: string, epoch: number): Promise<boolean> => {
      const keys = keysOfRun(runId);
      const resource = (await redis.hget(keys.run(runId), 'resource')) ?? '';
      const reply = await runScript(
        redis,
        'redo',
        [keys.run(runId), keys.history(runId), keys.decisions(resource)],
        [runId, keys.channel, epoch],
      );
      return reply === 1;
    },

    /** Puts an ended run back as the archive has it; answers whether Redis did not have its end. */
    restore: async (run: ArchivedRun): Promise<boolean> => {
      const keys = keysOfRun(run.id);
      const resource = run.record['resource'] ?? '';
      const reply = await runScript(
        redis,
        'restore',
        [
          keys.run(run.id),
          keys.history(run.id),
          keys.document(run.id),
          keys.live,
          keys.index(resource),
          keys.decisions(resource),
          keys.delayed,
          keys.marker,
        ],
        [
          run.id,
          keys.channel,
          JSON.stringify(run.record),
          run.document ?? '',
          JSON.stringify(run.history.map((entry) => JSON.stringify(entry))),
        ],
      );
      return reply === 'restored';
    },

    /** When the oldest run was saved that is not over and archived (ms); undefined when there is none. Bounded: a lower bound when there are very many. */
    oldestOpen: async (): Promise<number | undefined> => {
      let oldest: number | undefined;
      const note = (at: number) => {
        if (oldest === undefined || at < oldest) oldest = at;
      };
      for (let shard = 0; shard < deps.shards; shard += 1) {
        const keys = shardKeys(shard);
        const [, live] = await redis.zrange(keys.live, '0', '0', 'WITHSCORES');
        if (live !== undefined) note(Number(live));
        const waiting = await redis.zrange(keys.unarchived, '0', String(OPEN_LOOK - 1));
        if (waiting.length >= OPEN_LOOK) note(0);
        const pipeline = redis.pipeline();
        for (const runId of waiting) pipeline.hmget(keys.run(runId), 'saved', 'at');
        for (const [error, found] of waiting.length === 0 ? [] : ((await pipeline.exec()) ?? [])) {
          if (error !== null) throw error;
          const [saved, at] = Array.isArray(found) ? found : [];
          if (typeof saved === 'string' || typeof at === 'string') note(Number(saved ?? at));
        }
      }
      return oldest;
    },
  };
}

function stateOf(fields: readonly unknown[]): StoreState {
  const [beat, epoch, since, starts] = fields.map((field) => (field === null || field === undefined ? '' : String(field)));
  return {
    beat: Number(beat),
    epoch: epoch === '' || epoch === undefined ? undefined : Number(epoch),
    since: Number(since),
    starts: [...(starts ?? '').matchAll(/(\S+)=(\d+)/g)].map(([, start = '', count]) => ({ start, beat: Number(count) })),
  };
}

/** Ended runs that wait for the archive, of which the oldest is looked for; with more than that the watermark stands still. */
const OPEN_LOOK = 1_000;
