import type { Job } from 'bullmq';
import type { Runs } from '../queues/runs.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';

/** The processor of the root job, which runs when all tasks are done: writes the run's end. Repeating it changes nothing. */
export function createFinishProcessor(deps: { runs: Runs; ended: () => void; failpoint: Failpoint; log: Log }) {
  return async (job: Job): Promise<string> => {
    const runId = job.id ?? '';
    deps.failpoint('finish.entered');
    const state = await deps.runs.finish(runId);
    // the tree says that all is done, the record does not: ask again (BullMQ re-runs the job)
    if (state === 'open') throw new Failure('conflict', `Run ${runId} has tasks that have not settled.`);
    deps.failpoint('finish.ended');
    deps.ended();
    deps.log.info({ runId, state }, 'ended a run');
    return state;
  };
}
