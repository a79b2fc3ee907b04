// A run in a terminal, as it happens: one line per thing that happened, with the seconds since the upload.
import type { HistoryEntry, RunView } from '../schema/run-view.ts';

/** What a step is called in the live view. */
export interface TaskNames {
  of(taskId: string): string;
}

export function namesOf(run: RunView): TaskNames {
  const names = new Map<string, string>();
  for (const [k, step] of run.steps.entries()) {
    for (const [i, task] of step.tasks.entries()) {
      const number = step.group ? `${k + 1}.${i + 1}` : `${k + 1}`;
      names.set(task.id, `step ${number} ${task.name === '' ? short(task.cmd) : task.name}`);
    }
  }
  return { of: (taskId) => names.get(taskId) ?? taskId };
}

const short = (cmd: string) => (cmd.length > 40 ? `${cmd.slice(0, 39)}…` : cmd);

const WORDS: Readonly<Record<string, string>> = {
  queued: 'waits for the launch budget',
  launched: 'dyno asked for',
  adopted: 'dyno found again',
  up: 'up',
  exited: 'dyno ended',
  output: 'output',
  late_output: 'later output',
  refused_output: 'output refused: never launched',
  cooling: 'waits before the next step',
  retry: 'failed, tried again',
  refused: 'launch refused',
  lost: 'launch lost, tried again',
  succeeded: 'succeeded',
  failed: 'failed',
  skipped: 'skipped',
};

/** One entry as a line, or undefined when it says nothing to a person. `since`: when the file was saved, in ms. */
export function lineOf(entry: HistoryEntry, names: TaskNames, since: number): string | undefined {
  const seconds = `${((Date.parse(entry.at) - since) / 1000).toFixed(2).padStart(6)} s`;
  if (entry.task === null) {
    if (entry.what === 'accepted') return `${seconds}  accepted`;
    if (entry.what === 'cancelling') return `${seconds}  being cancelled`;
    return undefined;
  }
  const words = WORDS[entry.what];
  if (words === undefined) return undefined;
  const attempt = entry.attempt !== null && entry.attempt > 1 ? ` (attempt ${entry.attempt})` : '';
  return `${seconds}  ${names.of(entry.task)}${attempt}: ${words}${detailOf(entry)}`;
}

function detailOf(entry: HistoryEntry): string {
  if (entry.what === 'output' || entry.what === 'late_output') {
    const output: unknown = JSON.parse(entry.detail);
    return typeof output === 'object' && output !== null && 'key' in output ? ` ${String(output.key)}` : '';
  }
  if (entry.what === 'exited' || entry.detail === '') return '';
  return ` (${entry.detail})`;
}

/** How a run ended, in one line. */
export function endLine(run: RunView): string {
  const ms = Date.parse(run.ended_at ?? run.created_at) - Date.parse(run.created_at);
  const took = `in ${(ms / 1000).toFixed(2)} s`;
  const why = run.error === null ? '' : `: ${run.error.message === '' ? run.error.code : run.error.message}`;
  return run.state === 'rejected' ? `run ${run.id} rejected${why}` : `run ${run.id} ${run.state} ${took}${why}`;
}
