// A task ends once, for the right reason, at the right time.
import {
  BUSY_RESUME_MS,
  type CaseFile,
  dynosOf,
  identity,
  longestWhole,
  RESUME_MS,
  RUN_ENDS,
  type RunFile,
  TASK_ENDS,
  type TaskFile,
  tasksOf,
} from './case-file.ts';
import type { Entry } from './evidence.ts';
import { type Finding, look } from './verdict.ts';

/** Milliseconds: a verdict is due within six seconds of its deadline. */
const VERDICT_MS = 6_000;

/** The same when the machine was too busy for its processes. */
const BUSY_VERDICT_MS = 60_000;

/** Milliseconds after which the platform may have forgotten the log of a dyno that ended; it keeps them for two minutes. */
const LOG_KEPT_MS = 100_000;

/** Faults that leave S3, Redis and the worker that looks at them in working order: they are no excuse for not finding what lies there. */
const HARMLESS = ['F1', 'F2', 'F4', 'F13', 'F14', 'F18'];

export function groupEndsTogether(file: CaseFile): Finding {
  const i = look('I9', 'a run succeeds when every task did; after a failure launched tasks are awaited and the rest is skipped', [
    'succeeded runs',
    'failed runs with a group',
    'cancelled runs',
  ]);
  for (const run of file.runs) {
    if (run.ended === undefined || run.tasks.length === 0) continue;
    const ends = run.tasks.filter(({ t }) => !run.kept.has(t)).map(({ end }) => end?.[1]);
    const cancelled = run.history.some(([, what, task]) => task === '' && (what === 'cancelling' || what === 'cancelled'));
    // a run that ended before its tree was made has tasks that nothing was ever said of
    if (run.tasks.some(({ entries }) => entries.length > 0) && ends.includes(undefined))
      i.wrong(`${run.id} is ${run.state} with tasks that never ended: ${ends.join(' ')}`);
    if (run.state === 'succeeded')
      i.holds(
        'succeeded runs',
        ends.every((end) => end === 'succeeded'),
        () => `${run.id} succeeded with ${ends.join(' ')}`,
      );
    if (run.state === 'cancelled')
      i.holds('cancelled runs', cancelled && !ends.includes('failed'), () => `${run.id} is cancelled with ${ends.join(' ')}`);
    if (run.state !== 'failed') continue;
    if (run.plan.some((step) => step.length > 1)) i.saw('failed runs with a group');
    if (!ends.includes('failed') && timedOut(run) === undefined) i.wrong(`${run.id} failed with ${ends.join(' ')}`);
    for (const task of run.tasks) {
      const launched = task.entries.findLast(([, what]) => ['launched', 'adopted', 'retry', 'lost', 'refused'].includes(what))?.[1];
      if (!cancelled && task.end?.[1] === 'skipped' && (launched === 'launched' || launched === 'adopted'))
        i.wrong(`${task.id} was launched and then skipped in a run that nobody cancelled`);
    }
  }
  return i.done();
}

export function endedOnce(file: CaseFile): Finding {
  const i = look('I12', 'a task and a run end once, and final is final', ['runs', 'late outputs']);
  const after = ['late_output', 'refused_output', 'superseded', 'launched'];
  for (const run of file.runs) {
    if (run.ended === undefined) continue;
    const ends = run.history.filter(([, what, task]) => task === '' && RUN_ENDS.includes(what));
    i.holds('runs', ends.length === 1, () => `${run.id} ended ${ends.length} times`);
    const rest = run.history.slice(run.history.indexOf(run.ended) + 1).filter(([, what]) => !after.includes(what));
    if (rest.length > 0) i.wrong(`${run.id}: after its end came ${rest.map(([, what]) => what).join(' ')}`);
    for (const task of run.tasks) {
      const own = task.entries.filter(([, what]) => TASK_ENDS.includes(what));
      if (own.length > 1) i.wrong(`${task.id} ended ${own.length} times: ${own.map(([, what]) => what).join(' ')}`);
      if (task.entries.filter(([, what]) => what === 'output').length > 1) i.wrong(`${task.id} has two first outputs`);
      i.saw('late outputs', task.entries.filter(([, what]) => what === 'late_output').length);
    }
  }
  return i.done();
}

