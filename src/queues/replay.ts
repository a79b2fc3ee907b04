// The four retry verbs: an ended run is run again as a new run, whole or in part. What is not selected counts as done in
// the new run: as succeeded, with the outputs it had, so that later tasks find them, or as skipped where it had not succeeded.
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { ArchivedRun } from '../schema/archived-run.ts';
import { Failure } from '../schema/failures.ts';
import { parseRunId } from '../schema/ids.ts';
import { parseWorkflow } from '../schema/parse-workflow.ts';
import type { TaskPlan, WorkflowPlan } from '../schema/workflow.ts';
import { redisTime } from './due.ts';
import { shardKeys } from './keys.ts';
import type { Runs } from './runs.ts';

/** Which tasks run again: all, those from a step on (counted from 0), one (`step.index`), or those that did not succeed. */
export type Selection =
  | { readonly mode: 'run' }
  | { readonly mode: 'from'; readonly step: number }
  | { readonly mode: 'task'; readonly step: number; readonly index: number }
  | { readonly mode: 'failed' };

export interface ReplayOrder {
  readonly runId: string;
  readonly selection: Selection;
  /** The text of an edited workflow; without it the run's own. */
  readonly workflow?: string;
  /** The same nonce names the same new run, so a repeated call starts nothing twice. */
  readonly nonce: string;
  /** Whether the nonce is the caller's own, so that the order may have been given before. */
  readonly repeatable?: boolean;
  readonly cap: number;
}

export interface ReplayDeps {
  readonly redis: Redis;
  /** Whether the plan of the resource allows the run of that id; throws Failure where it does not. */
  readonly allow?: (resource: string, plan: WorkflowPlan, runId: string) => Promise<void>;
  readonly runs: Pick<Runs, 'accept'>;
  /** Looks in the archive for a run whose retention has passed; what it gives was validated. */
  readonly archived?: (runId: string) => Promise<ArchivedRun | undefined>;
  /** The epoch of the store, or the one that follows, where a loss of Redis may have taken what was ordered before; undefined: it has not. */
  readonly lost?: () => Promise<number | undefined>;
  /** Marks a run as one of that epoch. */
  readonly redo?: (runId: string, epoch: number) => Promise<unknown>;
}

/**
 * Records the new run and answers with its id; the caller has it planned. Throws Failure not_found, conflict (the run has
 * not ended, nothing to run again, an edited workflow does not fit what is kept, or the nonce named another order) or workflow_invalid.
 */
export async function replay(deps: ReplayDeps, order: ReplayOrder): Promise<string> {
  const shard = parseRunId(order.runId)?.shard;
  const source = shard === undefined ? undefined : await sourceOf(deps, order.runId, shard);
  if (shard === undefined || source === undefined) throw new Failure('not_found', `Found no run ${order.runId}.`);
  const { record, document } = source;
  if (record['end'] === undefined) throw new Failure('conflict', `Run ${order.runId} has not ended. Wait for its end or cancel it first.`);
  const parsed = parseWorkflow(order.workflow ?? document ?? '');
  if (!parsed.ok) {
    if (order.workflow === undefined)
      throw new Failure('conflict', `Run ${order.runId} was rejected and has no workflow that could run again. Send a corrected one.`);
    throw new Failure('workflow_invalid', parsed.faults.map((fault) => fault.message).join('\n'));
  }
  const { workflow, plan } = parsed;
  const kept = keptTasks(record, order.workflow === undefined ? undefined : document, plan, order, await redisTime(deps.redis));
  const runId = `r${shard}-${replayDigits(order)}`;
  const digest = orderDigest(order);
  // ordered before a loss of Redis it may have been launched
  const lost = async () => (order.repeatable === true ? await deps.lost?.() : undefined);
  const redo = await lost();
  const before = await deps.redis.hmget(shardKeys(shard).run(runId), 'state', 'order');
  if (typeof before[0] === 'string') sameOrder(runId, before[1], digest);
  else {
    // it may have ended, and have left Redis since
    const archived = order.repeatable === true ? await deps.archived?.(runId) : undefined;
    if (archived !== undefined) return sameOrder(runId, archived.record['order'], digest);
    await deps.allow?.(record['resource'] ?? '', plan, runId);
  }
  const result = await deps.runs.accept({
    runId,
    redo,
    resource: record['resource'] ?? '',
    trigger: {
      bucket: record['bucket'] ?? '',
      key: record['key'] ?? '',
      versionId: record['version'] ?? '',
      etag: record['etag'] ?? '',
      size: Number(record['size'] ?? 0),
    },
    workflow,
    plan,
    cap: order.cap,
    depth: Number(record['depth'] ?? 0),
    again: { of: order.runId, how: order.selection.mode, order: digest, kept },
  });
  if (result === 'capped') throw new Failure('conflict', 'Too many runs were started in this minute. Try again in the next.');
  // another call with this nonce may have come between the look and the script
  if (result !== 'new') sameOrder(runId, await deps.redis.hget(shardKeys(shard).run(runId), 'order'), digest);
  // a loss may have been found between the look and the script, and who puts it right may have looked at the shard before
  const since = await lost();
  // a call before this one may have made the run, and have broken off before it gave it that mark: given twice it changes nothing
  if (since !== undefined && (result !== 'new' || since !== redo)) await deps.redo?.(runId, since);
  return runId;
}

