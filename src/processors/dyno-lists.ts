// Dyno lists for launches of unknown fate: one list of an app serves all tasks that look for a dyno in it, and keeps to the looks' share of the budget,
// so that one app whose list does not come takes nobody else's launches.
import type { Dyno, DynoPlatform } from '../clients/ports.ts';

/** Milliseconds that a list may take: whoever waits for it holds a place among the activations of its worker. */
const LIST_DEADLINE_MS = 5_000;
/** Milliseconds that a list is kept, and one that did not come. */
const KEPT_MS = 60_000;
const FAILED_MS = 1_500;

interface Listed {
  /** Monotonic milliseconds. */
  readonly begun: number;
  readonly dynos: Promise<readonly Dyno[]>;
  failed: boolean;
}

export type DynoLists = ReturnType<typeof createDynoLists>;

/** `list` is not charged, `mayLook` charges the budget and answers whether a look is allowed now; `monotonic`: milliseconds. */
export function createDynoLists(deps: {
  list: DynoPlatform['list'];
  mayLook: (resource: string) => Promise<boolean>;
  monotonic: () => number;
}) {
  const lists = new Map<string, Listed>();
  return {
    /**
     * The dynos of an app by a list that began at most `age` ms ago; undefined: the budget allows no look now. Rejects as the platform's list does.
     */
    of: async ({ app, resource, age }: { app: string; resource: string; age: number }): Promise<readonly Dyno[] | undefined> => {
      const notBefore = deps.monotonic() - age;
      const fresh = () => {
        const last = lists.get(app);
        if (last === undefined || last.begun < notBefore) return undefined;
        return last.failed && deps.monotonic() - last.begun > FAILED_MS ? undefined : last;
      };
      if (fresh() === undefined) {
        // one that is too old may still be under way: not two at a time
        await lists.get(app)?.dynos.catch(() => {});
        if (fresh() === undefined && !(await deps.mayLook(resource))) return await fresh()?.dynos;
      }
      const found = fresh();
      if (found !== undefined) return await found.dynos;
      for (const [one, { begun }] of lists) if (deps.monotonic() - begun > KEPT_MS) lists.delete(one);
      const next: Listed = { begun: deps.monotonic(), dynos: deps.list(app, { deadline: LIST_DEADLINE_MS }), failed: false };
      lists.set(app, next);
      try {
        return await next.dynos;
      } catch (error) {
        next.failed = true;
        throw error;
      }
    },
  };
}
