// How many deliveries of one resource a process sends at a time: servers that do not answer hold up their own resource's deliveries alone.

/** Deliveries of ended runs that one resource may have under way, of the process' twenty. */
const RUNS_UNDER_WAY = 4;
/** Tests besides: who looks for what is wrong with a server must not wait behind all that it did not take. */
const TESTS_UNDER_WAY = 1;
/** Milliseconds after which one that found no place asks again. */
const LATER_MS = 1_000;
/** Milliseconds between two of a resource that ask again: a long queue of one that is never answered costs 40 looks a second, however long it is. */
const APART_MS = 25;

interface Row {
  underWay: number;
  /** When the last one that found no place asks again, ms since 1970. */
  last: number;
}

/** `now`: milliseconds since 1970. */
export function createPlaces(now: () => number) {
  const rows = new Map<string, Row>();
  return {
    /** Takes a place and answers with the way to give it back, or with the moment (ms since 1970) at which to ask again. */
    take: (resource: string, kind: 'run' | 'test'): (() => void) | number => {
      const name = `${kind}:${resource}`;
      const row = rows.get(name) ?? { underWay: 0, last: 0 };
      if (row.underWay >= (kind === 'run' ? RUNS_UNDER_WAY : TESTS_UNDER_WAY)) {
        row.last = Math.max(now() + LATER_MS, row.last + APART_MS);
        return row.last;
      }
      row.underWay += 1;
      rows.set(name, row);
      return () => {
        row.underWay -= 1;
        if (row.underWay === 0) rows.delete(name);
      };
    },
  };
}