/** The run that is to run again, from Redis or, when its retention has passed, from the archive. */
async function sourceOf(deps: ReplayDeps, runId: string, shard: number): Promise<Pick<ArchivedRun, 'record' | 'document'> | undefined> {
  const keys = shardKeys(shard);
  const [record, document] = await Promise.all([deps.redis.hgetall(keys.run(runId)), deps.redis.get(keys.document(runId))]);
  if (record['state'] !== undefined && record['stub'] === undefined) return { record, document };
  return await deps.archived?.(runId);
}

/**
 * Fields of the new record for the tasks that count as done: their phase, their output, and how many of a step they are. `before`: the document that
 * an edited workflow takes the place of; `now`: Redis' time in ms, as that of outputs is.
 */
function keptTasks(
  record: Readonly<Record<string, string>>,
  before: string | null | undefined,
  plan: WorkflowPlan,
  order: ReplayOrder,
  now: number,
): readonly (string | number)[] {
  const source = parseWorkflow(before ?? '');
  const fields: (string | number)[] = [];
  let selected = 0;
  for (const [k, step] of plan.steps.entries()) {
    let kept = 0;
    let done = 0;
    for (const [i, task] of step.tasks.entries()) {
      const t = `${k}.${i}`;
      const succeeded = record[`p:${t}`] === 'succeeded';
      if (isSelected(order.selection, k, i, record[`p:${t}`])) {
        selected += 1;
        continue;
      }
      kept += 1;
      if (source.ok && succeeded) sameCommand(source.plan.steps[k]?.tasks[i], task, k, i);
      const output = record[`o:${t}`];
      if (output !== undefined) fields.push(`o:${t}`, output);
      const cooled = output === undefined ? 0 : Number.parseInt(output, 10) + task.wait_for * 1000;
      if (succeeded && cooled > now) {
        // a cancel ends the cooling of its own run alone: the next step of this one waits for it still
        fields.push(`p:${t}`, 'cool', `dl:${t}`, cooled);
        continue;
      }
      done += 1;
      // what did not succeed before has not succeeded by being left out; who looks at the new run sees it skipped, and can retry it
      fields.push(`p:${t}`, succeeded ? 'succeeded' : 'skipped');
    }
    if (kept === 0) continue;
    if (done > 0) fields.push(`d${k}`, done);
    if (Number(record[`n${k}`] ?? -1) !== step.tasks.length) {
      throw new Failure(
        'conflict',
        `Step ${k + 1} is kept as it was and had ${record[`n${k}`] ?? 0} tasks, found ${step.tasks.length} in the edited workflow.`,
      );
    }
  }
  if (selected === 0)
    throw new Failure('conflict', `Nothing of run ${order.runId} is selected: there is no such step or task, or all have succeeded.`);
  return fields;
}

/** Throws Failure conflict where a task would take the output of another one: what is kept is known by its place alone. */
function sameCommand(before: TaskPlan | undefined, task: TaskPlan, step: number, index: number): void {
  if (before === undefined || before.cmd === task.cmd) return;
  throw new Failure(
    'conflict',
    `Step ${step + 1}, task ${index + 1} is kept as it was and ran ${quoted(before.cmd)}, found ${quoted(task.cmd)} in the edited workflow. Retry the whole run, or from that step on.`,
  );
}

/** Characters of a command that a message has. */
const QUOTED = 100;
function quoted(cmd: string): string {
  return JSON.stringify(cmd.length > QUOTED ? `${cmd.slice(0, QUOTED)}…` : cmd);
}

function isSelected(selection: Selection, step: number, index: number, phase: string | undefined): boolean {
  switch (selection.mode) {
    case 'run':
      return true;
    case 'from':
      return step >= selection.step;
    case 'task':
      return step === selection.step && index === selection.index;
    case 'failed':
      return phase !== 'succeeded';
  }
}

/** What tells one order from another one with the same nonce: 16 hexadecimal digits of its selection and its edited workflow. */
function orderDigest({ selection, workflow }: ReplayOrder): string {
  return createHash('sha256')
    .update(JSON.stringify([selection, workflow ?? null]))
    .digest('hex')
    .slice(0, 16);
}

/** Answers with the run that an order with this nonce started. Throws Failure conflict where it was another order; a stub does not know any more. */
function sameOrder(runId: string, before: string | null | undefined, digest: string): string {
  if (typeof before === 'string' && before !== digest)
    throw new Failure(
      'conflict',
      `Run ${runId} was started by another order with the same Idempotency-Key. Send this one with a key of its own.`,
    );
  return runId;
}

/** As long as the digits of a run that an event causes, from another domain: they never meet. */
function replayDigits({ runId, nonce }: ReplayOrder): string {
  const hash = createHash('sha256').update(`replay\u0000${runId}\u0000${nonce}`).digest();
  return BigInt(`0x${hash.subarray(0, 16).toString('hex')}`)
    .toString(36)
    .padStart(20, '0')
    .slice(-20);
}
