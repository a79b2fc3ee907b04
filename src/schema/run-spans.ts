// A run as the spans of one trace, made of its history: nothing has to be kept or passed on while it runs, whichever
// processes it ran in, and however often they died.
import type { HistoryEntry, RunView } from './run-view.ts';

export interface RunSpan {
  /** Unique within the run: what the span's id is made of. */
  readonly path: string;
  /** Path of the parent; undefined for the root. */
  readonly parent: string | undefined;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly start: number;
  readonly end: number;
  readonly failed: boolean;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly events: readonly { readonly name: string; readonly at: number; readonly detail: string }[];
}

const LAUNCH_ENDS = ['launched', 'adopted', 'refused', 'lost', 'failed', 'skipped'];
const DYNO_ENDS = ['output', 'exited', 'retry', 'failed', 'succeeded', 'skipped', 'cooling'];
const SETTLED = ['succeeded', 'failed', 'skipped'];

/**
 * The spans of an ended run: the run from the upload on, the wait until its event was decided, each task from its first
 * launch to its end, and in it each attempt's launch and dyno and the cooling. `uploadedAt`: milliseconds since 1970.
 */
export function spansOf(run: RunView, uploadedAt: number | undefined): readonly RunSpan[] {
  const accepted = Date.parse(run.created_at);
  const ended = run.ended_at === null ? accepted : Date.parse(run.ended_at);
  // S3's clock is not Redis': an upload is never later than its acceptance
  const start = Math.min(uploadedAt ?? accepted, accepted);
  const root: RunSpan = {
    path: 'run',
    parent: undefined,
    name: run.title === '' ? 'run' : `run ${run.title}`,
    start,
    end: Math.max(ended, accepted),
    failed: run.state === 'failed' || run.state === 'rejected',
    attributes: {
      'autofiles.run.id': run.id,
      'autofiles.run.state': run.state,
      'autofiles.resource': run.resource,
      'aws.s3.bucket': run.trigger.bucket,
      'aws.s3.key': run.trigger.key,
      'autofiles.trigger.version_id': run.trigger.version_id,
      ...(run.error === null ? {} : { 'error.type': run.error.code }),
    },
    events: run.history.filter(({ task }) => task === null).map(eventOf),
  };
  const event: RunSpan = {
    ...leaf('event', 'run', 'upload to acceptance', start, accepted),
    attributes: { 'aws.s3.key': run.trigger.key },
  };
  const byTask = Map.groupBy(
    run.history.filter((entry) => entry.task !== null),
    (entry) => entry.task ?? '',
  );
  const names = new Map(run.steps.flatMap(({ tasks }) => tasks.map((task) => [task.id, task.name === '' ? task.cmd : task.name])));
  return [root, event, ...[...byTask].flatMap(([task, entries]) => taskSpans(task, names.get(task) ?? '', entries, root.end))];
}

function taskSpans(task: string, name: string, entries: readonly HistoryEntry[], runEnd: number): RunSpan[] {
  const first = entries[0];
  if (first === undefined) return [];
  const settled = entries.find(({ what }) => SETTLED.includes(what));
  const end = settled === undefined ? runEnd : Date.parse(settled.at);
  const attributes = { 'autofiles.task.id': task };
  const spans: RunSpan[] = [
    {
      path: task,
      parent: 'run',
      name: `task ${name}`.trim(),
      start: Date.parse(first.at),
      end,
      failed: settled?.what === 'failed',
      attributes: { ...attributes, 'autofiles.task.state': settled?.what ?? 'unsettled' },
      events: entries.map(eventOf),
    },
  ];
  const until = (from: number, whats: readonly string[]) => entries.slice(from + 1).find(({ what }) => whats.includes(what));
  for (const [i, entry] of entries.entries()) {
    const at = Date.parse(entry.at);
    const more = { ...attributes, 'autofiles.task.attempt': entry.attempt ?? 1 };
    const path = `${task}/${entry.n}`;
    if (entry.what === 'intent') {
      const next = until(i, LAUNCH_ENDS);
      const launched = next?.what === 'launched' || next?.what === 'adopted';
      const dyno = launched ? { 'heroku.dyno': next.detail } : {};
      spans.push({
        ...leaf(path, task, 'launch', at, next === undefined ? end : Date.parse(next.at)),
        failed: next !== undefined && !launched,
        attributes: { ...more, ...dyno },
      });
    } else if (entry.what === 'launched' || entry.what === 'adopted') {
      const next = until(i, DYNO_ENDS);
      spans.push({
        ...leaf(path, task, 'dyno', at, next === undefined ? end : Date.parse(next.at)),
        // how the dyno ended is one thing, what its attempt came to another
        failed: entries.some(({ what, attempt }) => (what === 'retry' || what === 'failed') && attempt === entry.attempt),
        attributes: { ...more, 'heroku.dyno': entry.detail },
      });
    } else if (entry.what === 'cooling') {
      spans.push({ ...leaf(path, task, 'wait_for', at, end), attributes: more });
    }
  }
  return spans;
}

function leaf(path: string, parent: string, name: string, start: number, end: number): RunSpan {
  return { path, parent, name, start, end: Math.max(start, end), failed: false, attributes: {}, events: [] };
}

function eventOf({ what, at, detail }: HistoryEntry) {
  return { name: what, at: Date.parse(at), detail };
}
