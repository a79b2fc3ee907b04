import type { FlowJob, JobsOptions } from 'bullmq';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { taskId } from '../schema/ids.ts';
import { Backoff, type TaskPlan, type WorkflowPlan } from '../schema/workflow.ts';
import { QUEUES } from './keys.ts';

/** Milliseconds, one year: where a held sibling waits. Scores stay exact until 2039 (ms × 4096 < 2^53). */
const FAR_AHEAD_MS = 31_536_000_000;
/**
 * First launches of new runs come after the later steps of running ones, and the further behind the more launches of their
 * resource are outstanding, those of their own group before them included, so that a backlog of one keeps nobody else waiting; a woken task (0) comes before all.
 */
const FIRST_STEP_PRIORITY = 10;
/** BullMQ's last priority. */
const LAST_PRIORITY = 2_097_152;
const LATER_STEP_PRIORITY = 5;

/** What a task's job carries: the resource and the task as planned, defaults left out to keep a waiting task small. */
const TaskJob = Type.Object({
  resource: Type.String(),
  cmd: Type.String(),
  name: Type.Optional(Type.String()),
  machine: Type.Optional(Type.String()),
  timeout: Type.Optional(Type.Number()),
  options: Type.Optional(Type.Record(Type.String(), Type.String())),
  no_output: Type.Optional(Type.Boolean()),
  wait_for: Type.Optional(Type.Number()),
  retries: Type.Optional(Type.Number()),
  backoff: Type.Optional(Backoff),
});
type TaskJob = Static<typeof TaskJob>;

const taskJob = Compile(TaskJob);
const DEFAULT_BACKOFF = { type: 'exponential', delay: 1, max: 60 } as const;

/** The defaults of the task table (DESIGN §4). */
const DEFAULTS = { machine: 'basic', timeout: 60, wait_for: 0 } as const;
const defaultRetries = (noOutput: boolean) => (noOutput ? 0 : 2);

function jobOf(resource: string, task: TaskPlan): TaskJob {
  const job: TaskJob = { resource, cmd: task.cmd };
  if (task.name !== '') job.name = task.name;
  if (task.machine !== DEFAULTS.machine) job.machine = task.machine;
  if (task.timeout !== DEFAULTS.timeout) job.timeout = task.timeout;
  if (Object.keys(task.options).length > 0) job.options = { ...task.options };
  if (task.no_output) job.no_output = true;
  if (task.wait_for !== DEFAULTS.wait_for) job.wait_for = task.wait_for;
  if (task.retries !== defaultRetries(task.no_output)) job.retries = task.retries;
  const { type, delay, max } = task.backoff;
  if (type !== DEFAULT_BACKOFF.type || delay !== DEFAULT_BACKOFF.delay || max !== DEFAULT_BACKOFF.max) job.backoff = { type, delay, max };
  return job;
}

/** Reads a task's job data back; undefined for what bull-board or another version may have put there. */
export function readTaskJob(data: unknown): { resource: string; task: TaskPlan } | undefined {
  if (!taskJob.Check(data)) return undefined;
  const noOutput = data.no_output ?? false;
  return {
    resource: data.resource,
    task: {
      name: data.name ?? '',
      cmd: data.cmd,
      machine: data.machine ?? DEFAULTS.machine,
      timeout: data.timeout ?? DEFAULTS.timeout,
      options: data.options ?? {},
      no_output: noOutput,
      wait_for: data.wait_for ?? DEFAULTS.wait_for,
      retries: data.retries ?? defaultRetries(noOutput),
      backoff: { ...DEFAULT_BACKOFF, ...data.backoff },
    },
  };
}

/** What every job of a tree has. */
export const JOB_OPTIONS = {
  // Infrastructure errors run the same attempt again; a task's attempts are counted in the run's record.
  attempts: 1_000_000,
  backoff: { type: 'fixed', delay: 1000 },
  removeOnComplete: true,
  removeOnFail: true,
} as const satisfies JobsOptions;

function taskNode(jobId: string, resource: string, task: TaskPlan, opts: JobsOptions) {
  return {
    name: task.name === '' ? (task.cmd.split(/\s/, 1)[0] ?? task.cmd) : task.name,
    data: jobOf(resource, task),
    opts: { ...JOB_OPTIONS, jobId, ignoreDependencyOnFailure: true, ...opts },
  };
}

/** A task's job by itself, for one that was lost from its tree, and which job of which queue is its parent there. */
export function lostTask(runId: string, resource: string, plan: WorkflowPlan, task: string) {
  const [k = 0, i = 0] = task.split('.').map(Number);
  const planned = plan.steps[k]?.tasks[i];
  if (planned === undefined) return undefined;
  const parent = k + 1 < plan.steps.length ? { queue: QUEUES.task, id: taskId(runId, k + 1, 0) } : { queue: QUEUES.finish, id: runId };
  return { ...taskNode(taskId(runId, k, i), resource, planned, {}), parent };
}

/**
 * The job tree of a workflow (DESIGN §4): step k's first task, its leader, is the parent of all tasks of step k−1; the
 * other tasks of step k stand far ahead until the leader releases them. Added once, never added to. `outstanding`: launches of
 * the resource that wait or run.
 */
export function treeOf(runId: string, resource: string, plan: WorkflowPlan, outstanding = 0): FlowJob {
  let children: FlowJob[] = [];
  for (const [k, step] of plan.steps.entries()) {
    const before = children;
    children = step.tasks.map((task, i) => ({
      ...taskNode(taskId(runId, k, i), resource, task, {
        priority: k === 0 ? Math.min(FIRST_STEP_PRIORITY + outstanding + i, LAST_PRIORITY) : LATER_STEP_PRIORITY,
        ...(k > 0 && i > 0 ? { delay: FAR_AHEAD_MS } : {}),
      }),
      queueName: QUEUES.task,
      ...(k > 0 && i === 0 ? { children: before } : {}),
    }));
  }
  return {
    name: plan.title === '' ? 'run' : plan.title,
    queueName: QUEUES.finish,
    data: {},
    opts: { ...JOB_OPTIONS, jobId: runId },
    children,
  };
}
