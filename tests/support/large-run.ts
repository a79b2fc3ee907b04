// A run of more tasks than a workflow may have (its schema allows 200), so that pages are shown to bear more than they must.
import type { HistoryEntry, RunView, TaskView } from '../../src/schema/run-view.ts';

const ID = 'r0-1arge0run0wh0se0page';
const T0 = Date.parse('2026-11-29T00:00:00.000Z');

/** `steps` groups of `width` tasks, each with one attempt whose phases are all there; the last task has failed. */
export function largeRun(steps: number, width: number): RunView {
  const history: HistoryEntry[] = [];
  const tell = (at: number, what: string, task: string | null, detail = '') =>
    history.push({ n: history.length + 1, at: new Date(T0 + at).toISOString(), what, task, attempt: task === null ? null : 1, detail });
  tell(0, 'accepted', null);
  const taskOf = (k: number, i: number): TaskView => {
    const id = `${ID}.${k}.${i}`;
    const failed = k === steps - 1 && i === width - 1;
    const begun = k * 10_000 + i * 7;
    tell(begun + 20, 'intent', id);
    tell(begun + 40, 'launched', id, `run.${1000 + i}`);
    tell(begun + 900, 'up', id);
    tell(begun + 4_000, failed ? 'exited' : 'output', id);
    tell(begun + 4_010, failed ? 'failed' : 'succeeded', id, failed ? 'exited_without_output: exited 1 without output' : '');
    return {
      id,
      name: `Task ${k + 1}/${i + 1}`,
      cmd: 'work',
      machine: 'basic',
      state: failed ? 'failed' : 'succeeded',
      attempt: 1,
      waiting: null,
      dyno: `run.${1000 + i}`,
      deadline: null,
      error: failed ? { code: 'exited_without_output', message: 'exited 1 without output' } : null,
      output: failed ? null : { key: `out/${id}`, version_id: 'v', etag: 'e', size: 0, state: null, at: new Date(T0).toISOString() },
    };
  };
  const made = Array.from({ length: steps }, (_, k) => ({
    name: `Wave ${k + 1}`,
    group: true,
    tasks: Array.from({ length: width }, (_2, i) => taskOf(k, i)),
  }));
  tell(steps * 10_000, 'finished', null);
  return {
    id: ID,
    title: 'Many tasks',
    state: 'failed',
    resource: 'one',
    trigger: { bucket: 'b', key: 'in/many.json', version_id: 'v', etag: 'e', size: 1 },
    saved_at: null,
    created_at: new Date(T0).toISOString(),
    ended_at: new Date(T0 + steps * 10_000).toISOString(),
    error: { code: 'exited_without_output', message: 'exited 1 without output' },
    again: null,
    tasks: steps * width,
    settled: steps * width,
    retrying: 0,
    steps: made,
    history,
  };
}
