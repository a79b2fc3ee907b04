// Launches by a customer's own token count at Heroku against the customer's account. When that has no calls left, its resource waits, and nobody else.

export type OwnLimits = ReturnType<typeof createOwnLimits>;

/** What this process has heard. `monotonic`: milliseconds. */
export function createOwnLimits(deps: { monotonic: () => number }) {
  const until = new Map<string, number>();
  return {
    /** The resource's account takes no call for `ms` milliseconds. */
    hold: (resource: string, ms: number): void => {
      until.set(resource, deps.monotonic() + ms);
    },
    /** Milliseconds that are left of that; 0: it may be called. */
    left: (resource: string): number => {
      const left = (until.get(resource) ?? 0) - deps.monotonic();
      if (left > 0) return left;
      until.delete(resource);
      return 0;
    },
  };
}