export function rightOutput(file: CaseFile): Finding {
  const i = look('I13', 'what a task succeeds by was written in its own bucket, under its id, after its intent', [
    'outputs',
    'outputs before the launch was answered',
  ]);
  for (const task of tasksOf(file)) {
    const bucket = file.evidence.resources.find(({ id }) => id === task.run.record['resource'])?.bucket ?? '';
    const output = task.entries.find(([, what]) => what === 'output');
    if (task.end?.[1] === 'succeeded' && !task.plan.noOutput && output === undefined) i.wrong(`${task.id} succeeded without an output`);
    if (output === undefined) continue;
    const named = JSON.parse(output[4]) as { key: string; version_id: string };
    const put = file.puts.get(identity({ bucket, key: named.key, version: named.version_id }));
    // after a loss of Redis the intent of the launch that wrote it may be gone; the launch is not
    const launches = task.attempts.flatMap(({ intent: recorded, posts }) => [
      recorded ?? Number.POSITIVE_INFINITY,
      ...posts.map(({ t }) => t),
    ]);
    const intent = Math.min(...launches);
    i.holds(
      'outputs',
      put?.taskId === task.id && put.began <= output[0] && intent <= put.t,
      () => `${task.id} took ${named.key}, put ${JSON.stringify(put)}, intent ${intent}`,
    );
    const answered = task.entries.find(([, what]) => what === 'launched' || what === 'adopted');
    if (answered === undefined || task.entries.indexOf(answered) > task.entries.indexOf(output))
      i.saw('outputs before the launch was answered');
  }
  return i.done();
}

export function tenantWall(file: CaseFile): Finding {
  const i = look('I14', 'no object of one resource moves a task of another', ['foreign outputs written']);
  for (const put of file.of('put')) {
    if (put.taskId === undefined) continue;
    const run = file.runs.find(({ id }) => put.taskId?.startsWith(`${id}.`));
    const owner = file.evidence.resources.find(({ id }) => id === run?.record['resource']);
    if (run === undefined || owner === undefined || owner.bucket === put.bucket) continue;
    const moved = run.history.some(([, , , , detail]) => detail.includes(put.version));
    i.holds('foreign outputs written', !moved, () => `${run.id} was moved by ${put.bucket}/${put.key}`);
    const seen = file.evidence.resources
      .find(({ bucket }) => bucket === put.bucket)
      ?.quarantine.some(({ entry }) => entry['version_id'] === put.version);
    if (!seen) i.wrong(`${put.bucket}/${put.key} names a task of another resource and was not set aside`);
  }
  return i.done();
}

export function withoutOutput(file: CaseFile): Finding {
  const i = look('I15', 'a task without output succeeds by a dyno that was up or ended well, and fails by one that was neither', [
    'succeeded',
    'failed',
  ]);
  for (const task of tasksOf(file)) {
    if (!task.plan.noOutput || task.end === undefined) continue;
    const [at, what, , attempt] = task.end;
    if (what !== 'succeeded') continue;
    const lives = dynosOf(file, task, attempt);
    const well = lives.some((life) => (life.up ?? Number.POSITIVE_INFINITY) <= at || (life.status === 0 && (life.ended ?? at) <= at));
    // a dyno that is gone without a sign of a crash counts as up (DESIGN §4); of one whose log can still be read there is a sign
    const forgotten = lives.some((life) => at - (life.ended ?? at) > LOG_KEPT_MS);
    if (!well && forgotten) i.saw('succeeded when the log was gone');
    else i.holds('succeeded', well, () => `${task.id} succeeded, its dynos: ${JSON.stringify(lives)}`);
  }
  for (const task of tasksOf(file)) {
    for (const [t, , , attempt] of task.plan.noOutput ? closings(task, 'timed_out') : []) {
      const deadline = (launchOf(task, attempt) ?? t) + task.plan.timeout * 1_000;
      const up = dynosOf(file, task, attempt).some((life) => (life.up ?? Number.POSITIVE_INFINITY) < deadline);
      // one look at the deadline finds it
      if (up && (file.faulty(deadline - 1_000, t) || file.busy(deadline - 1_000, t))) i.saw('timed out while nobody could look');
      else i.holds('failed', !up, () => `${task.id}/${attempt} timed out although its dyno was up`);
    }
    for (const [t, , , attempt, detail] of closings(task, 'dyno_crashed')) {
      const lives = dynosOf(file, task, attempt);
      const status = /exited (\d+)/.exec(detail)?.[1];
      const crashed = lives.some(
        (life) =>
          life.ended !== undefined &&
          life.ended <= t &&
          life.up === undefined &&
          life.status !== 0 &&
          (status === undefined || String(life.status) === status),
      );
      i.holds('failed', task.plan.noOutput && crashed, () => `${task.id}/${attempt}: ${detail}; its dynos: ${JSON.stringify(lives)}`);
    }
  }
  return i.done();
}

/** When the launch of an attempt was known to be accepted. */
const launchOf = (task: TaskFile, attempt: number): number | undefined =>
  task.entries.find(([, what, , of]) => of === attempt && (what === 'launched' || what === 'adopted'))?.[0];

/** What closed an attempt, with its code. */
function closings(task: TaskFile, code: string): readonly Entry[] {
  return task.entries.filter(([, what, , , detail]) => (what === 'retry' || what === 'failed') && detail.startsWith(code));
}

