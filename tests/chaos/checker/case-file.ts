// The evidence, arranged so that invariants can ask it questions.
import type { Entry, Evidence, LedgerEntry, ObjectId, RunEvidence } from './evidence.ts';
import { type Plan, planOf, runTimeoutOf } from './plan.ts';

type Of<K extends LedgerEntry['kind']> = Extract<LedgerEntry, { kind: K }>;

export interface Attempt {
  readonly n: number;
  /** When its intent was recorded. */
  readonly intent: number | undefined;
  /** All of them: one that was refused for certain is recorded again. */
  readonly intents: readonly number[];
  readonly posts: readonly Of<'post'>[];
}

export interface TaskFile {
  readonly run: RunFile;
  /** `step.index` */
  readonly t: string;
  readonly step: number;
  readonly id: string;
  readonly plan: Plan[number][number];
  readonly entries: readonly Entry[];
  readonly attempts: readonly Attempt[];
  /** The last of succeeded, failed, skipped. */
  readonly end: Entry | undefined;
}

export interface RunFile extends RunEvidence {
  readonly plan: Plan;
  /** Seconds that it may take; 0: as long as it likes. */
  readonly timeout: number;
  /** Of a run that runs another one again, its tasks (`step.index`) that count as done: nothing was to happen to them. */
  readonly kept: ReadonlySet<string>;
  readonly tasks: readonly TaskFile[];
  readonly state: string;
  readonly ended: Entry | undefined;
}

export interface CaseFile {
  readonly evidence: Evidence;
  readonly runs: readonly RunFile[];
  /** The runs that an object version led to by itself; not those that people ordered. */
  readonly runOf: ReadonlyMap<string, readonly RunFile[]>;
  readonly puts: ReadonlyMap<string, Of<'put'>>;
  /** When a dyno was up, and when and how it ended. */
  readonly dynos: ReadonlyMap<string, { up?: number; ended?: number; status?: number; stopped?: number }>;
  readonly postOfDyno: ReadonlyMap<string, Of<'post'>>;
  readonly faults: readonly Of<'fault'>[];
  of<K extends LedgerEntry['kind']>(kind: K): readonly Of<K>[];
  /** Whether anything was broken between two moments. */
  faulty(from: number, to: number): boolean;
  /** Whether what was recorded between two moments may have been lost with Redis. */
  lost(from: number, to: number): boolean;
  /** Whether it was lost and no worker that had seen it lived on: that this is noticed is not promised. */
  lostUnseen(from: number, to: number): boolean;
  /** Whether the machine was too busy between two moments to say anything about deadlines. */
  busy(from: number, to: number): boolean;
}

export const TASK_ENDS = ['succeeded', 'failed', 'skipped'];
export const RUN_ENDS = ['succeeded', 'failed', 'cancelled'];

/** Milliseconds: after a Redis restart work resumes within thirty seconds, after anything else sooner. */
export const RESUME_MS = 30_000;
/** The same on a machine that was too busy for its processes. */
export const BUSY_RESUME_MS = 180_000;

/** One text per object version. */
export function identity({ bucket, key, version }: ObjectId): string {
  return JSON.stringify([bucket, key, version]);
}

/** The tasks of all runs. */
export const tasksOf = (file: CaseFile): readonly TaskFile[] => file.runs.flatMap((run) => run.tasks);

/** What became of the dynos of one attempt. */
export const dynosOf = (file: CaseFile, task: TaskFile, attempt: number) =>
  task.attempts
    .filter(({ n }) => n === attempt)
    .flatMap(({ posts }) => posts.flatMap(({ dyno }) => (dyno === undefined ? [] : [file.dynos.get(dyno) ?? {}])));

