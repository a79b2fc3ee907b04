// Everything ends, work goes on after every fault, and every fault met work.
import { BUSY_RESUME_MS, type CaseFile, longestWhole, RESUME_MS, RUN_ENDS, type RunFile } from './case-file.ts';
import { type Finding, look } from './verdict.ts';

/** Graces for which an output's event is waited for at most, where the queue is never empty. */
const MOST_GRACES = 30;
/** Faults that take Redis from all workers: each of them begins the thirty seconds anew, and is judged by itself. */
const STORE = ['F5', 'F6', 'F7', 'F9'];
/** What a worker does; what the driver or an upload does to a run is none of it. */
const WORK = ['launched', 'adopted', 'output', 'succeeded', 'failed', 'retry'];
/** Faults by which a worker may find that it can do nothing any more, and end itself, within so many milliseconds. */
const WAYS = ['F3', 'F5', 'F6', 'F7', 'F8', 'F9', 'F11', 'F12', 'F15', 'F16'];
const GIVES_UP_MS = 90_000;

/** `F5` of `F5 kill`. */
const groupOf = (fault: string): string => fault.split(' ')[0] ?? '';

export function everyRunEnds(file: CaseFile): Finding {
  const i = look('I17', 'every run ends', ['runs']);
  for (const run of file.runs) {
    i.holds(
      'runs',
      run.ended !== undefined || run.state === 'rejected',
      () =>
        `${run.id} is still ${run.state}: ${run.history
          .slice(-4)
          .map((entry) => `${entry[1]} ${entry[2]}`)
          .join(', ')}`,
    );
  }
  return i.done();
}

export function workResumes(file: CaseFile): Finding {
  const i = look('I18', 'after every fault work goes on within 30 s, and no process ends by itself', [
    'faults with live work',
    'outputs',
    'processes that were ended',
  ]);
  const { calm } = file.evidence.phases;
  const moments = file.runs
    .flatMap((run) => run.history.filter(([, what, task]) => task !== '' && WORK.includes(what)).map(([t]) => t))
    .sort((a, b) => a - b);
  for (const fault of file.faults) {
    if (fault.live === 0 || fault.until > calm) continue;
    const next = moments.find((t) => t > fault.until);
    const inTime = next !== undefined && next - fault.until <= (file.busy(fault.until, next) ? BUSY_RESUME_MS : RESUME_MS);
    const again = file.faults.some(
      ({ fault: what, t, until }) => STORE.includes(groupOf(what)) && t > fault.t && until > fault.until && t <= fault.until + RESUME_MS,
    );
    // of several that follow each other the last one has nobody to wait for
    if (!inTime && again) i.saw('faults with Redis away again before work went on');
    else
      i.holds(
        'faults with live work',
        inTime,
        () => `after ${fault.fault} (${fault.detail}) no task got on for ${next === undefined ? 'ever' : `${next - fault.until} ms`}`,
      );
  }
  const broken = [...file.of('loss'), ...file.faults.filter(({ fault }) => WAYS.includes(groupOf(fault)))];
  for (const task of file.runs.flatMap(({ tasks }) => tasks)) {
    const [output, success] = ['output', 'succeeded'].map((wanted) => task.entries.find(([, what]) => what === wanted)?.[0]);
    if (output === undefined || success === undefined) continue;
    const due = output + task.plan.waitFor * 1_000;
    const late = success - due;
    // what is broken for a moment excuses no wait for ever: after each fault the thirty seconds begin anew
    const [from, to] = longestWhole(broken, due, success);
    const inTime = to - from <= (file.busy(from, to) ? BUSY_RESUME_MS : RESUME_MS);
    if (late > RESUME_MS && inTime && to - from < late) i.saw('outputs that waited while Redis was away');
    else
      i.holds(
        'outputs',
        inTime,
        () => `${task.id} had its output for ${late} ms before it succeeded, and ${to - from} ms of them nothing was broken`,
      );
  }
  for (const task of file.runs.flatMap(({ tasks }) => tasks)) {
    for (const [t, what, , attempt] of task.entries) {
      if (what !== 'exited') continue;
      const judged = task.entries.find(([at, then, , of]) => at >= t && of === attempt && (then === 'failed' || then === 'retry'))?.[0];
      // while faults go on, and what they left, an event of its output may be on its way for long
      if (judged === undefined || judged < calm) continue;
      const late = judged - Math.max(t, calm) - MOST_GRACES * file.evidence.settings.grace;
      i.holds(
        'dynos that ended without output',
        late <= (file.busy(Math.max(t, calm), judged) ? BUSY_RESUME_MS : RESUME_MS),
        () => `the end of ${task.id}/${attempt} was judged ${judged - Math.max(t, calm)} ms after it was seen`,
      );
    }
  }
  for (const { t, worker, how, served, cause } of file.of('exit')) {
    const mine = ({ fault, detail }: { fault: string; detail: string }) =>
      WAYS.includes(groupOf(fault)) && (detail.includes(worker) || !/worker-|web/.test(detail));
    const broken = file.faults.some((fault) => fault.t <= t && fault.until >= t - GIVES_UP_MS && mine(fault));
    if (cause !== undefined) i.saw('processes that were ended');
    // a status: it found that it can do nothing, and said so
    else if (/^\d+$/.test(how) && broken) i.saw('processes that gave up while their ways were broken');
    else if (/^\d+$/.test(how) && file.busy(t - GIVES_UP_MS, t)) i.saw('processes that gave up on a busy machine');
    else i.wrong(`${worker} ended with ${how}${served ? '' : ' before it worked'}, and nobody had ended it`);
  }
  return i.done();
}

