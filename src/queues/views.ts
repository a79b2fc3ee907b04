// Reads run records for API, dashboard and CLI. Nothing here reads BullMQ's own keys.
import type { Redis } from 'ioredis';
import { parseRunId, taskId } from '../schema/ids.ts';
import { parseWorkflow } from '../schema/parse-workflow.ts';
import type { HistoryEntry, Problem, RunState, RunSummary, RunView, StepView, TaskState, TaskView } from '../schema/run-view.ts';
import type { TaskPlan } from '../schema/workflow.ts';
import { ADDON_ACCOUNT, type Budget, type Outlook } from './budget.ts';
import { shardKeys } from './keys.ts';
import { readOutput } from './run-record.ts';

const STATES: readonly RunState[] = ['accepted', 'running', 'succeeded', 'failed', 'cancelled', 'rejected'];
const PHASES: Readonly<Record<string, TaskState>> = {
  new: 'waiting',
  throttle: 'waiting',
  intent: 'launching',
  await: 'running',
  cool: 'cooling',
  backoff: 'retrying',
  succeeded: 'succeeded',
  failed: 'failed',
  skipped: 'skipped',
};

/** A run with its tasks and history; undefined when there is none of that id. With `budget` it also tells what waits for a launch and why. */
export async function readRun(redis: Redis, runId: string, budget?: Pick<Budget, 'outlook'>): Promise<RunView | undefined> {
  const parts = parseRunId(runId);
  if (parts === undefined) return undefined;
  const keys = shardKeys(parts.shard);
  const [record, history, document] = await Promise.all([
    redis.hgetall(keys.run(runId)),
    redis.lrange(keys.history(runId), 0, -1),
    redis.get(keys.document(runId)),
  ]);
  // of a run whose retention has passed a stub is left
  if (record['stub'] !== undefined) return undefined;
  const entries = history.map((entry): unknown => JSON.parse(entry));
  const view = viewOf(runId, record, document, entries);
  return view === undefined ? undefined : { ...view, steps: await withOutlook(view.steps, record, budget) };
}

/** A run as its record, document and history show it, from Redis or from the archive; undefined when there is no record. */
export function viewOf(
  runId: string,
  record: Readonly<Record<string, string>>,
  document: string | null,
  history: readonly unknown[],
): RunView | undefined {
  const summary = summaryOf(runId, record, progressOf(record));
  if (summary === undefined) return undefined;
  return {
    ...summary,
    steps: stepsOf(runId, record, document),
    history: history.map((entry, i) => historyEntryOf(runId, i + 1, entry)),
  };
}

/** One entry of the history as the scripts write it: `[ms, what, task, attempt, detail]`. */
function historyEntryOf(runId: string, n: number, entry: unknown): HistoryEntry {
  const [ms, what, task, attempt, detail] = Array.isArray(entry) ? entry : [];
  return {
    n,
    at: isoOf(ms),
    what: String(what ?? ''),
    task: task === undefined || task === '' ? null : `${runId}.${task}`,
    attempt: typeof attempt === 'number' && attempt > 0 ? attempt : null,
    detail: String(detail ?? ''),
  };
}

/** What every route has to know of a run first; undefined when there is none of that id. */
export async function readHead(
  redis: Redis,
  runId: string,
): Promise<{ resource: string; state: RunState; error: Problem | null } | undefined> {
  const parts = parseRunId(runId);
  if (parts === undefined) return undefined;
  const fields = ['state', 'resource', 'error', 'failing', 'stub'] as const;
  const values = await redis.hmget(shardKeys(parts.shard).run(runId), ...fields);
  const record: Record<string, string> = {};
  for (const [i, name] of fields.entries()) if (typeof values[i] === 'string') record[name] = values[i];
  return record['stub'] === undefined ? headOf(record) : undefined;
}

/** The same of a record. */
export function headOf(record: Readonly<Record<string, string>>): { resource: string; state: RunState; error: Problem | null } | undefined {
  const state = STATES.find((known) => known === record['state']);
  if (state === undefined) return undefined;
  return { resource: record['resource'] ?? '', state, error: problemOf(record['error'] ?? withoutTask(record['failing'])) };
}

/** The entries of a run's history after the `after`th, oldest first; at most `limit`. */
export async function readHistory(redis: Redis, runId: string, after: number, limit: number): Promise<readonly HistoryEntry[]> {
  const parts = parseRunId(runId);
  if (parts === undefined) return [];
  const entries = await redis.lrange(shardKeys(parts.shard).history(runId), after, after + limit - 1);
  return entries.map((entry, i) => historyEntryOf(runId, after + i + 1, JSON.parse(entry)));
}

/** The document of a run's workflow, as JSON text; undefined for a run that was rejected, or none. */
export async function readDocument(redis: Redis, runId: string): Promise<string | undefined> {
  const parts = parseRunId(runId);
  return parts === undefined ? undefined : ((await redis.get(shardKeys(parts.shard).document(runId))) ?? undefined);
}

/** The fields of a record that summaryOf reads. */
export const SUMMARY_FIELDS = [
  'state',
  'title',
  'resource',
  'bucket',
  'key',
  'version',
  'etag',
  'size',
  'at',
  'uploaded',
  'end',
  'failing',
  'error',
  'parent',
  'how',
  'bo',
] as const;

