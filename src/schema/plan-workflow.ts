// A valid workflow with its defaults filled in (DESIGN §4): what the engine runs.
import { readOption } from './option-entry.ts';
import type { Backoff, StepPlan, Task, TaskPlan, Workflow, WorkflowPlan } from './workflow.ts';

/** Seconds to wait for output. */
const TIMEOUT_S = 60;
const RETRIES = 2;
/** Seconds before the first retry, and between any two. */
const BACKOFF = { type: 'exponential', delay: 1, max: 60 } as const;

/**
 * Fills in the defaults of a workflow that parseWorkflow has accepted.
 */
export function planWorkflow(workflow: Workflow): WorkflowPlan {
  return { title: workflow.title ?? '', timeout: workflow.timeout ?? 0, steps: workflow.run.map(planStep) };
}

function planStep(entry: Workflow['run'][number]): StepPlan {
  if ('parallel' in entry) return { name: entry.name ?? '', group: true, tasks: entry.parallel.map(planTask) };
  return { name: entry.name ?? '', group: false, tasks: [planTask(entry)] };
}

function planTask(task: Task): TaskPlan {
  const noOutput = task.no_output ?? false;
  return {
    name: task.name ?? '',
    cmd: task.cmd,
    machine: task.machine ?? 'basic',
    timeout: task.timeout ?? TIMEOUT_S,
    options: planOptions(task.options ?? []),
    no_output: noOutput,
    wait_for: task.wait_for ?? 0,
    // Without output nobody knows what a second run would repeat.
    retries: task.retries ?? (noOutput ? 0 : RETRIES),
    backoff: planBackoff(task.backoff),
  };
}

function planOptions(entries: readonly string[]): Record<string, string> {
  // fromEntries defines own properties: a variable named __proto__ is one like any other.
  return Object.fromEntries(
    entries.flatMap((entry) => {
      const option = readOption(entry);
      return 'name' in option ? [[option.name, option.value]] : [];
    }),
  );
}

function planBackoff(backoff: Backoff | undefined): TaskPlan['backoff'] {
  if (backoff === undefined) return BACKOFF;
  const delay = backoff.delay ?? Math.min(BACKOFF.delay, backoff.max ?? BACKOFF.delay);
  return { type: backoff.type, delay, max: backoff.max ?? Math.max(BACKOFF.max, delay) };
}