export function faultsMetWork(file: CaseFile): Finding {
  const { faults } = file.evidence.settings;
  const i = look('FAULTS', 'every fault met live work', faults.length === 0 ? ['faults'] : faults);
  for (const { fault, live } of file.faults) if (live > 0) i.saw(fault);
  return i.done();
}

/** Whether one of these faults takes from Redis what it had: a run of others has no loss that could be noticed. */
export const canForget = (faults: readonly string[]): boolean => faults.some((fault) => groupOf(fault) === 'F6' || fault === 'F7 replica');

export function lossNoticed(file: CaseFile): Finding {
  const i = look('LOSS', 'a loss of Redis that a living worker saw begins another epoch', ['losses seen']);
  for (const { t, seen, noticed } of file.of('loss'))
    if (seen) i.holds('losses seen', noticed, () => `the loss at ${t} was not noticed`);
    else i.saw('losses that nobody could notice');
  return i.done();
}

/** What all the other invariants say then holds for both versions. */
export function versionsMixed(file: CaseFile): Finding {
  const { earlier } = file.evidence.settings;
  const kinds = ['starts of this version', 'starts of the earlier version'];
  const i = look('I23', `half of the workers were of ${earlier ?? 'no'} other version, and all of them after the faults`, kinds);
  i.saw('starts of this version', file.evidence.starts.own);
  i.saw('starts of the earlier version', file.evidence.starts.earlier);
  return i.done();
}

export function foldsToRecord(file: CaseFile): Finding {
  const i = look('I22', 'folding a history gives its record, and its times never run back', ['runs', 'tasks']);
  for (const run of file.runs) {
    if (run.state === 'rejected') continue;
    const last = run.ended?.[1] ?? run.state;
    i.holds(
      'runs',
      last === run.state && (run.ended === undefined || String(run.ended[0]) === run.record['end']),
      () => `${run.id}: record ${run.state}, history ${last}`,
    );
    let before = 0;
    for (const [t, what] of run.history) {
      if (t < before) i.wrong(`${run.id}: ${what} is ${before - t} ms before the entry that it follows`);
      before = t;
    }
    if (run.history.filter(([, what, task]) => task === '' && RUN_ENDS.includes(what)).length === 0 && run.ended !== undefined)
      i.wrong(`${run.id} has an end and no entry`);
    for (const task of run.tasks) {
      const phase = run.record[`p:${task.t}`];
      const attempt = attemptOf(run, task.t);
      const end = task.end?.[1];
      // a run that was cancelled before its tree was made has tasks that nothing was ever said of
      if ((end === undefined && phase === undefined) || run.kept.has(task.t)) continue;
      i.holds(
        'tasks',
        phase === end && Number(run.record[`a:${task.t}`] ?? 1) === attempt,
        () => `${task.id}: record ${phase}/${run.record[`a:${task.t}`]}, history ${end}/${attempt}`,
      );
    }
  }
  return i.done();
}

/** The attempt that a task's history leads to. After a loss of Redis the next one of every task has the number of its epoch. */
function attemptOf(run: RunFile, task: string): number {
  let attempt = 1;
  let epoch = 1;
  for (const [, what, of, n, detail] of run.history) {
    if (what === 'redone') epoch = Number(/^epoch (\d+)$/.exec(detail)?.[1] ?? epoch);
    if (of !== task) continue;
    if (what === 'retry' || what === 'lost') attempt = n + 1;
    if (what === 'intent') attempt = Math.max(attempt, (epoch - 1) * 100 + 1);
  }
  return attempt;
}

export function nothingLeft(file: CaseFile): Finding {
  const i = look('I24', 'when all is quiet no job, watch or lock of an ended run is left', ['ended runs']);
  i.saw('ended runs', file.runs.filter(({ ended }) => ended !== undefined).length);
  for (const key of file.evidence.leftovers) i.wrong(key);
  return i.done();
}

export function noSecretLeaves(file: CaseFile): Finding {
  const i = look('I30', 'no secret stands in a log or in Redis in clear', ['secrets', 'bytes searched']);
  i.saw('secrets', file.evidence.settings.secrets.length);
  i.saw('bytes searched', file.evidence.searched);
  for (const leak of file.evidence.leaks) i.wrong(leak);
  return i.done();
}
