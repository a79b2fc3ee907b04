// One invariant's verdict: held, violated (with its first witnesses), or vacuous: nothing happened that could have broken it.

export interface Finding {
  readonly id: string;
  readonly promise: string;
  /** What was looked at, and how often it occurred; a zero makes the verdict vacuous, and so does nothing at all. */
  readonly exercised: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
}

export type Verdict = 'held' | 'violated' | 'vacuous';

/** A violation outweighs everything: it was seen, whatever else was not. */
export function verdictOf(finding: Finding): Verdict {
  if (finding.violations.length > 0) return 'violated';
  const counts = Object.values(finding.exercised);
  // one that has nothing to look at looked at nothing
  return counts.length === 0 || counts.includes(0) ? 'vacuous' : 'held';
}

/** Collects what one invariant looks at. */
export function look(id: string, promise: string, kinds: readonly string[]) {
  const exercised: Record<string, number> = Object.fromEntries(kinds.map((kind) => [kind, 0]));
  const violations: string[] = [];
  return {
    saw: (kind: string, n = 1): void => {
      exercised[kind] = (exercised[kind] ?? 0) + n;
    },
    wrong: (witness: string): void => {
      violations.push(witness);
    },
    /** Notes that this was looked at, and the witness unless it holds. */
    holds: (kind: string, truth: boolean, witness: () => string): void => {
      exercised[kind] = (exercised[kind] ?? 0) + 1;
      if (!truth) violations.push(witness());
    },
    done: (): Finding => ({ id, promise, exercised, violations }),
  };
}
