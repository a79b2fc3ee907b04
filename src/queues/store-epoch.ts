// Whether Redis still is the Redis that it was. A counter in it only grows; who finds it lower than it was, or gone, knows
// that data was lost, and raises the epoch.
import type { Redis } from 'ioredis';
import type { ArchivedRun } from '../schema/archived-run.ts';
import { OPEN_STATES } from '../schema/run-view.ts';
import { clusterOf } from './connection.ts';
import { NODE_KEYS, STORE_KEY, shardKeys } from './keys.ts';
import { keysOfRun } from './run-record.ts';
import { run as runScript } from './scripts.ts';

/** A part of the store that may lose data by itself: all of a Redis, or what a node of a cluster has. */
export interface Place {
  readonly beat: number;
  /** The start of the server that has it, by the server's own name; empty where it has none. */
  readonly start: string;
  /** Since that start. */
  readonly seconds: number;
  /** Starts in this epoch and the beat at which each was found, oldest first; the present one is missing until somebody counts. */
  readonly starts: readonly { readonly start: string; readonly beat: number }[];
}

export interface StoreState {
  /** undefined: this Redis was never given one, it is new or was emptied. */
  readonly epoch: number | undefined;
  /** Milliseconds by Redis' clock: when the epoch began; 0 for the first. */
  readonly since: number;
  /** Always the same ones in the same order. The first has the epoch; a Redis by itself has no other. */
  readonly places: readonly Place[];
}

/** Entries that one page of live runs looks at, about. */
const PAGE = 200;
/** Milliseconds, twice what a launch of unknown fate takes to count as lost (41 s, processors/launch.ts and its margin), as after every other end of one. */
const UNKNOWN_MS = 82_000;
/** Starts of a server that are kept: a worker that is away for longer than that many takes what it finds for a loss. */
const STARTS = 16;

export type StoreEpoch = ReturnType<typeof createStoreEpoch>;

/** `shards`: how many have, or may have, runs at the time of a call; their number may be raised while this process is at work. */
export function createStoreEpoch(deps: { redis: Redis; shards: () => number }) {
  const { redis } = deps;
  const keys = clusterOf(redis) === undefined ? [STORE_KEY] : [STORE_KEY, ...NODE_KEYS];
  const ask = async (count: 0 | 1): Promise<StoreState> =>
    stateOf(await Promise.all(keys.map((key) => runScript(redis, 'beat', [key], ['', '', count, STARTS]))));
  return {
    /** How often a connection broke: after a break Redis may be another one than before. */
    breaks: countBreaks(redis),

    /** Counts on at every place and answers with what stands. */
    beat: async (): Promise<StoreState> => await ask(1),

    /** What stands, without counting: whoever saw more must be able to tell. */
    peek: async (): Promise<StoreState> => await ask(0),

    /**
     * Begins the epoch unless a later one has begun. `beats`: from where each place counts on, above all that was ever seen. `announced`: the Redis
     * that was told of it (`announce`), as it was found before; answers false where this is not that one any more, and begins nothing.
     */
    raise: async (epoch: number, beats: readonly number[], since: number, announced?: StoreState): Promise<boolean> => {
      // the place with the epoch last: it has begun when all count from there on
      for (const [i, key] of [...keys.entries()].reverse()) {
        const only = [announced?.places[i]?.start ?? '', announced !== undefined && i === 0 ? 1 : 0];
        if ((await runScript(redis, 'raise', [key], ['', '', epoch, beats[i] ?? 0, since, ...only])) === 'changed') return false;
      }
      return true;
    },

    /**
     * Marks that this epoch, which began at `since`, follows, before any run is looked at for it: one that is ordered again after its shard was looked
     * at belongs to the epoch, too (lossOf). The mark goes when the epoch begins.
     */
    announce: async (epoch: number, since: number): Promise<void> => {
      await redis.hset(STORE_KEY, 'coming', `${epoch}|${since}`);
    },

    /** Frees locks that came back with an older Redis: whoever held them then has long let go of them, and does not know it. */
    free: async (locks: readonly string[]): Promise<void> => {
      for (let shard = 0; shard < deps.shards(); shard += 1) for (const what of locks) await redis.del(shardKeys(shard).lock(what));
    },

    /**
     * Some of a shard's runs that have not ended, and the cursor of those after them (`0`: there are none); begins with the cursor `0`. Every run that
     * lives from the first page to the last is in one at least: ZSCAN promises that, while ranks shift with each run that ends.
     */
    live: async (shard: number, cursor: string): Promise<{ readonly runs: readonly string[]; readonly next: string }> => {
      const [next, pairs] = await redis.zscan(shardKeys(shard).live, cursor, 'COUNT', PAGE);
      return { runs: pairs.filter((_, i) => i % 2 === 0), next };
    },

    /** Whether the archive was asked for a run in that pass, or one that broke off and has the same name (`redo`). */
    wasLooked: async (runId: string, pass: string): Promise<boolean> => (await redis.hget(keysOfRun(runId).run(runId), 'looked')) === pass,

    /**
     * Marks a run that has not ended as one whose work may be done again; answers whether it was not marked before. `pass`: names the recovery that
     * found that the archive does not have it, and the start of Redis at which it looked.
     */
    redo: async (runId: string, epoch: number, pass: string | undefined): Promise<boolean> => await redoRun(redis, runId, epoch, pass),

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
          keys.watch(resource),
        ],
        [
          run.id,
          keys.channel,
          JSON.stringify(run.record),
          run.document ?? '',
          JSON.stringify(run.history.map((entry) => JSON.stringify(entry))),
          UNKNOWN_MS,
        ],
      );
      return reply === 'restored';
    },

    /**
     * When the file of the resource's oldest run was saved that is not over and archived (ms); undefined when there is none. A lower bound where
     * very many are open.
     */
    oldestOpen: async (resource: string): Promise<number | undefined> => {
      let oldest: number | undefined;
      const note = (at: number) => {
        if (oldest === undefined || at < oldest) oldest = at;
      };
      for (let shard = 0; shard < deps.shards(); shard += 1) {
        const keys = shardKeys(shard);
        const look = (list: string) => redis.zrange(list, '0', String(OPEN_LOOK - 1));
        // a run goes from these lists to the other, and must not be missed in between
        const open = await Promise.all(OPEN_STATES.map(async (state) => await look(keys.byState(resource, state))));
        const waiting = await look(keys.unarchived);
        if (waiting.length >= OPEN_LOOK) note(0);
        if (open.some((runs) => runs.length >= OPEN_LOOK)) {
          const [, oldestOfAll] = await redis.zrange(keys.live, '0', '0', 'WITHSCORES');
          if (oldestOfAll !== undefined) note(Number(oldestOfAll));
        }
        const pipeline = redis.pipeline();
        const runs = [...open.flat(), ...waiting];
        for (const runId of runs) pipeline.hmget(keys.run(runId), 'resource', 'saved', 'at');
        for (const [error, found] of runs.length === 0 ? [] : ((await pipeline.exec()) ?? [])) {
          if (error !== null) throw error;
          const [of, saved, at] = Array.isArray(found) ? found : [];
          if (of === resource && (typeof saved === 'string' || typeof at === 'string')) note(Number(saved ?? at));
        }
      }
      return oldest;
    },
  };
}

