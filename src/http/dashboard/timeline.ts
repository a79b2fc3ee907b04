// What a run's history says about where the time went: per attempt, one bar cut into phases. Pure; the drawing is
// timeline-view.ts.
import type { HistoryEntry, RunView, TaskView } from '../../schema/run-view.ts';

/** Where an attempt spends its time, in the order in which a smooth one goes through them. */
export const PHASES = ['event', 'queued', 'backoff', 'launching', 'booting', 'working', 'awaiting', 'cooling'] as const;
export type Phase = (typeof PHASES)[number];

export const PHASE_WORDS: Readonly<Record<Phase, string>> = {
  event: 'S3 event',
  queued: 'queued',
  backoff: 'backing off',
  launching: 'launching',
  booting: 'booting',
  working: 'working',
  awaiting: 'waiting for output',
  cooling: 'wait_for',
};

export interface Segment {
  readonly phase: Phase;
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
  /** It goes on; `to` is now. */
  readonly open: boolean;
}

export type AttemptState = 'open' | 'succeeded' | 'failed' | 'skipped';

export interface Attempt {
  /** Counts from 1. */
  readonly number: number;
  readonly segments: readonly Segment[];
  readonly state: AttemptState;
  /** `code: what was found`, where it failed. */
  readonly error: string;
  readonly dyno: string | null;
  /** How the dyno ended, as the platform tells it; empty while that is not known. */
  readonly exit: string;
  /** Milliseconds in which it had a dyno, as far as its task was concerned. */
  readonly dynoMs: number;
}

export interface TaskTimeline {
  readonly task: TaskView;
  readonly step: number;
  readonly index: number;
  readonly attempts: readonly Attempt[];
}

export interface Timeline {
  /** Milliseconds since 1970 of the first thing that is known: the object was saved, else its event was accepted. */
  readonly from: number;
  readonly to: number;
  readonly tasks: readonly TaskTimeline[];
  /** Seconds of all dynos, as far as their tasks were concerned. */
  readonly dynoSeconds: number;
}

/** Reads the timeline out of a run's history. `now`: milliseconds since 1970, where what has not ended ends for now. */
export function timelineOf(run: RunView, now: number): Timeline {
  const accepted = Date.parse(run.created_at);
  const saved = Math.min(accepted, savedAt(run) ?? accepted);
  const end = run.ended_at === null ? Math.max(now, accepted) : Date.parse(run.ended_at);
  const entries = byTask(run.history);
  const tasks: TaskTimeline[] = [];
  let turn: number | undefined = accepted;
  for (const [step, { tasks: members }] of run.steps.entries()) {
    let settled: number | undefined = turn;
    for (const [index, task] of members.entries()) {
      const own = entries.get(task.id) ?? [];
      tasks.push({ task, step, index, attempts: attemptsOf(task, own, { turn, saved: step === 0 ? saved : undefined, end }) });
      const last = own.findLast(({ what }) => SETTLED.has(what));
      // tasks that a retry kept have no history of their own: they were settled before it began
      const at: number | undefined = last !== undefined ? Date.parse(last.at) : isSettled(task) ? turn : undefined;
      settled = settled === undefined || at === undefined ? undefined : Math.max(settled, at);
    }
    turn = settled;
  }
  const dynoMs = tasks.flatMap(({ attempts }) => attempts).reduce((sum, attempt) => sum + attempt.dynoMs, 0);
  return { from: saved, to: Math.max(end, saved + 1), tasks, dynoSeconds: dynoMs / 1000 };
}

const SETTLED: ReadonlySet<string> = new Set(['succeeded', 'failed', 'skipped']);
const isSettled = ({ state }: TaskView) => SETTLED.has(state);

function savedAt(run: RunView): number | undefined {
  // a run that runs another again was not caused by the save
  return run.again === null && run.saved_at !== null ? Date.parse(run.saved_at) : undefined;
}

function byTask(history: readonly HistoryEntry[]): Map<string, HistoryEntry[]> {
  const found = new Map<string, HistoryEntry[]>();
  for (const entry of history) {
    if (entry.task === null) continue;
    const list = found.get(entry.task);
    if (list === undefined) found.set(entry.task, [entry]);
    else list.push(entry);
  }
  return found;
}

