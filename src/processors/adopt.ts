import type { Dyno } from '../clients/ports.ts';
import { adoptDyno } from '../queues/dyno-news.ts';
import type { Resources } from '../queues/resources.ts';
import type { TaskRef } from '../queues/run-record.ts';
import type { Runs } from '../queues/runs.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import type { TaskPlan } from '../schema/workflow.ts';
import type { DynoLists } from './dyno-lists.ts';
import { markedDyno } from './marked-dynos.ts';

/** Milliseconds between two lists of an app for a launch that may still appear. */
const EARLY_AGE_MS = 2_000;

/**
 * Looks for the dyno of a launch whose fate is unknown, by the marker at the end of its command, and adopts it. `overdue`: milliseconds since it should
 * have appeared at the latest; negative before.
 * `absent`: a list from after that moment does not show it. `several`: more than one names this launch, and none is adopted by guess. `refused`: Heroku
 * does not give us the list, which may last. `unseen`: nothing is known yet.
 */
export async function findDyno(
  deps: { runs: Runs; resources: Resources; lists: DynoLists; failpoint: Failpoint; log: Log },
  task: { ref: TaskRef; task: TaskPlan; resource: string; attempt: number; overdue: number },
): Promise<'adopted' | 'absent' | 'several' | 'refused' | 'unseen'> {
  const resource = await deps.resources.get(task.resource);
  if (resource === undefined) return 'absent';
  let dynos: readonly Dyno[] | undefined;
  try {
    const age = task.overdue < 0 ? EARLY_AGE_MS : task.overdue;
    dynos = await deps.lists.of({ app: resource.app, resource: task.resource, age });
  } catch (error) {
    deps.log.warn({ taskId: task.ref.id, attempt: task.attempt, error: messageOf(error) }, 'dyno list not read');
    if (!(error instanceof Failure)) return 'unseen';
    // without its app there is no dyno
    return error.code === 'not_found' ? 'absent' : error.code === 'heroku_refused' ? 'refused' : 'unseen';
  }
  if (dynos === undefined) return 'unseen';
  const dyno = markedDyno(dynos, task.ref.id, task.attempt);
  if (dyno === undefined) return 'absent';
  if (dyno === 'several') {
    deps.log.warn({ taskId: task.ref.id, attempt: task.attempt }, 'several dynos name this launch: none is adopted');
    return 'several';
  }
  deps.failpoint('adopt.found');
  const { timeout, no_output: noOutput } = task.task;
  await adoptDyno(deps.runs, task.resource, { ref: task.ref, attempt: task.attempt, timeout, noOutput }, dyno);
  deps.failpoint('adopt.recorded');
  return 'adopted';
}
