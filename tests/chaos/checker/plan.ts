// The workflow as its author wrote it, with the documented defaults: the checker's own reading.

export interface PlannedTask {
  readonly timeout: number;
  readonly retries: number;
  readonly waitFor: number;
  readonly noOutput: boolean;
  readonly backoff: { readonly type: string; readonly delay: number; readonly max: number };
}

/** The tasks of each step. Times in seconds, as written. */
export type Plan = readonly (readonly PlannedTask[])[];

interface WrittenTask {
  timeout?: number;
  retries?: number;
  wait_for?: number;
  no_output?: boolean;
  backoff?: { type?: string; delay?: number; max?: number };
}

/** Seconds that a whole run may take, as its workflow says; 0: as long as it likes. */
export const runTimeoutOf = (document: string): number => (JSON.parse(document) as { timeout?: number }).timeout ?? 0;

/** Reads a workflow that is known to be valid. */
export function planOf(document: string): Plan {
  const { run } = JSON.parse(document) as { run: (WrittenTask & { parallel?: WrittenTask[] })[] };
  return run.map((step) => (step.parallel ?? [step]).map(taskOf));
}

function taskOf(task: WrittenTask): PlannedTask {
  const noOutput = task.no_output ?? false;
  return {
    timeout: task.timeout ?? 60,
    retries: task.retries ?? (noOutput ? 0 : 2),
    waitFor: task.wait_for ?? 0,
    noOutput,
    backoff: { type: task.backoff?.type ?? 'exponential', delay: task.backoff?.delay ?? 1, max: task.backoff?.max ?? 60 },
  };
}
