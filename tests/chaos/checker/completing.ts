// A task ends once, for the right reason, at the right time.
import { type CaseFile, identity, RUN_ENDS, TASK_ENDS, type TaskFile } from './case-file.ts';
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

/** Milliseconds before a verdict in which what held the task up is looked for, and how many things must have. */
const POISONED_MS = 120_000;
const POISONED_BY = 3;

const tasksOf = (file: CaseFile): readonly TaskFile[] => file.runs.flatMap((run) => run.tasks);
const dynosOf = (file: CaseFile, task: TaskFile, attempt: number) =>
  task.attempts
    .filter(({ n }) => n === attempt)
    .flatMap(({ posts }) => posts.flatMap(({ dyno }) => (dyno === undefined ? [] : [file.dynos.get(dyno) ?? {}])));

export function groupEndsTogether(file: CaseFile): Finding {
  const i = look('I9', 'a run succeeds when every task did; after a failure launched tasks are awaited and the rest is skipped', [
    'succeeded runs',
    'failed runs with a group',
    'cancelled runs',
  ]);
  for (const run of file.runs) {
    if (run.ended === undefined || run.tasks.length === 0) continue;
    const ends = run.tasks.map(({ end }) => end?.[1]);
    const cancelled = run.history.some(([, what, task]) => task === '' && (what === 'cancelling' || what === 'cancelled'));
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
    if (!ends.includes('failed')) i.wrong(`${run.id} failed with ${ends.join(' ')}`);
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
    const begun = task.entries.find(([, what, , of]) => of === output?.[3] && (what === 'launched' || what === 'adopted'))?.[0];
    const atDeadline = output !== undefined && begun !== undefined && output[0] >= begun + task.plan.timeout * 1000;
    if (atDeadline && atItsPlace(file, task, output[0])?.silent) i.saw('outputs found at the deadline');
    for (const [t, , , attempt] of closings(task, 'timed_out')) {
      const launched = task.entries.find(([, what, , of]) => of === attempt && (what === 'launched' || what === 'adopted'))?.[0];
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
      if (file.faulty(deadline - 1_000, deadline + VERDICT_MS)) continue;
      const bound = file.busy(deadline, t) ? BUSY_VERDICT_MS : VERDICT_MS;
      i.holds('timeouts while nothing was broken', t <= deadline + bound, () => `${task.id}/${attempt} timed out ${t - deadline} ms late`);
    }
  }
  return i.done();
}

/** The task's output where a look at the end would find it, written before then (ms). */
function atItsPlace(file: CaseFile, task: TaskFile, before: number) {
  const own = task.run.record['bucket'];
  return file.of('put').find((put) => put.bucket === own && put.key === `out/${task.id}` && put.taskId === task.id && put.t < before);
}

export function failuresHaveCauses(file: CaseFile): Finding {
  const i = look('CAUSE', 'every failed attempt has its cause outside the engine', [
    'exited without output',
    'graces',
    'refused',
    'timed out',
    'launch unknown',
  ]);
  for (const task of tasksOf(file)) {
    for (const [t, what, , attempt, detail] of task.entries) {
      if (what !== 'retry' && what !== 'failed' && what !== 'lost') continue;
      const posts = task.attempts.find(({ n }) => n === attempt)?.posts ?? [];
      const code = what === 'lost' ? 'launch_unknown' : (detail.split(':')[0] ?? '');
      const lives = dynosOf(file, task, attempt);
      const proof = file
        .of('put')
        .filter((put) => put.bucket === task.run.record['bucket'] && put.taskId === task.id && put.key === `out/${task.id}`);
      if (code === 'exited_without_output') {
        const ended = lives.map((life) => life.ended ?? Number.POSITIVE_INFINITY);
        const honest = ended.some((end) => end <= t) && !proof.some((put) => ended.some((end) => put.t <= end));
        // an event that is on its way comes within the grace, and what it tells of wins
        const exited = task.entries.find(([, what, , of]) => what === 'exited' && of === attempt)?.[0] ?? t;
        i.holds(
          'graces',
          t - exited >= file.evidence.settings.grace,
          () => `${task.id}/${attempt}: ${detail}, ${t - exited} ms after it was seen to end`,
        );
        if (!honest && proof.some((put) => file.busy(put.t, t))) i.saw('exited without output on a busy machine');
        else
          i.holds(
            'exited without output',
            honest,
            () => `${task.id}/${attempt}: ${detail}; dynos ${JSON.stringify(lives)}, outputs ${JSON.stringify(proof)}`,
          );
      } else if (code === 'launch_refused') {
        i.holds(
          'refused',
          posts.some(({ answer }) => answer === 'refused'),
          () => `${task.id}/${attempt}: ${detail}; posts ${JSON.stringify(posts)}`,
        );
      } else if (code === 'launch_unknown') {
        // a worker that died between intent and answer, or a launch whose answer was lost; I7 looks at whether it was looked for
        i.saw('launch unknown');
      } else if (code === 'timed_out') i.saw('timed out');
      // five activations in a row that got nowhere: worth a look, but not a lie when so much broke since the task last got anywhere
      else if (code === 'poisoned' && heldUp(file, task, t) >= POISONED_BY) i.saw('poisoned under faults');
      else if (code === 'poisoned' && file.busy(t - POISONED_MS, t)) i.saw('poisoned on a busy machine');
      // I15 looks at those
      else if (code !== 'dyno_crashed') i.wrong(`${task.id}/${attempt}: ${what} for ${detail}`);
    }
  }
  for (const run of file.runs) {
    if (run.state !== 'cancelled') continue;
    if (!file.of('cancel').some((cancel) => cancel.run === run.id)) i.wrong(`${run.id} is cancelled and nobody asked for it`);
  }
  return i.done();
}

/** How much broke between the last entry of a task before t and t. */
function heldUp(file: CaseFile, task: TaskFile, t: number): number {
  const since = Math.max(t - POISONED_MS, task.entries.findLast(([at]) => at < t)?.[0] ?? 0);
  return file.faults.filter((fault) => fault.t <= t && fault.until >= since).length;
}
