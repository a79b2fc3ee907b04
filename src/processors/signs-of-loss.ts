// What tells that Redis has lost data: counts that are lower than somebody saw them, and starts that nobody vouches for.
import type { Place, StoreState } from '../queues/store-epoch.ts';
import type { Witness } from '../schema/archive-marks.ts';

/** The beats of all places, in their order. */
export function beatsOf(of: StoreState | Witness): readonly number[] {
  return 'places' in of ? of.places.map(({ beat }) => beat) : [of.beat, ...(of.nodes ?? [])];
}

/** Of each place the higher count; a count that one of them does not have is 0. */
export function highestOf(some: readonly number[], others: readonly number[]): readonly number[] {
  return Array.from({ length: Math.max(some.length, others.length) }, (_, i) => Math.max(some[i] ?? 0, others[i] ?? 0));
}

/** Whether any count is lower than it was. */
export function below(found: readonly number[], before: readonly number[]): boolean {
  return found.some((beat, i) => beat < (before[i] ?? 0));
}

/** Names the starts of all places; undefined where one has none. */
export function serverOf({ places }: StoreState): string | undefined {
  return places.every(({ start }) => start !== '') ? places.map(({ start }) => start).join(' ') : undefined;
}

/** Whether it is known that Redis, as it is found, has all that it had: nobody started it since the witness, or nobody counted. */
export function vouchedFor(witness: Witness, found: StoreState): boolean {
  const server = serverOf(found);
  if (server === undefined || witness.server === undefined || witness.server === server) return true;
  return beatsOf(found).every((beat, i) => beat === (beatsOf(witness)[i] ?? 0));
}

/** The places that are on another start of their server, or on another server, than this process knows. */
export function startedAnew({ places }: StoreState, known: readonly string[] | undefined): readonly Place[] {
  return places.filter(({ start }, i) => start !== '' && known?.[i] !== undefined && start !== known[i]);
}

/** What a process saw of Redis last, by place: the count, and the start of the server at which it was counted on. */
export interface Sight {
  readonly starts: readonly string[];
  readonly beats: readonly number[];
}

/** What is known of Redis after `found`, which is no less than was seen `before`. */
export function sightOf(found: StoreState, before: Sight | undefined): Sight {
  // a start at which nobody has counted yet is in no list: it would be missing there later as one that was lost
  return { starts: found.places.map(({ starts }) => starts.at(-1)?.start ?? ''), beats: highestOf(before?.beats ?? [], beatsOf(found)) };
}

/**
 * Whether Redis has less than this process saw of it. That is so as well where a start since then was found with less, and others have counted
 * past it. `counted`: this process has just counted on. One that saw nothing yet cannot tell.
 */
export function hasTurnedBack(found: StoreState, seen: Sight | undefined, counted: boolean): boolean {
  if (seen === undefined) return false;
  const anew = startedAnew(found, seen.starts);
  return found.places.some((place, i) => {
    const before = seen.beats[i] ?? 0;
    if (counted ? place.beat <= before : place.beat < before) return true;
    const since = place.starts.slice(place.starts.findIndex(({ start }) => start === seen.starts[i]) + 1);
    return anew.includes(place) && since.some(({ beat }) => beat < before);
  });
}
