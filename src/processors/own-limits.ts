// Launches by a customer's own token count at Heroku against the customer's account. When that has no calls left, its resource waits, and nobody else.

/** Milliseconds that an account is left alone after a 429 that does not say how long, twice as long after each further one, and at most. */
const HELD_MS = 5_000;
const HELD_MOST_MS = 60_000;

export type OwnLimits = ReturnType<typeof createOwnLimits>;

/** What this process has heard. `monotonic`: milliseconds. */
export function createOwnLimits(deps: { monotonic: () => number }) {
  const holds = new Map<string, { readonly until: number; readonly times: number }>();
  return {
    /** The resource's account has no calls left: for `ms` milliseconds where Heroku says so. Answers with how long it is left alone. */
    hold: (resource: string, ms: number | undefined): number => {
      const times = (holds.get(resource)?.times ?? 0) + 1;
      const held = ms ?? Math.min(HELD_MS * 2 ** (times - 1), HELD_MOST_MS);
      holds.set(resource, { until: deps.monotonic() + held, times });
      return held;
    },
    /** It takes calls again. */
    free: (resource: string): void => {
      holds.delete(resource);
    },
    /** Milliseconds for which the account is to be left alone; 0: it may be called. */
    left: (resource: string): number => Math.max(0, (holds.get(resource)?.until ?? 0) - deps.monotonic()),
  };
}
