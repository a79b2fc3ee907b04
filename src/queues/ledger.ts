// The ledger of a resource: which versions of its bucket have their decision. Decisions are accounted for by the scripts;
// the sweep compares them with the bucket and notes here what it found; API, dashboard and metrics read it.
import type { Redis } from 'ioredis';
import type { LedgerView, UnaccountedVersion, VersionRef } from '../schema/ledger-view.ts';
import { createDigestTable } from './digest-table.ts';
import { ACCOUNT_MS, DIGEST_BYTES, digestOf, outputDigestOf } from './identity.ts';
import { ledgerKey, STORE_KEY, SWEEPS_KEY, shardKeys } from './keys.ts';
import type { Layout } from './layout.ts';
import { keysOfRun } from './run-record.ts';
import { run as runScript } from './scripts.ts';
import { readPastLimits } from './set-aside.ts';

const HOUR_MS = 3_600_000;
/** Bytes of an account that are read at a time, whole digests: an event loop must not stand still for all of it. */
const PART_BYTES = 65_536 * DIGEST_BYTES;

/** What a comparison of a bucket with the decisions found. Times in milliseconds since 1970. */
export interface LedgerFigures {
  readonly bucket: string;
  readonly inScope: number;
  readonly accountedFor: number;
  /** Without one for longer. */
  readonly unaccounted: number;
  readonly oldestUnaccounted: UnaccountedVersion | undefined;
  readonly beforeAccount: number;
  readonly watermark: { readonly at: number; readonly since: number } | undefined;
  readonly sweptAt: number;
  /** The epoch of the store, when all that can come back after the loss before it has come back. */
  readonly recovered?: number | undefined;
}

/** Keeps what a sweep found, for readLedger. */
export async function writeLedger(redis: Redis, resource: string, figures: LedgerFigures): Promise<void> {
  await redis.hset(ledgerKey(resource), {
    bucket: figures.bucket,
    in_scope: figures.inScope,
    accounted_for: figures.accountedFor,
    unaccounted: figures.unaccounted,
    oldest: figures.oldestUnaccounted === undefined ? '' : JSON.stringify(figures.oldestUnaccounted),
    before_account: figures.beforeAccount,
    at: figures.watermark?.at ?? '',
    since: figures.watermark?.since ?? '',
    swept_at: figures.sweptAt,
    ...(figures.recovered === undefined ? {} : { recovered: figures.recovered }),
  });
}

/** The ledger as the last sweep left it, with all decisions counted up to now. A resource that was never swept has zeros. */
export async function readLedger(
  redis: Redis,
  resource: { readonly id: string; readonly bucket: string },
  shards: number,
): Promise<LedgerView> {
  const [record, epoch, ...counts] = await Promise.all([
    redis.hgetall(ledgerKey(resource.id)),
    redis.hget(STORE_KEY, 'epoch'),
    ...Array.from({ length: shards }, (_, shard) => redis.hgetall(shardKeys(shard).decisions(resource.id))),
  ]);
  const decisions: Record<string, number> = {};
  for (const count of counts) for (const [kind, n] of Object.entries(count)) decisions[kind] = (decisions[kind] ?? 0) + Number(n);
  const { reexecuted = 0, ...kinds } = decisions;
  const number = (name: string) => Number(record[name] ?? 0);
  return {
    resource: resource.id,
    bucket: resource.bucket,
    in_scope: number('in_scope'),
    accounted_for: number('accounted_for'),
    // told by the others, so that no sweep of an earlier version leaves it as it was
    in_flight: number('in_scope') - number('accounted_for') - number('unaccounted'),
    unaccounted: number('unaccounted'),
    // written by writeLedger alone
    oldest_unaccounted: record['oldest'] ? (JSON.parse(record['oldest']) as UnaccountedVersion) : null,
    before_account: number('before_account'),
    watermark: record['at'] ? { at: isoOf(number('at')), since: isoOf(number('since')) } : null,
    swept_at: record['swept_at'] === undefined ? null : isoOf(number('swept_at')),
    epoch: Number(epoch ?? 1),
    reexecuted,
    decisions: kinds,
  };
}

/** Milliseconds since 1970 as ISO 8601. */
function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}

/** Which versions of a resource's bucket are accounted for, asked many at a time. */
export interface Account {
  /** When it began to be read (ms by Redis' clock). */
  readonly readAt: number;
  /** Those of the versions of which not all is decided. */
  missing<T extends VersionRef>(versions: readonly T[]): Promise<readonly T[]>;
  /** Those of them that have no decision, not even a run. */
  undecided<T extends VersionRef>(versions: readonly T[]): Promise<readonly T[]>;
}

/**
 * Reads a resource's account of the hours since `since` (ms since 1970) once; a version is accounted for when its digest stands in it or the
 * run that it causes has a record, under any layout so far. A run that an output led to (`depth`) may have come back from the archive, or stand on
 * another node, after the run that waits for that output has lost it: its delivery must stand in the account, too. What is decided after this call
 * is found only by its record: whoever looks compares again before drawing conclusions.
 */
