// What a resource may do: whose API budget its launches come from, how many dynos at a time, which commands.
import { ADDON_ACCOUNT } from '../queues/budget.ts';
import type { Resources } from '../queues/resources.ts';
import { Failure } from '../schema/failures.ts';
import { planOf } from '../schema/plans.ts';

/** Milliseconds that an allowance is remembered; a change of plan is noticed within that time. */
const CACHE_MS = 5_000;

export interface Allowance {
  readonly account: string;
  /** Dynos of the resource at the same time; 0 for no limit. */
  readonly concurrency: number;
  /** Whether a task may run any command, or process types of the app's Procfile alone. */
  readonly commands: 'any' | 'procfile';
}

export type Allowances = ReturnType<typeof createAllowances>;

/** The allowances of resources, remembered for a moment. `now`: milliseconds of any clock. */
export function createAllowances(deps: { resources: Resources; now: () => number }) {
  const remembered = new Map<string, { until: number; allowance: Allowance }>();
  return {
    /** Of a resource that is gone: nothing to hold back, its launch is refused anyway. */
    of: async (id: string): Promise<Allowance> => {
      const last = remembered.get(id);
      if (last !== undefined && last.until > deps.now()) return last.allowance;
      const resource = await deps.resources.get(id).catch((error: unknown) => {
        // a damaged record holds nobody's launches back: the launch itself meets the damage, where it is counted
        if (error instanceof Failure && error.code === 'internal') return undefined;
        throw error;
      });
      const allowance: Allowance = {
        account: ADDON_ACCOUNT,
        concurrency: planOf(resource?.plan ?? '')?.concurrency ?? 0,
        commands: resource?.commands ?? 'any',
      };
      remembered.set(id, { until: deps.now() + CACHE_MS, allowance });
      return allowance;
    },
  };
}
