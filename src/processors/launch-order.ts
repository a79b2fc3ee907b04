import type { LaunchOrder } from '../clients/ports.ts';
import type { Resources } from '../queues/resources.ts';
import type { RunFacts, TaskRef } from '../queues/run-record.ts';
import { withMarker } from '../schema/command.ts';
import { taskId } from '../schema/ids.ts';
import { buildLineD } from '../schema/line-d.ts';
import type { TaskPlan } from '../schema/workflow.ts';

/** Seconds that a dyno may outlive its task's deadline before the platform ends it. */
const TIDY_UP_S = 120;
/** Seconds: the longest life of a one-off dyno, given to those that nobody waits for (heroku.md §2.2). */
export const LONGEST_LIFE_S = 86_400;

/** Seconds after which the platform ends a dyno of the task. */
export function timeToLiveOf(task: Pick<TaskPlan, 'no_output' | 'timeout'>): number {
  return task.no_output ? LONGEST_LIFE_S : task.timeout + TIDY_UP_S;
}

/**
 * What a task's dyno is started with; undefined when its resource is gone. `endsEarly`: its credentials would end before the task's deadline,
 * so that it could not write its output: a rotation is overdue. `byCustomer`: by the customer's own token. `now`: Redis' time in ms.
 */
export async function launchOrder(
  launchable: ReturnType<Resources['launchable']>,
  task: { ref: TaskRef; task: TaskPlan; attempt: number; now: number; facts: RunFacts },
): Promise<(LaunchOrder & { app: string; endsEarly: boolean; byCustomer: boolean }) | undefined> {
  const { ref, task: plan, attempt, facts } = task;
  const found = await launchable;
  if (found === undefined) return undefined;
  const { resource, credentials } = found;
  const deadline = task.now + plan.timeout * 1000;
  const lineD = buildLineD({
    task_id: ref.id,
    run_id: ref.runId,
    attempt,
    title: facts.title,
    name: plan.name,
    step: ref.step,
    index: ref.index,
    bucket: resource.bucket,
    region: resource.region,
    trigger: { key: facts.trigger.key, version_id: facts.trigger.versionId, etag: facts.trigger.etag, size: facts.trigger.size },
    deadline,
    outputs: facts.before.map(({ index, name, output }) => ({
      task_id: taskId(ref.runId, ref.step - 1, index),
      name,
      key: output.key,
      state: output.state ?? null,
    })),
  });
  return {
    app: resource.app,
    byCustomer: resource.permission === 'customer',
    endsEarly: credentials !== undefined && credentials.expiresAt < deadline,
    command: withMarker(plan.cmd, ref.id, attempt),
    size: plan.machine,
    timeToLive: timeToLiveOf(plan),
    env: {
      ...plan.options,
      LD_S3_BUCKET: resource.bucket,
      LD_REGION: resource.region,
      ...(credentials === undefined
        ? {}
        : {
            LD_AWS_ACCESS_KEY_ID: credentials.accessKeyId,
            LD_AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
            LD_AWS_SESSION_TOKEN: credentials.sessionToken,
          }),
      line_D: lineD,
    },
  };
}
