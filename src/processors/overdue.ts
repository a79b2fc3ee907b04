import type { DynoEnd, DynoPlatform, ObjectStore } from '../clients/ports.ts';
import type { Decision } from '../queues/decision.ts';
import type { Resource, Resources } from '../queues/resources.ts';
import type { TaskRef } from '../queues/run-record.ts';
import type { Runs } from '../queues/runs.ts';
import type { EnterOptions } from '../queues/task-transitions.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { readMetadata } from '../schema/metadata.ts';
import type { TaskPlan } from '../schema/workflow.ts';

/** Milliseconds for the one HEAD at the end: a verdict is due within six seconds of its deadline. */
const HEAD_DEADLINE_MS = 3_000;
/** Milliseconds for the one look at the dyno list at the end. */
const LIST_DEADLINE_MS = 3_000;
/** Milliseconds from a dyno's creation to the recorded launch at most: the POST's deadline and a clock's difference. */
const LAUNCH_SLACK_MS = 15_000;
/** Graces that the queue is waited for at most: what stays in it longer (an event that cannot be decided, of anybody) has nothing to do with the task. */
const MOST_GRACES = 30;
/** Milliseconds for reading how a dyno ended; without an answer the verdict does without it. */
const LOG_DEADLINE_MS = 1_500;

export interface OverdueDeps {
  readonly runs: Runs;
  readonly resources: Resources;
  readonly store: ObjectStore;
  readonly platform: DynoPlatform;
  /**
   * Whether no event is on its way any more. Given where the queue can tell (the local cloud): a grace then lasts until that, and thirty graces at
   * most. On AWS an event may not even be in the queue yet, so the grace is a length of time.
   */
  readonly drained?: () => Promise<boolean>;
  /** Milliseconds of a grace. */
  readonly graceMs: number;
  readonly log: Log;
}

/**
 * A task is overdue: its deadline passed, or its dyno ended and the grace with it. Looks once more whether the output
 * is there after all, and otherwise answers with the verdict. undefined: something was found, ask the record again.
 */
export async function lookOnceMore(
  deps: OverdueDeps,
  overdue: { ref: TaskRef; task: TaskPlan; resource: string; decision: Decision },
): Promise<EnterOptions['verdict']> {
  const { ref, task, decision } = overdue;
  const gone = decision.detail !== 'deadline';
  const resource = await deps.resources.get(overdue.resource);
  if (resource === undefined) return { code: 'exited_without_output', detail: 'the add-on is not installed any more' };
  if (task.no_output) return await lookAtDyno(deps, overdue, resource, gone);
  if (gone && waitedFor(decision) < MOST_GRACES * deps.graceMs && !(await isDrained(deps, ref))) return 'extend';
  const output = await lookForOutput(deps, ref, resource);
  if (output === 'found') return undefined;
  // before the deadline nothing is lost by asking S3 again
  if (gone && output === 'unanswered') return 'extend';
  if (!gone) return { code: 'timed_out', detail: `no output within ${task.timeout} s` };
  const end = await endOf(deps, ref, resource);
  const status = end === 'unread' || end?.status === undefined ? 'exited' : `exited ${end.status}`;
  return { code: 'exited_without_output', detail: `${status} without output` };
}

/** A task without output: up, or gone without a sign of a crash before it was up, is a success. */
async function lookAtDyno(
  deps: OverdueDeps,
  { ref, task, resource: resourceId, decision }: { ref: TaskRef; task: TaskPlan; resource: string; decision: Decision },
  resource: Resource,
  gone: boolean,
): Promise<EnterOptions['verdict']> {
  const listed = gone ? 'gone' : await lookAtList(deps, ref, resource);
  const read = listed === 'up' || listed === 'not up' ? undefined : await endOf(deps, ref, resource);
  const end = read === 'unread' ? undefined : read;
  if (listed === 'not up' || (listed === 'unanswered' && !end?.up)) {
    return { code: 'timed_out', detail: `not up within ${task.timeout} s` };
  }
  if (read === 'unread') {
    // a crash must not pass for a success because nobody could be asked
    if (gone) return 'extend';
    return { code: 'timed_out', detail: `gone, and its log could not be read within ${task.timeout} s to see whether it was up` };
  }
  const failed = end?.status !== undefined && end.status !== 0;
  // that it crashed is a sign also where its log may not be read; had it been seen up, the task would have succeeded by that
  if (end?.up !== true && (failed || decision.detail.endsWith('|crashed'))) {
    return { code: 'dyno_crashed', detail: failed ? `exited ${end.status} before it was up` : 'crashed before it was up' };
  }
  const dyno = await deps.runs.dynoOf(ref);
  await deps.runs.observe({ ref, resource: resourceId, attempt: decision.attempt, kind: 'up', dynoId: dyno?.id ?? '', noOutput: true });
  return undefined;
}

