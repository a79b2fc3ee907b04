/** What one look at a kind of work found. */
export interface Sample {
  /** How much of it could be served this moment. */
  readonly due: number;
  /** A counter of what was served; any change of it is progress. */
  readonly served: number;
}

export interface Stall {
  /** The kind of work. */
  readonly what: string;
  /** Milliseconds since when it is due and none of it was served. */
  readonly since: number;
}

/**
 * Judges liveness by progress: a kind of work has stalled when some of it was due at every look for `limit` milliseconds and
 * nothing of it was served meanwhile. That a process is up, connected or willing proves nothing (bullmq #4585, #3185;
 * sqs-consumer #241). `every`: milliseconds between two looks; after a longer pause the watcher itself was away (frozen,
 * or Redis did not answer) and begins anew.
 */
export function createProgressWatch(options: { limit: number; every: number }) {
  const seen = new Map<string, { served: number; since: number | undefined }>();
  let lastLook: number | undefined;

  return {
    /** Takes in one look. `at`: milliseconds of a clock that never jumps. */
    look: (samples: ReadonlyMap<string, Sample>, at: number): void => {
      const away = lastLook !== undefined && at - lastLook > 3 * options.every;
      lastLook = at;
      for (const what of seen.keys()) if (!samples.has(what)) seen.delete(what);
      for (const [what, { due, served }] of samples) {
        const before = seen.get(what);
        const progressed = before === undefined || before.served !== served || away;
        const since = due === 0 ? undefined : progressed ? at : (before.since ?? at);
        seen.set(what, { served, since });
      }
    },

    /** What has stalled by now, longest first. */
    stalls: (at: number): readonly Stall[] =>
      [...seen]
        .flatMap(([what, { since }]) => (since !== undefined && at - since >= options.limit ? [{ what, since }] : []))
        .sort((a, b) => a.since - b.since),
  };
}