/** Milliseconds, a day: how long after an order was given it may be given again. */
const REPEAT_MS = 86_400_000;

/**
 * Milliseconds by which S3's clock may be ahead of Redis': twice as far as `autofiles doctor` lets two clocks be apart (CLOCK_MS, examine.ts). What was
 * saved so little after a loss is looked up in the archive in vain and runs under the epoch's numbers, which does no harm.
 */
const AHEAD_MS = 10_000;

/** Whether a file saved then (ms by S3's clock) may have been decided before an epoch began (`since`, ms by Redis' clock). */
export function mayPrecede(saved: number, since: number): boolean {
  return saved < since + AHEAD_MS;
}

/** Marks a run that has not ended as one whose work may be done again; answers whether it was not marked before. */
export async function redoRun(redis: Redis, runId: string, epoch: number, pass = ''): Promise<boolean> {
  const keys = keysOfRun(runId);
  const resource = (await redis.hget(keys.run(runId), 'resource')) ?? '';
  const reply = await runScript(
    redis,
    'redo',
    [keys.run(runId), keys.history(runId), keys.decisions(resource)],
    [runId, keys.channel, epoch, pass],
  );
  return reply === 1;
}

/**
 * Marks a run that is about to be cancelled as one of the epoch that follows, where a recovery is under way and may not have looked at it yet: without
 * the mark its forgotten dynos would run on (cancel.lua, enter.lua).
 */
export async function redoIfComing(redis: Redis, runId: string): Promise<void> {
  const [epoch, mark] = await redis.hmget(STORE_KEY, 'epoch', 'coming');
  const coming = Number(mark?.split('|')[0] ?? 0);
  if (coming > Number(epoch ?? 0)) await redoRun(redis, runId, coming);
}

/** An epoch that follows a loss of Redis, and when that was found (ms). */
export interface Loss {
  readonly epoch: number;
  readonly since: number;
}

/**
 * The epoch of the store, where Redis lost data before it began; of a loss that is put right just now, the epoch that follows. undefined: it lost
 * nothing that anybody noticed.
 */
export async function lossOf(redis: Redis): Promise<Loss | undefined> {
  const [epoch, since, mark] = await redis.hmget(STORE_KEY, 'epoch', 'since', 'coming');
  const [coming = 0, found = 0] = mark?.split('|').map(Number) ?? [];
  // a mark that is older than the epoch was left by a process that woke when another one had begun it
  if (coming > Number(epoch ?? 0)) return { epoch: coming, since: found };
  return Number(epoch ?? 1) > 1 ? { epoch: Number(epoch), since: Number(since ?? 0) } : undefined;
}

/** The epoch, where an order that comes now may have been given before it began. `now`: milliseconds since 1970. */
export async function epochOfRepeat(redis: Redis, now: number): Promise<number | undefined> {
  const loss = await lossOf(redis);
  return loss !== undefined && now - loss.since < REPEAT_MS ? loss.epoch : undefined;
}

function stateOf(replies: readonly unknown[]): StoreState {
  const places: Place[] = [];
  let epoch = '';
  let since = '0';
  for (const reply of replies) {
    const [beat = '0', starts = '', start = '', seconds = '0', ...ofStore] = Array.isArray(reply) ? reply.map(String) : [];
    if (places.length === 0) [epoch = '', since = '0'] = ofStore;
    places.push({
      beat: Number(beat),
      start,
      seconds: Number(seconds),
      starts: [...starts.matchAll(/(\S+)=(\d+)/g)].map(([, name = '', count]) => ({ start: name, beat: Number(count) })),
    });
  }
  return { epoch: epoch === '' ? undefined : Number(epoch), since: Number(since), places };
}

/** Counts from now on how often the connection broke; of a cluster, that to any node. */
function countBreaks(redis: Redis): () => number {
  let breaks = 0;
  const watch = (connection: Redis) =>
    connection.on('close', () => {
      breaks += 1;
    });
  watch(redis);
  const cluster = clusterOf(redis);
  for (const node of cluster?.nodes() ?? []) watch(node);
  cluster?.on('+node', watch);
  return () => breaks;
}

/** Runs of a list among which the oldest is looked for; with more that wait for the archive the watermark stands still. */
const OPEN_LOOK = 1_000;
