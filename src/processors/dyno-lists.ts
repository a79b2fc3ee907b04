// Dyno lists for launches of unknown fate: one list of an app serves all tasks that look for a dyno in it, and keeps to the looks' share of the budget,
// so that one app whose list does not come takes nobody else's launches.
import type { Dyno, DynoPlatform } from '../clients/ports.ts';

/** Milliseconds that a list may take: whoever waits for it holds a place among the activations of its worker. */
const LIST_DEADLINE_MS = 5_000;
/** Milliseconds that a list is kept, and how often an app was refused one: as long as the longest pause between two. */
const KEPT_MS = 120_000;
/** Milliseconds until a list that did not come is asked for again, twice as long each time, and at most. */
const FAILED_MS = 1_500;
const FAILED_MOST_MS = 60_000;
/** Milliseconds: whoever needs a list from so long ago, or later, gets one although the share of looks is used up. It may be for good, by looks at others. */
const FORCED_MS = 30_000;
/** Who waits for the list of one app at a time: whoever does so holds a place among the activations of its worker, which are everybody's. */
const WAITING_MOST = 5;

interface Listed {
  /** Monotonic milliseconds. */
  readonly begun: number;
  readonly dynos: Promise<readonly Dyno[]>;
  /** How often in a row the app's list did not come, this one included, and when (monotonic milliseconds) that was known. */
  failures: number;
  failed: number;
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
  const waiting = new Map<string, number>();
  let swept = deps.monotonic();

  const keep = (app: string, listed: Listed): void => {
    lists.set(app, listed);
    if (deps.monotonic() - swept < KEPT_MS) return;
    swept = deps.monotonic();
    for (const [one, { begun }] of lists) if (swept - begun > KEPT_MS) lists.delete(one);
  };

  /** One answer for all who ask for the same app's at the same time. */
  const permissions = new Map<string, Promise<boolean>>();
  const once = async (name: string, ask: () => Promise<boolean>): Promise<boolean> => {
    const asked = permissions.get(name) ?? ask().finally(() => permissions.delete(name));
    permissions.set(name, asked);
    return await asked;
  };

  const lookedAt = async ({ app, resource, age }: { app: string; resource: string; age: number }): Promise<readonly Dyno[] | undefined> => {
    const notBefore = deps.monotonic() - age;
    const fresh = () => {
      const last = lists.get(app);
      if (last === undefined) return undefined;
      if (last.failures > 0)
        return deps.monotonic() - last.failed < Math.min(FAILED_MS * 2 ** (last.failures - 1), FAILED_MOST_MS) ? last : undefined;
      return last.begun >= notBefore ? last : undefined;
    };
    // one that is too old may still be under way: not two at a time
    if (fresh() === undefined) await lists.get(app)?.dynos.catch(() => {});
    if (fresh() === undefined && !(await once(`look:${app}`, () => deps.mayLook(resource))) && fresh() === undefined) {
      if (age < FORCED_MS) return undefined;
      await once(`charge:${app}`, () => deps.charge().then(() => true));
    }
    const found = fresh();
    if (found !== undefined) return await found.dynos;
    const failures = lists.get(app)?.failures ?? 0;
    const next: Listed = { begun: deps.monotonic(), dynos: deps.list(app, { deadline: LIST_DEADLINE_MS }), failures: 0, failed: 0 };
    keep(app, next);
    try {
      return await next.dynos;
    } catch (error) {
      Object.assign(next, { failures: failures + 1, failed: deps.monotonic() });
      throw error;
    }
  };

  return {
    /** The same list as `list`, for the looks of this process at whole apps: what they see serves those who look for one dyno, too. */
    seen: async (...call: Parameters<DynoPlatform['list']>): Promise<readonly Dyno[]> => {
      const begun = deps.monotonic();
      const dynos = await deps.list(...call);
      const [app] = call;
      if ((lists.get(app)?.begun ?? 0) <= begun) keep(app, { begun, dynos: Promise.resolve(dynos), failures: 0, failed: 0 });
      return dynos;
    },

    /**
     * The dynos of an app by a list that began at most `age` ms ago; undefined: the budget allows no look now, or enough wait for it already. Rejects as the
     * platform's list does, or did a moment ago.
     */
    of: async (wanted: { app: string; resource: string; age: number }): Promise<readonly Dyno[] | undefined> => {
      const { app } = wanted;
      const before = waiting.get(app) ?? 0;
      if (before >= WAITING_MOST) return undefined;
      waiting.set(app, before + 1);
      try {
        return await lookedAt(wanted);
      } finally {
        const left = (waiting.get(app) ?? 1) - 1;
        if (left > 0) waiting.set(app, left);
        else waiting.delete(app);
      }
    },
  };
}
