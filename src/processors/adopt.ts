import type { Dyno, DynoPlatform } from '../clients/ports.ts';
import { adoptDyno } from '../queues/dyno-news.ts';
import type { Resources } from '../queues/resources.ts';
import type { TaskRef } from '../queues/run-record.ts';
import type { Runs } from '../queues/runs.ts';
import { readMarker } from '../schema/command.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import type { TaskPlan } from '../schema/workflow.ts';

/**
 * Looks for the dyno of a launch whose fate is unknown, by the marker at the end of its command, and adopts it.
 * `absent`: the list does not show it. `unseen`: the platform did not answer, so nothing is known yet.
 */
export async function findDyno(
  deps: { runs: Runs; resources: Resources; platform: DynoPlatform; failpoint: Failpoint; log: Log },
  task: { ref: TaskRef; task: TaskPlan; resource: string; attempt: number },
): Promise<'adopted' | 'absent' | 'unseen'> {
  const resource = await deps.resources.get(task.resource);
  if (resource === undefined) return 'absent';
  let dynos: readonly Dyno[];
  try {
    dynos = await deps.platform.list(resource.app);
  } catch (error) {
    deps.log.warn({ taskId: task.ref.id, attempt: task.attempt, error: messageOf(error) }, 'dyno list not read');
    return 'unseen';
  }
  const dyno = dynos.find(({ command }) => {
    const marker = readMarker(command);
    return marker !== undefined && marker.taskId === task.ref.id && marker.attempt === task.attempt;
  });
  if (dyno === undefined) return 'absent';
  deps.failpoint('adopt.found');
  const { timeout, no_output: noOutput } = task.task;
  await adoptDyno(deps.runs, task.resource, { ref: task.ref, attempt: task.attempt, timeout, noOutput }, dyno);
  deps.failpoint('adopt.recorded');
  return 'adopted';
}
