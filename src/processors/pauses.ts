// Whom of others' services this process leaves alone for a while: longer each time that it is of no use to ask again.

/** Milliseconds of the first pause; each further one is twice as long, up to the longest. */
const FIRST_MS = 5_000;
const LONGEST_MS = 60_000;
/** Milliseconds after its end for which it is known that there was a pause. */
const KNOWN_MS = 600_000;

interface Pause {
  readonly until: number;
  readonly times: number;
}

export type Pauses = ReturnType<typeof createPauses>;

/** `now`: milliseconds, by a clock that never runs back. */
export function createPauses(deps: { now: () => number }) {
  const pauses = new Map<string, Pause>();
  const left = (name: string): number => Math.max(0, (pauses.get(name)?.until ?? 0) - deps.now());

  const forgetOld = (): void => {
    for (const [name, { until }] of pauses) if (deps.now() - until > KNOWN_MS) pauses.delete(name);
  };

  return {
    /**
     * It did not answer, or said that it takes nothing: for `ms` milliseconds where it says so. What comes while a pause lasts was under way together and
     * counts as one. Answers with how long it is left alone, in milliseconds.
     */
    begin: (name: string, ms?: number): number => {
      const before = pauses.get(name);
      if (before !== undefined && left(name) > 0) {
        pauses.set(name, { ...before, until: Math.max(before.until, deps.now() + (ms ?? 0)) });
        return left(name);
      }
      forgetOld();
      const times = (pauses.get(name)?.times ?? 0) + 1;
      const length = ms ?? Math.min(FIRST_MS * 2 ** (times - 1), LONGEST_MS);
      pauses.set(name, { until: deps.now() + length, times });
      return length;
    },

    /** It answered. */
    end: (name: string): void => {
      pauses.delete(name);
    },

    /** Milliseconds for which it is to be left alone; 0: it may be asked. */
    left,

    /** Whether it has not answered since its last pause began. */
    known: (name: string): boolean => pauses.has(name),
  };
}