/** Milliseconds since the dyno's end was seen, however often the grace was extended (enter.lua). */
function waitedFor({ detail, now }: Decision): number {
  const [, last, first] = /^(\d+)\|(?:(\d+)\|)?/.exec(detail) ?? [];
  return now - Number(first ?? last ?? now);
}

/** Where the queue cannot tell, a grace is only a length of time. A queue that does not answer is not drained. */
async function isDrained(deps: OverdueDeps, ref: TaskRef): Promise<boolean> {
  if (deps.drained === undefined) return true;
  try {
    return await deps.drained();
  } catch (error) {
    deps.log.warn({ taskId: ref.id, error: messageOf(error) }, 'queue not asked');
    return false;
  }
}

/** The poller may not have come to it. */
async function lookAtList(deps: OverdueDeps, ref: TaskRef, resource: Resource): Promise<'up' | 'not up' | 'gone' | 'unanswered'> {
  try {
    const [dyno, dynos] = await Promise.all([deps.runs.dynoOf(ref), deps.platform.list(resource.app, { deadline: LIST_DEADLINE_MS })]);
    const listed = dynos.find(({ id }) => id === dyno?.id);
    return listed === undefined ? 'gone' : listed.state === 'up' ? 'up' : 'not up';
  } catch (error) {
    deps.log.warn({ taskId: ref.id, error: messageOf(error) }, 'last look for a dyno failed');
    return 'unanswered';
  }
}

/** The event may be late or lost; the object itself is proof enough where the habit `out/<task_id>` was followed. */
async function lookForOutput(deps: OverdueDeps, ref: TaskRef, resource: Resource): Promise<'found' | 'absent' | 'unanswered'> {
  const key = `out/${ref.id}`;
  try {
    const head = await deps.store.head(resource.bucket, key, undefined, { deadline: HEAD_DEADLINE_MS });
    if (head === undefined) return 'absent';
    const metadata = readMetadata(head.metadata);
    if (metadata.taskId !== ref.id) return 'absent';
    const result = await deps.runs.deliver(ref.id, resource.id, {
      key,
      version_id: head.versionId,
      etag: head.etag,
      size: head.size,
      ...(metadata.state === undefined ? {} : { state: metadata.state }),
    });
    return result === 'ok' || result === 'duplicate' ? 'found' : 'absent';
  } catch (error) {
    deps.log.warn({ taskId: ref.id, error: messageOf(error) }, 'last look for an output failed');
    return 'unanswered';
  }
}

/** undefined: the task has no dyno, or its log may not be read; `unread`: the log could not be asked in time. */
async function endOf(deps: OverdueDeps, ref: TaskRef, resource: Resource): Promise<DynoEnd | 'unread' | undefined> {
  const dyno = await deps.runs.dynoOf(ref);
  if (dyno === undefined) return undefined;
  try {
    return await deps.platform.endOf(resource.app, dyno.name, {
      deadline: LOG_DEADLINE_MS,
      // the answer to the POST came after the dyno was made
      after: dyno.launchedAt - LAUNCH_SLACK_MS,
    });
  } catch (error) {
    deps.log.warn({ taskId: ref.id, dyno: dyno.name, dynoId: dyno.id, error: messageOf(error) }, 'log of a dyno not read');
    // a token that may not read logs will not learn to by waiting, while one that is not taken is an outage (ports.ts); then the dyno list alone tells
    return error instanceof Failure && !error.retry ? undefined : 'unread';
  }
}
