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
  interface Today {
    until: number;
    readonly day: number;
    /** As Redis has them. */
    readonly counted: Promise<number>;
    /** Runs that began here since, each once however often its event comes. */
    readonly begun: Set<string>;
  }
  const counts = new Map<string, Today>();

  /** A count that is under way is everybody's: each with one of its own would have room for as many runs as ask at once. */
  const countAnew = (id: string, day: number) => {
    const counted = deps.count(id, day).then(
      (count) => {
        today.until = deps.now() + COUNT_MS;
        return count;
      },
      (error: unknown) => {
        if (counts.get(id) === today) counts.delete(id);
        throw error;
      },
    );
    const today: Today = { until: Number.POSITIVE_INFINITY, day, counted, begun: new Set() };
    counts.set(id, today);
    return today;
  };

  return {
    /**
     * Counts one run more for today (UTC). Answers with what is wrong when the day has no more; undefined: it may begin. `isKnown`: whether the run has
     * begun before, and was counted then; not asked where the plan has no limit.
     */
    begin: async (
      { id, plan }: Pick<Resource, 'id' | 'plan'>,
      runId: string,
      isKnown?: () => Promise<boolean>,
    ): Promise<string | undefined> => {
      const limit = planOf(plan)?.runs_per_day ?? NO_LIMIT;
      if (limit >= NO_LIMIT || (isKnown !== undefined && (await isKnown()))) return undefined;
      const now = deps.now();
      const day = Math.floor(now / DAY_MS) * DAY_MS;
      const last = counts.get(id);
      const today = last === undefined || last.day !== day || last.until <= now ? countAnew(id, day) : last;
      const counted = await today.counted;
      if (!today.begun.has(runId) && counted + today.begun.size >= limit)
        return `The plan ${plan} has ${limit} runs a day (UTC), and they are used up: a larger plan has more.`;
      today.begun.add(runId);
      return undefined;
    },

    /** A run that was counted did not begin after all. */
    leave: ({ id }: Pick<Resource, 'id'>, runId: string): void => {
      counts.get(id)?.begun.delete(runId);
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
