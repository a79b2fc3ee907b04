// The number of shards over time. It may change while runs are in flight: where the run of an object version is depends on when
// that version was saved, which never changes, so every process and every redelivery finds the same run.
import type { Redis } from 'ioredis';
import { Compile } from 'typebox/compile';
import { LayoutEntries } from '../schema/archive-marks.ts';
import { Failure } from '../schema/failures.ts';
import type { VersionRef } from '../schema/ledger-view.ts';
import { runIdOf } from './identity.ts';
import { LAYOUT_KEY, STORE_KEY } from './keys.ts';
import { run as runScript } from './scripts.ts';

/** Milliseconds from a change to the first object that it concerns: six times as long as a process may not know of it. */
const MARGIN_MS = 60_000;
/** Milliseconds between two looks at the layout. */
export const LAYOUT_EVERY_MS = 10_000;

const entriesOf = Compile(LayoutEntries);

export interface Layout {
  /** Id of the run that an object version causes. `savedAt`: milliseconds since 1970, as S3 tells; undefined: now. */
  place(version: VersionRef, savedAt: number | undefined): string;
  /** All ids that it may have had under the layouts so far. */
  candidates(version: VersionRef): readonly string[];
  /** How many shards hold, or may hold, runs: all that ever did. Their number never falls. */
  served(): number;
  /** All counts so far, each with the moment (ms) from which on it holds. */
  entries(): LayoutEntries;
  /** Reads it again. Only what goes on from what is known here is taken, or what stands in another epoch of the store. */
  refresh(): Promise<void>;
  /** The same of a Redis that is known to have lost nothing: what it has stands, whatever was known here. */
  relearn(): Promise<void>;
  /** Spreads what is saved a minute from now on, or later, over so many shards. Whoever asks serves them by then. */
  change(wanted: number): Promise<void>;
  /** Puts back what Redis has lost of it. `remembered`: as `entries` were told before. */
  restore(remembered: LayoutEntries): Promise<void>;
}

/**
 * Reads the layout; with `wanted` changes it at once. `first`: the number of shards where there is no layout yet. A worker that wants another number
 * is the one that changes it, when it works; web only reads. Throws what Redis answered.
 */
export async function openLayout(deps: {
  redis: Redis;
  wanted?: number;
  first?: number;
  margin?: number;
  remembered?: LayoutEntries;
}): Promise<Layout> {
  const { redis } = deps;
  let entries: LayoutEntries = [];
  let most = 1;
  /** The last epoch of the store that was seen: with it all that came back after a loss has come back. 0: nobody keeps an archive, or nobody has yet. */
  let seen = 0;
  const look = async (wanted: number, remembered: LayoutEntries = [], stands = false): Promise<void> => {
    const known = remembered.length === 0 ? '' : JSON.stringify(remembered);
    // before the layout: this epoch's stands then
    const epoch = Number((await redis.hget(STORE_KEY, 'epoch')) ?? 0);
    const text = await runScript(redis, 'layout', [LAYOUT_KEY], ['', '', wanted, deps.margin ?? MARGIN_MS, known]);
    const parsed: unknown = JSON.parse(String(text));
    // Lua's empty list is an empty object in JSON
    if (entriesOf.Check(parsed)) {
      // entries only ever come: where some of these are missing Redis has lost them, and they come back with the next epoch at the latest
      const lost = goesOnFrom(entries, parsed) || (seen > 0 && !goesOnFrom(parsed, entries));
      if (stands || epoch > seen || !lost) entries = parsed;
      // they are served in any case
      most = Math.max(most, ...entries.map(([count]) => count), ...parsed.map(([count]) => count));
    } else if (wanted > 0) throw new Failure('internal', `The layout is damaged: ${String(text).slice(0, 200)}.`);
    seen = Math.max(seen, epoch);
  };
  await look(deps.wanted ?? 0, deps.remembered);
  if (deps.first !== undefined && entries.length === 0) await look(deps.first);

  const countAt = (savedAt: number): number => {
    let count = entries[0]?.[0] ?? 1;
    for (const [next, from] of entries) if (from <= savedAt) count = next;
    return count;
  };
  return {
    place: (version, savedAt) => runIdOf(version, countAt(savedAt ?? Number.POSITIVE_INFINITY)),
    candidates: (version) => [...new Set((entries.length === 0 ? [[1, 0]] : entries).map(([count]) => runIdOf(version, count ?? 1)))],
    served: () => most,
    entries: () => entries,
    refresh: async () => await look(0),
    relearn: async () => await look(0, [], true),
    change: async (wanted) => await look(wanted),
    restore: async (remembered) => await look(0, remembered, true),
  };
}

/** Whether a layout is another one with, or without, entries that came after: a longer one need not be. */
export function goesOnFrom(layout: LayoutEntries, before: LayoutEntries): boolean {
  return before.every(([count, from], i) => layout[i]?.[0] === count && layout[i][1] === from);
}

/** Whether Redis has a layout, as all but a new or emptied one have. */
export async function hasLayout(redis: Redis): Promise<boolean> {
  return (await redis.exists(LAYOUT_KEY)) === 1;
}

/** The layout of so many shards that have never been another number, and never will. */
export function unchanged(shards: number): Layout {
  return {
    place: (version) => runIdOf(version, shards),
    candidates: (version) => [runIdOf(version, shards)],
    served: () => shards,
    entries: () => [],
    refresh: async () => {},
    relearn: async () => {},
    change: async () => {},
    restore: async () => {},
  };
}