/** Times between which an attempt lies: since when its step has its turn, when the object was saved, and the end of all. */
interface Frame {
  readonly turn: number | undefined;
  readonly saved: number | undefined;
  readonly end: number;
}

function attemptsOf(task: TaskView, history: readonly HistoryEntry[], frame: Frame): Attempt[] {
  const attempts: Attempt[] = [];
  let bar = newBar(1);
  let cursor = frame.turn;
  let phase: Phase | undefined = cursor === undefined || (history.length === 0 && isSettled(task)) ? undefined : 'queued';
  if (phase !== undefined && frame.turn !== undefined && frame.saved !== undefined && frame.saved < frame.turn) {
    bar.segments.push({ phase: 'event', from: frame.saved, to: frame.turn, open: false });
  }
  const cut = (at: number, next: Phase | undefined) => {
    if (phase !== undefined && cursor !== undefined && at > cursor) bar.segments.push({ phase, from: cursor, to: at, open: false });
    cursor = at;
    phase = next;
  };
  const close = (at: number, state: AttemptState, error: string) => {
    attempts.push({ ...bar, dynoMs: bar.dynoFrom === undefined ? 0 : Math.max(0, (bar.dynoTo ?? at) - bar.dynoFrom), state, error });
  };
  for (const { what, at: iso, attempt, detail } of history) {
    const at = Date.parse(iso);
    switch (what) {
      case 'intent':
        cut(at, 'launching');
        break;
      case 'launched':
      case 'adopted':
        cut(at, 'booting');
        bar.dyno = detail === '' ? bar.dyno : detail;
        bar.dynoFrom = at;
        break;
      case 'up':
        cut(at, 'working');
        break;
      case 'exited':
        cut(at, 'awaiting');
        bar.exit = detail;
        bar.dynoTo = at;
        break;
      case 'output':
        cut(at, undefined);
        bar.dynoTo ??= at;
        break;
      case 'cooling':
        cut(at, 'cooling');
        bar.dynoTo ??= at;
        break;
      case 'queued':
        cut(at, 'queued');
        break;
      case 'refused':
        cut(at, 'backoff');
        bar.refused = detail;
        break;
      case 'retry':
      case 'lost':
        cut(at, 'backoff');
        close(at, 'failed', detail);
        bar = newBar((attempt ?? bar.number) + 1);
        break;
      case 'succeeded':
      case 'failed':
      case 'skipped':
        cut(at, undefined);
        close(at, what, detail);
        return attempts;
    }
  }
  if (history.length === 0 && isSettled(task)) return attempts;
  if (phase !== undefined && cursor !== undefined) bar.segments.push({ phase, from: cursor, to: Math.max(frame.end, cursor), open: true });
  close(frame.end, 'open', bar.refused);
  return attempts;
}

function newBar(number: number): Omit<Attempt, 'dynoMs' | 'state' | 'error' | 'segments'> & {
  segments: Segment[];
  dyno: string | null;
  exit: string;
  refused: string;
  dynoFrom: number | undefined;
  dynoTo: number | undefined;
} {
  return { number, segments: [], dyno: null, exit: '', refused: '', dynoFrom: undefined, dynoTo: undefined };
}

/** How long an attempt spent in each phase, in their order; phases that it never was in are left out. */
export function phaseTimes(attempt: Attempt): { readonly phase: Phase; readonly ms: number }[] {
  return PHASES.flatMap((phase) => {
    const own = attempt.segments.filter((segment) => segment.phase === phase);
    return own.length === 0 ? [] : [{ phase, ms: own.reduce((sum, { from, to }) => sum + to - from, 0) }];
  });
}

/** Round times for an axis of `ms` milliseconds: 0 and at most six more, none at the very end. */
export function ticksOf(ms: number): number[] {
  const rough = ms / 6;
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const units =
    ms >= 90_000
      ? [15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 43_200_000, 86_400_000]
      : [1, 2, 5, 10].map((step) => step * power);
  const unit = units.find((step) => step >= rough) ?? Math.ceil(rough / 86_400_000) * 86_400_000;
  return Array.from({ length: Math.floor((ms * 0.96) / unit) + 1 }, (_, i) => i * unit);
}
