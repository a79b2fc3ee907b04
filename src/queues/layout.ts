// The number of shards over time. It may change while runs are in flight: where the run of an object version is depends on when
// that version was saved, which never changes, so every process and every redelivery finds the same run.
import type { Redis } from 'ioredis';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';
import type { VersionRef } from '../schema/ledger-view.ts';
import { runIdOf } from './identity.ts';
import { LAYOUT_KEY } from './keys.ts';
import { run as runScript } from './scripts.ts';

/** Milliseconds from a change to the first object that it concerns: six times as long as a process may not know of it. */
const MARGIN_MS = 60_000;
/** Milliseconds between two looks at the layout. */
export const LAYOUT_EVERY_MS = 10_000;

const Entries = Compile(Type.Array(Type.Tuple([Type.Integer({ minimum: 1 }), Type.Number()])));

export interface Layout {
  /** Id of the run that an object version causes. `savedAt`: milliseconds since 1970, as S3 tells; undefined: now. */
  place(version: VersionRef, savedAt: number | undefined): string;
  /** All ids that it may have had under the layouts so far. */
  candidates(version: VersionRef): readonly string[];
  /** How many shards hold, or may hold, runs: all that ever did. Their number never falls. */
  served(): number;
  /** Reads it again. */
  refresh(): Promise<void>;
}

/**
 * Reads the layout, and with `wanted` sets the number of shards for objects saved a minute from now on. A worker that wants another
 * number is the one that changes it; web only reads. Throws what Redis answered.
 */
export async function openLayout(deps: { redis: Redis; wanted?: number; margin?: number }): Promise<Layout> {
  const { redis } = deps;
  let entries: readonly (readonly [number, number])[] = [];
  const look = async (wanted: number): Promise<void> => {
    const text = await runScript(redis, 'layout', [LAYOUT_KEY], ['', '', wanted, deps.margin ?? MARGIN_MS]);
    const parsed: unknown = JSON.parse(String(text));
    // Lua's empty list is an empty object in JSON
    if (Entries.Check(parsed)) entries = parsed;
    else if (wanted > 0) throw new Failure('internal', `The layout is damaged: ${String(text).slice(0, 200)}.`);
  };
  await look(deps.wanted ?? 0);

  const countAt = (savedAt: number): number => {
    let count = entries[0]?.[0] ?? 1;
    for (const [next, from] of entries) if (from <= savedAt) count = next;
    return count;
  };
  return {
    place: (version, savedAt) => runIdOf(version, countAt(savedAt ?? Number.POSITIVE_INFINITY)),
    candidates: (version) => [...new Set((entries.length === 0 ? [[1, 0]] : entries).map(([count]) => runIdOf(version, count ?? 1)))],
    served: () => Math.max(1, ...entries.map(([count]) => count)),
    refresh: async () => await look(0),
  };
}

/** The layout of so many shards that have never been another number. */
export function unchanged(shards: number): Pick<Layout, 'place' | 'candidates' | 'served'> {
  return { place: (version) => runIdOf(version, shards), candidates: (version) => [runIdOf(version, shards)], served: () => shards };
}