/** What lists show of a run; undefined when there is no record. */
export function summaryOf(
  id: string,
  record: Readonly<Record<string, string>>,
  progress: { tasks: number; settled: number },
): RunSummary | undefined {
  const state = STATES.find((known) => known === record['state']);
  if (state === undefined) return undefined;
  return {
    id,
    title: record['title'] ?? '',
    state,
    resource: record['resource'] ?? '',
    trigger: {
      bucket: record['bucket'] ?? '',
      key: record['key'] ?? '',
      version_id: record['version'] ?? '',
      etag: record['etag'] ?? '',
      size: Number(record['size'] ?? 0),
    },
    saved_at: record['uploaded'] === undefined ? null : isoOf(record['uploaded']),
    created_at: isoOf(record['at']),
    ended_at: record['end'] === undefined ? null : isoOf(record['end']),
    error: problemOf(record['error'] ?? withoutTask(record['failing'])),
    again: againOf(record['parent'], record['how']),
    tasks: progress.tasks,
    settled: progress.settled,
    retrying: Number(record['bo'] ?? 0),
  };
}

/** Tells of the tasks that wait for the launch budget why, and about how long. */
async function withOutlook(
  steps: readonly StepView[],
  record: Readonly<Record<string, string>>,
  budget: Pick<Budget, 'outlook'> | undefined,
): Promise<StepView[]> {
  const queued = new Set(
    steps.flatMap((step, k) => step.tasks.filter((_, i) => record[`p:${k}.${i}`] === 'throttle').map((task) => task.id)),
  );
  if (budget === undefined || queued.size === 0) return [...steps];
  const outlook = await budget.outlook(ADDON_ACCOUNT, record['resource'] ?? '', [...queued]);
  return steps.map((step) => ({
    ...step,
    tasks: step.tasks.map((task) => (queued.has(task.id) ? { ...task, waiting: waitingOf(outlook, task.id) } : task)),
  }));
}

function waitingOf({ why, limit, seconds }: Outlook, task: string): TaskView['waiting'] {
  const left = seconds.get(task) ?? null;
  if (why === 'paused') return { why, seconds: null, message: 'held: the resource is paused' };
  if (why === 'concurrency') return { why, seconds: null, message: `waits: the plan allows ${limit} dynos at a time` };
  return { why, seconds: left, message: left === null ? 'waits: launch budget' : `starts in about ${left} s: launch budget` };
}

function stepsOf(runId: string, record: Readonly<Record<string, string>>, document: string | null): StepView[] {
  const parsed = document === null ? undefined : parseWorkflow(document);
  if (parsed === undefined || !parsed.ok) return [];
  return parsed.plan.steps.map((step, k) => ({
    name: step.name,
    group: step.group,
    tasks: step.tasks.map((task, i) => taskOf(runId, k, i, task, record)),
  }));
}

function taskOf(runId: string, k: number, i: number, task: TaskPlan, record: Readonly<Record<string, string>>): TaskView {
  const t = `${k}.${i}`;
  const output = record[`o:${t}`] === undefined ? undefined : readOutput(record[`o:${t}`] ?? '');
  const state = PHASES[record[`p:${t}`] ?? 'new'] ?? 'waiting';
  const deadline = record[`dl:${t}`];
  return {
    id: taskId(runId, k, i),
    name: task.name,
    cmd: task.cmd,
    machine: task.machine,
    state,
    attempt: Number(record[`a:${t}`] ?? 1),
    waiting: null,
    dyno: record[`dy:${t}`]?.split('|')[1] ?? null,
    deadline: deadline === undefined ? null : isoOf(deadline),
    error: state === 'succeeded' ? null : problemOf(record[`e:${t}`]),
    output:
      output === undefined
        ? null
        : {
            key: output.ref.key,
            version_id: output.ref.version_id,
            etag: output.ref.etag,
            size: output.ref.size,
            state: output.ref.state ?? null,
            at: isoOf(output.at),
          },
  };
}

/** How far a run is. */
export function progressOf(record: Readonly<Record<string, string>>): { tasks: number; settled: number } {
  let tasks = 0;
  let settled = 0;
  for (let s = 0; s < Number(record['steps'] ?? 0); s += 1) {
    tasks += Number(record[`n${s}`] ?? 0);
    settled += Number(record[`d${s}`] ?? 0);
  }
  return { tasks, settled };
}

/** `code|detail` as the scripts write it. */
function problemOf(field: string | undefined): Problem | null {
  if (field === undefined) return null;
  const bar = field.indexOf('|');
  return bar < 0 ? { code: field, message: '' } : { code: field.slice(0, bar), message: field.slice(bar + 1) };
}

function againOf(of: string | undefined, how: string | undefined): RunSummary['again'] {
  if (of === undefined || (how !== 'run' && how !== 'from' && how !== 'task' && how !== 'failed')) return null;
  return { of, how };
}

/** `step.index|code|detail` without the task. */
function withoutTask(failing: string | undefined): string | undefined {
  return failing?.slice(failing.indexOf('|') + 1);
}

function isoOf(ms: unknown): string {
  return new Date(Number(ms)).toISOString();
}
