// What a plan limits of runs: how many begin in a day, and how long a task may ask for.
import type { Resource } from '../queues/resources.ts';
import { planOf } from '../schema/plans.ts';
import type { WorkflowPlan } from '../schema/workflow.ts';

/** Milliseconds that a count of today's runs is relied on; runs that begin in this process meanwhile are added to it. */
const COUNT_MS = 5_000;
const DAY_MS = 86_400_000;
/** A plan with as many has no limit. */
const NO_LIMIT = 1_000_000_000;

export interface PlanLimitsDeps {
  /** Runs of the resource that were accepted or rejected since `since` (ms). */
  readonly count: (resource: string, since: number) => Promise<number>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export type PlanLimits = ReturnType<typeof createPlanLimits>;

/** The limits of all plans. Several processes together may let a few more runs begin than a day has. */
export function createPlanLimits(deps: PlanLimitsDeps) {
  const counts = new Map<string, { until: number; readonly day: number; readonly counted: Promise<{ count: number }> }>();

  /** A count that is under way is everybody's: each with one of its own would have room for as many runs as ask at once. */
  const countAnew = (id: string, day: number) => {
    const counted = deps.count(id, day).then(
      (count) => {
        today.until = deps.now() + COUNT_MS;
        return { count };
      },
      (error: unknown) => {
        if (counts.get(id) === today) counts.delete(id);
        throw error;
      },
    );
    const today = { until: Number.POSITIVE_INFINITY, day, counted };
    counts.set(id, today);
    return today;
  };

  return {
    /** Counts one run more for today (UTC). Answers with what is wrong when the day has no more; undefined: it may begin. */
    begin: async ({ id, plan }: Pick<Resource, 'id' | 'plan'>): Promise<string | undefined> => {
      const limit = planOf(plan)?.runs_per_day ?? NO_LIMIT;
      if (limit >= NO_LIMIT) return undefined;
      const now = deps.now();
      const day = Math.floor(now / DAY_MS) * DAY_MS;
      const known = counts.get(id);
      const today = await (known === undefined || known.day !== day || known.until <= now ? countAnew(id, day) : known).counted;
      if (today.count >= limit) return `The plan ${plan} has ${limit} runs a day (UTC), and they are used up: a larger plan has more.`;
      today.count += 1;
      return undefined;
    },
  };
}

/** What a workflow asks for that the plan does not give, one sentence for each task. */
export function planFaults({ plan }: Pick<Resource, 'plan'>, workflow: WorkflowPlan): readonly string[] {
  const longest = planOf(plan)?.max_timeout_s;
  if (longest === undefined) return [];
  return workflow.steps.flatMap(({ tasks }, step) =>
    tasks.flatMap(({ timeout }, index) =>
      timeout > longest
        ? [`Step ${step + 1}, task ${index + 1}: found a timeout of ${timeout} s, expected at most ${longest} on the plan ${plan}.`]
        : [],
    ),
  );
}
