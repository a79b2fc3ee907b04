// Dyno lists for launches of unknown fate: one list of an app serves all tasks that look for a dyno in it, and keeps to the looks' share of the budget,
// so that one app whose list does not come takes nobody else's launches.
import type { Dyno, DynoPlatform } from '../clients/ports.ts';

/** Milliseconds that a list may take: whoever waits for it holds a place among the activations of its worker. */
const LIST_DEADLINE_MS = 5_000;
/** Milliseconds that a list is kept. */
const KEPT_MS = 600_000;
/** Milliseconds until a list that did not come is asked for again, twice as long each time, and at most. */
const FAILED_MS = 1_500;
const FAILED_MOST_MS = 60_000;
/** Milliseconds: whoever needs a list from so long ago, or later, gets one although the share of looks is used up. It may be for good, by looks at others. */
const FORCED_MS = 30_000;

interface Listed {
  /** Monotonic milliseconds. */
  readonly begun: number;
  readonly dynos: Promise<readonly Dyno[]>;
  /** How often in a row the app's list did not come, this one included. */
  failures: number;
}

export type DynoLists = ReturnType<typeof createDynoLists>;

/**
 * `list` is not charged; `mayLook` charges the budget when it answers that a look is allowed now, and `charge` does so in any case. `monotonic`: milliseconds.
 */
export function createDynoLists(deps: {
  list: DynoPlatform['list'];
  mayLook: (resource: string) => Promise<boolean>;
  charge: () => Promise<void>;
  monotonic: () => number;
}) {
  const lists = new Map<string, Listed>();
  return {
    /** The same list as `list`, for the looks of this process at whole apps: what they see serves those who look for one dyno, too. */
    seen: async (...call: Parameters<DynoPlatform['list']>): Promise<readonly Dyno[]> => {
      const begun = deps.monotonic();
      const dynos = await deps.list(...call);
      const [app] = call;
      if ((lists.get(app)?.begun ?? 0) <= begun) lists.set(app, { begun, dynos: Promise.resolve(dynos), failures: 0 });
      return dynos;
    },

    /**
     * The dynos of an app by a list that began at most `age` ms ago; undefined: the budget allows no look now. Rejects as the platform's list does, or did a
     * moment ago.
     */
    of: async ({ app, resource, age }: { app: string; resource: string; age: number }): Promise<readonly Dyno[] | undefined> => {
      const notBefore = deps.monotonic() - age;
      const fresh = () => {
        const last = lists.get(app);
        if (last === undefined) return undefined;
        if (last.failures > 0)
          return deps.monotonic() - last.begun < Math.min(FAILED_MS * 2 ** (last.failures - 1), FAILED_MOST_MS) ? last : undefined;
        return last.begun >= notBefore ? last : undefined;
      };
      const allowed = async () => {
        if (await deps.mayLook(resource)) return true;
        if (age < FORCED_MS) return false;
        await deps.charge();
        return true;
      };
      if (fresh() === undefined) {
        // one that is too old may still be under way: not two at a time
        await lists.get(app)?.dynos.catch(() => {});
        if (fresh() === undefined && !(await allowed())) return await fresh()?.dynos;
      }
      const found = fresh();
      if (found !== undefined) return await found.dynos;
      for (const [one, { begun }] of lists) if (deps.monotonic() - begun > KEPT_MS) lists.delete(one);
      const failures = lists.get(app)?.failures ?? 0;
      const next: Listed = { begun: deps.monotonic(), dynos: deps.list(app, { deadline: LIST_DEADLINE_MS }), failures: 0 };
      lists.set(app, next);
      try {
        return await next.dynos;
      } catch (error) {
        next.failures = failures + 1;
        throw error;
      }
    },
  };
}
