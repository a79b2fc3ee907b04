// The run that an object starts.
import type { ObjectHead } from '../clients/ports.ts';
import { MEMORY_MS } from '../queues/identity.ts';
import type { Resource } from '../queues/resources.ts';
import type { Trigger } from '../queues/run-record.ts';
import { Failure } from '../schema/failures.ts';
import { parseRunId } from '../schema/ids.ts';
import type { ObjectMetadata } from '../schema/metadata.ts';
import { parseWorkflow } from '../schema/parse-workflow.ts';
import type { ObjectCreated } from '../schema/s3-event.ts';
import { MAX_DOCUMENT_BYTES } from '../schema/workflow.ts';
import type { EventDeps } from './event-deps.ts';
import { planFaults } from './plan-limits.ts';

/** Trees that may wait to be made by this process before runs become plan jobs. */
const MAX_PENDING_TREES = 500;

/** When the event's file was saved (ms), where that is longer ago than half of the hour by which the sweep looks back, and within its memory. */
function longAgo(deps: EventDeps, event: ObjectCreated): number | undefined {
  const age = event.time === undefined ? 0 : deps.now() - event.time;
  return age > 1_800_000 && age < MEMORY_MS ? event.time : undefined;
}

/** An object that says that it starts a run. */
export interface RunOrder {
  readonly resource: Resource;
  readonly event: ObjectCreated & { readonly versionId: string };
  readonly head: ObjectHead;
  readonly metadata: ObjectMetadata;
  /** How many runs led to this one. */
  readonly depth: number;
}

/**
 * Accepts the run and has its tree made, or records why it is rejected. `account` accounts for the version where no run does (too many in a
 * minute, or a day), and `gone` is for an object that is not there any more. Repeatable. Throws what comes again.
 */
export async function startRun(
  deps: EventDeps,
  { resource, event, head, metadata, depth }: RunOrder,
  { account, gone }: Readonly<Record<'account' | 'gone', () => Promise<void>>>,
): Promise<void> {
  const trigger: Trigger = {
    bucket: event.bucket,
    key: event.key,
    versionId: event.versionId,
    etag: head.etag,
    size: head.size,
    uploadedAt: event.time,
  };
  const runId = deps.place(trigger, head.modifiedAt ?? event.time);
  const planner = deps.planners[parseRunId(runId)?.shard ?? 0];
  // the number of shards was raised since this process started: one that serves them takes the event
  if (planner === undefined) throw new Failure('not_running', `Run ${runId} belongs to a shard that this process does not serve yet.`);
  const { runsPerMinute: cap, asked } = deps;
  // saved before Redis lost data: it may have had its run, which may have ended
  const redo = deps.recall?.epochFor(event.time) ?? deps.redo;
  if (redo !== undefined && (await deps.recall?.restore(runId))) return;
  const reject = async (code: 'workflow_invalid' | 'workflow_too_large' | 'workflow_conflict', detail: string) => {
    const result = await deps.runs.reject({ runId, resource: resource.id, trigger, code, detail, cap, asked });
    if (isSetAside(result)) await account();
    deps.log.info({ runId, key: event.key, code }, 'rejected a run');
  };
  if (metadata.run && metadata.code !== undefined) {
    return await reject(
      'workflow_conflict',
      'Found both ld_run and ld_code, expected one: ld_run says that the body is the workflow, ld_code carries it.',
    );
  }
  if (metadata.run && head.size > MAX_DOCUMENT_BYTES) {
    return await reject(
      'workflow_too_large',
      `Found ${head.size} bytes, expected at most ${MAX_DOCUMENT_BYTES}. Split the workflow, or let a task start the next one.`,
    );
  }
  const text = metadata.code ?? (await deps.store.text(event.bucket, event.key, event.versionId, MAX_DOCUMENT_BYTES));
  if (text === undefined) return await gone();
  const parsed = parseWorkflow(text);
  if (!parsed.ok) return await reject('workflow_invalid', parsed.faults.map((fault) => fault.message).join('\n'));
  const { workflow, plan } = parsed;
  const tooMuch = planFaults(resource, plan);
  if (tooMuch.length > 0) return await reject('workflow_invalid', tooMuch.join('\n'));
  const isKnown = async () => (await deps.runs.depth(runId)) !== undefined;
  // what is done again was counted on its day, and so was a run whose event comes again
  const full = redo === undefined && (await deps.limits?.begin(resource, runId, isKnown)) !== undefined;
  const result = await deps.runs.accept({
    runId,
    resource: resource.id,
    trigger,
    workflow,
    plan,
    cap,
    full,
    asked,
    depth,
    redo,
    saved: longAgo(deps, event),
  });
  deps.log.info({ runId, key: event.key, result }, 'accepted a run');
  if (isSetAside(result)) {
    deps.limits?.leave(resource, runId);
    await account();
  }
  if (result !== 'new' && result !== 'accepted') return;
  deps.failpoint('events.accepted');
  const outstanding = deps.outstanding(resource.id, plan.steps[0]?.tasks.length ?? 0);
  if (planner.pending() > MAX_PENDING_TREES) await planner.defer(runId);
  else await planner.plan({ runId, known: { resource: resource.id, plan }, outstanding });
}

function isSetAside(result: string): boolean {
  return result === 'capped' || result === 'aside';
}