/** Arranges the evidence. */
export function openCase(evidence: Evidence): CaseFile {
  const byKind = Map.groupBy(evidence.ledger, ({ kind }) => kind);
  // grouped by exactly that member
  const of = <K extends LedgerEntry['kind']>(kind: K) => (byKind.get(kind) ?? []) as unknown as readonly Of<K>[];
  const puts = new Map(of('put').map((put) => [identity(put), put]));
  const documents = new Map(of('upload').flatMap((upload) => (upload.document === undefined ? [] : [[identity(upload), upload.document]])));
  // an upload whose answer was late is sent again by its client: two versions, of which the driver knows one
  const documentsOfKeys = new Map(of('upload').map(({ bucket, key, document }) => [JSON.stringify([bucket, key]), document]));
  const posts = Map.groupBy(of('post'), ({ task }) => task);
  const dynos = new Map<string, { up?: number; ended?: number; status?: number; stopped?: number }>();
  for (const { dyno, what, t, status } of of('dyno')) {
    const known = dynos.get(dyno) ?? {};
    if (what === 'up') known.up ??= t;
    if (what === 'stopped') known.stopped ??= t;
    if (what === 'ended') {
      known.ended ??= t;
      if (status !== undefined) known.status ??= status;
    }
    dynos.set(dyno, known);
  }
  const replays = new Map(of('replay').map((order) => [order.run, order]));
  const runs = evidence.runs.map((run) => {
    const trigger = triggerOf(run);
    const document =
      documents.get(identity(trigger)) ??
      puts.get(identity(trigger))?.code ??
      documentsOfKeys.get(JSON.stringify([trigger.bucket, trigger.key]));
    const readable = run.record['state'] !== 'rejected' && document !== undefined;
    const kept = replays.get(run.id)?.kept ?? [];
    if (!readable) return openRun(run, { plan: [], timeout: 0, kept }, posts);
    return openRun(run, { plan: planOf(document), timeout: runTimeoutOf(document), kept }, posts);
  });
  const faults = of('fault');
  const lags = of('lag');
  const losses = of('loss');
  return {
    evidence,
    runs,
    runOf: Map.groupBy(
      runs.filter(({ id }) => !replays.has(id)),
      (run) => identity(triggerOf(run)),
    ),
    puts,
    dynos,
    postOfDyno: new Map(of('post').flatMap((post) => (post.dyno === undefined ? [] : [[post.dyno, post]]))),
    faults,
    of,
    faulty: (from, to) => faults.some((fault) => fault.t <= to && fault.until >= from),
    lost: (from, to) => losses.some((loss) => loss.t <= to && loss.until >= from),
    lostUnseen: (from, to) => losses.some((loss) => !loss.seen && loss.t <= to && loss.until >= from),
    busy: (from, to) => lags.some((lag) => lag.t - 2_000 <= to && lag.until + 2_000 >= from),
  };
}

/** The object version that caused a run, as its record names it. */
export function triggerOf(run: RunEvidence): ObjectId {
  return { bucket: run.record['bucket'] ?? '', key: run.record['key'] ?? '', version: run.record['version'] ?? '' };
}

/** The longest time between two moments in which none of these was broken, whatever their order. */
export function longestWhole(
  broken: readonly { readonly t: number; readonly until: number }[],
  from: number,
  to: number,
): [number, number] {
  let longest: [number, number] = [from, from];
  let whole = from;
  for (const { t, until } of [...broken].sort((a, b) => a.t - b.t).concat({ t: to, until: to })) {
    const end = Math.min(t, to);
    if (end - whole > longest[1] - longest[0]) longest = [whole, end];
    whole = Math.max(whole, until);
  }
  return longest;
}

function openRun(
  run: RunEvidence,
  { plan, timeout, kept }: { plan: Plan; timeout: number; kept: readonly string[] },
  posts: ReadonlyMap<string, readonly Of<'post'>[]>,
): RunFile {
  const tasks: TaskFile[] = [];
  const ended = run.history.findLast(([, what, task]) => task === '' && RUN_ENDS.includes(what));
  const file: RunFile = { ...run, plan, timeout, kept: new Set(kept), tasks, state: run.record['state'] ?? '', ended };
  for (const [step, planned] of plan.entries()) {
    for (const [index, task] of planned.entries()) {
      const t = `${step}.${index}`;
      const id = `${run.id}.${t}`;
      const entries = run.history.filter(([, , of]) => of === t);
      const sent = posts.get(id) ?? [];
      const numbers = new Set([
        ...entries.filter(([, what]) => what === 'intent').map((entry) => entry[3]),
        ...sent.map((post) => post.attempt),
      ]);
      tasks.push({
        run: file,
        t,
        step,
        id,
        plan: task,
        entries,
        attempts: [...numbers]
          .sort((a, b) => a - b)
          .map((n) => ({
            n,
            intent: entries.find(([, what, , attempt]) => what === 'intent' && attempt === n)?.[0],
            intents: entries.flatMap(([t, what, , attempt]) => (what === 'intent' && attempt === n ? [t] : [])),
            posts: sent.filter((post) => post.attempt === n),
          })),
        end: entries.findLast(([, what]) => TASK_ENDS.includes(what)),
      });
    }
  }
  return file;
}
