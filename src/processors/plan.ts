import type { Job } from 'bullmq';
import type { Planner } from '../queues/planner.ts';

/** The processor of `plan` jobs, the path of a run under back-pressure: makes the tree. */
export function createPlanProcessor(deps: { planner: Planner }) {
  return async (job: Job): Promise<string> => await deps.planner.plan({ runId: job.id ?? '' });
}