export function honestTimeout(file: CaseFile): Finding {
  const i = look('I16', 'timed out: never early, within 6 s, and never while the output lay at its place', [
    'timeouts',
    'timeouts while nothing was broken',
    'outputs found at the deadline',
  ]);
  const away = (from: number, to: number) =>
    file.busy(from, to) ||
    file.faults.some(({ t, until, fault }) => t <= to && until >= from && !HARMLESS.includes(fault.split(' ')[0] ?? ''));
  for (const task of tasksOf(file)) {
    const output = task.entries.find(([, what]) => what === 'output');
    const begun = output === undefined ? undefined : launchOf(task, output[3]);
    const atDeadline = output !== undefined && begun !== undefined && output[0] >= begun + task.plan.timeout * 1000;
    if (atDeadline && atItsPlace(file, task, output[0])?.silent) i.saw('outputs found at the deadline');
    for (const [t, , , attempt] of closings(task, 'timed_out')) {
      const launched = launchOf(task, attempt);
      if (launched === undefined) {
        i.wrong(`${task.id}/${attempt} timed out and was never launched`);
        continue;
      }
      const deadline = launched + task.plan.timeout * 1000;
      i.holds('timeouts', t >= deadline, () => `${task.id}/${attempt} timed out ${deadline - t} ms early`);
      // before the verdict somebody looks there, unless S3 does not answer or the worker cannot ask it
      const there = task.plan.noOutput ? undefined : atItsPlace(file, task, deadline);
      if (there !== undefined && away(deadline - 1_000, t)) i.saw('timed out while nobody could look');
      else if (there !== undefined)
        i.wrong(`${task.id}/${attempt} timed out although its output lay there ${deadline - there.t} ms before`);
      if (file.faulty(deadline - 1_000, deadline + VERDICT_MS)) {
        if (goneOn(file, deadline, t)) i.wrong(`${task.id}/${attempt} timed out ${t - deadline} ms late, and for long nothing was broken`);
        continue;
      }
      const bound = file.busy(deadline, t) ? BUSY_VERDICT_MS : VERDICT_MS;
      i.holds('timeouts while nothing was broken', t <= deadline + bound, () => `${task.id}/${attempt} timed out ${t - deadline} ms late`);
    }
  }
  return i.done();
}

/** Whether a verdict was due while nothing was broken for so long that every worker was back: a fault at the deadline excuses no more than that. */
function goneOn(file: CaseFile, deadline: number, t: number): boolean {
  const [from, to] = longestWhole([...file.faults, ...file.of('loss')], deadline, t);
  return to - from > (file.busy(from, to) ? BUSY_RESUME_MS : RESUME_MS);
}

/** When a run was ended for having taken too long. */
const timedOut = (run: RunFile): number | undefined =>
  run.history.find(([, what, task, , why]) => task === '' && (what === 'cancelling' || what === 'failed') && why === 'timeout')?.[0];

/** The same of whole runs: their time begins when they are accepted, and one that is being cancelled, or ended before, has none. */
export function honestRunTimeout(file: CaseFile): Finding {
  const i = look('TIMEOUT', 'a run is ended when it has taken as long as it may: never before, and within 6 s', [
    'runs that took too long',
    'runs that took too long while nothing was broken',
  ]);
  for (const run of file.runs) {
    const t = timedOut(run);
    const accepted = run.history.find(([, what]) => what === 'accepted')?.[0];
    if (run.timeout === 0 || accepted === undefined) {
      if (t !== undefined) i.wrong(`${run.id} was ended for its time, and has as much as it likes`);
      continue;
    }
    const deadline = accepted + run.timeout * 1_000;
    if (t !== undefined) {
      i.holds('runs that took too long', t >= deadline, () => `${run.id} was ended ${deadline - t} ms before its time was over`);
      if (run.ended?.[1] === 'succeeded' && run.tasks.some(({ end }) => end?.[1] === 'skipped'))
        i.wrong(`${run.id} took too long, has skipped tasks and succeeded`);
    }
    const cancelled = run.history.find(([, what, task]) => task === '' && what === 'cancelling')?.[0];
    // what comes first decides; one that never ended is I17's
    const stopped = Math.min(t ?? cancelled ?? Number.POSITIVE_INFINITY, run.ended?.[0] ?? Number.POSITIVE_INFINITY);
    if (!Number.isFinite(stopped) || stopped < deadline) continue;
    if (file.faulty(deadline - 1_000, deadline + VERDICT_MS)) {
      if (goneOn(file, deadline, stopped)) i.wrong(`${run.id} went on for ${stopped - deadline} ms, and for long nothing was broken`);
      continue;
    }
    const bound = file.busy(deadline, stopped) ? BUSY_VERDICT_MS : VERDICT_MS;
    i.holds(
      'runs that took too long while nothing was broken',
      stopped <= deadline + bound,
      () => `${run.id} went on for ${stopped - deadline} ms after its time was over`,
    );
  }
  return i.done();
}

/** The task's output where a look at the end would find it, written before then (ms). */
function atItsPlace(file: CaseFile, task: TaskFile, before: number) {
  const own = task.run.record['bucket'];
  return file.of('put').find((put) => put.bucket === own && put.key === `out/${task.id}` && put.taskId === task.id && put.t < before);
}