export async function openAccount(
  redis: Redis,
  resource: string,
  layout: Pick<Layout, 'candidates' | 'served'>,
  since: number,
): Promise<Account> {
  const [seconds] = await redis.time();
  const now = Number(seconds) * 1000;
  // nothing older is kept
  const names = hourNames(resource, layout, Math.max(since, now - ACCOUNT_MS), now + HOUR_MS).flat();
  const lengths = await Promise.all(names.map(async (name) => await redis.strlen(name)));
  const digests = createDigestTable(Math.floor(lengths.reduce((sum, length) => sum + length, 0) / DIGEST_BYTES));
  for (const [i, name] of names.entries()) {
    // what is appended from now on has no room, and is found when whoever looks compares again
    const length = lengths[i] ?? 0;
    for (let at = 0; at < length; at += PART_BYTES)
      digests.add(await redis.getrangeBuffer(name, at, Math.min(at + PART_BYTES, length) - 1));
  }
  const without = async <T extends VersionRef>(versions: readonly T[], suffices: (depth: string | null, version: T) => boolean) => {
    const doubtful = versions.filter((version) => !digests.has(digestOf(version)));
    // one by one: the records are spread over shards, which may be on different nodes
    const found = await Promise.all(
      doubtful.map(async (version) => {
        const records = layout.candidates(version).map((runId) => redis.hmget(keysOfRun(runId).run(runId), 'state', 'depth'));
        return (await Promise.all(records)).some(([state, depth]) => typeof state === 'string' && suffices(depth ?? null, version));
      }),
    );
    return doubtful.filter((_, i) => found[i] !== true);
  };
  return {
    readAt: now,
    missing: async (versions) => await without(versions, (depth, version) => depth === null || digests.has(outputDigestOf(version))),
    undecided: async (versions) => await without(versions, () => true),
  };
}

/** Forgets the account of the hours from `from` to `before` (ms since 1970): the watermark has passed them. */
export async function trimAccount(
  redis: Redis,
  resource: string,
  layout: Pick<Layout, 'served'>,
  from: number,
  before: number,
): Promise<void> {
  const names = hourNames(resource, layout, from, before);
  await Promise.all(names.filter((ofShard) => ofShard.length > 0).map(async (ofShard) => await redis.del(...ofShard)));
}

/** Names of the strings of whole hours, those of each shard apart: they may be on different nodes. */
function hourNames(resource: string, layout: Pick<Layout, 'served'>, from: number, before: number): readonly (readonly string[])[] {
  const first = Math.floor(from / HOUR_MS);
  const hours = Array.from({ length: Math.max(0, Math.floor(before / HOUR_MS) - first) }, (_, i) => first + i);
  return Array.from({ length: layout.served() }, (_, shard) => hours.map((hour) => `${shardKeys(shard).account(resource)}:${hour}`));
}

export type Ledger = ReturnType<typeof createLedger>;

/** The ledger as the sweep uses it. */
export function createLedger(deps: { redis: Redis; layout: Pick<Layout, 'place' | 'candidates' | 'served'> }) {
  const { redis, layout } = deps;
  return {
    open: async (resource: string, since: number): Promise<Account> => await openAccount(redis, resource, layout, since),
    /** Those of the versions that are accounted for by a cap on runs alone, which set them aside. */
    pastLimits: async <T extends VersionRef>(resource: string, versions: readonly T[]): Promise<readonly T[]> =>
      await readPastLimits(redis, layout, resource, versions),
    /** Which run a version causes. */
    runIdOf: (version: VersionRef & { readonly modifiedAt: number }): string => layout.place(version, version.modifiedAt),
    write: async (resource: string, figures: LedgerFigures): Promise<void> => await writeLedger(redis, resource, figures),
    trim: async (resource: string, from: number, before: number): Promise<void> => await trimAccount(redis, resource, layout, from, before),

    /**
     * Takes resources whose bucket is to be swept by `now` (ms) for this process, the longest due first: nobody else gets them before
     * `until` (ms), and then anybody, unless `renew` or `schedule` says another time before.
     */
    claim: async (order: { readonly now: number; readonly until: number; readonly limit: number }): Promise<readonly string[]> => {
      const reply = await runScript(redis, 'claim-sweeps', [SWEEPS_KEY], ['', '', order.now, order.until, order.limit]);
      return Array.isArray(reply) ? reply.map(String) : [];
    },

    /** Keeps claimed resources until `until` (ms). */
    renew: async (resources: readonly string[], until: number): Promise<void> => {
      if (resources.length > 0) await redis.zadd(SWEEPS_KEY, 'XX', ...resources.flatMap((id) => [until, id]));
    },

    /** Adds resources that are not on the list of sweeps yet: they are due at once. */
    enlist: async (resources: readonly string[]): Promise<void> => {
      if (resources.length > 0) await redis.zadd(SWEEPS_KEY, 'NX', ...resources.flatMap((id) => [0, id]));
    },

    /** When a resource's bucket is swept next (ms), where it still is on the list: `allDue` may have come in between. */
    schedule: async (resource: string, at: number): Promise<void> => {
      await redis.zadd(SWEEPS_KEY, 'XX', at, resource);
    },

    /** The last epoch of the store for which a sweep found that all of the resource that can come back has come back; 0 before any. */
    recovered: async (resource: string): Promise<number> => Number((await redis.hget(ledgerKey(resource), 'recovered')) ?? 0),

    /** Takes a resource that is gone off the list of sweeps, and what a sweep that went on meanwhile noted of it. */
    strike: async (resource: string): Promise<void> => {
      await redis.zrem(SWEEPS_KEY, resource);
      await redis.del(ledgerKey(resource));
    },

    /** Every resource's bucket is to be swept as soon as it is enlisted again, whoever had claimed it. */
    allDue: async (): Promise<void> => {
      await redis.del(SWEEPS_KEY);
    },
  };
}
