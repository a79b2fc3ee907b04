// What people order is done: launches that they hold back are held back, and an ended run runs again without what it keeps.
import type { CaseFile } from './case-file.ts';
import { type Finding, look } from './verdict.ts';

/** Milliseconds that a turn to launch holds until its intent; between that and the POST it is `notAfter`. */
const TURN_MS = 500;
/** Milliseconds that a call may take to arrive, and those of a busy process: less than a pause lasts. */
const SENT_MS = 500;
const BUSY_MS = 2_500;
/** Faults that keep no worker, and no answer of Redis, on the way between a turn and its intent. */
const QUICK = ['F1', 'F2', 'F4', 'F10', 'F11', 'F13', 'F14', 'F16', 'F18'];

export function pausesHold(file: CaseFile): Finding {
  const i = look('PAUSE', 'while launches of a resource are held back none begins but those that had their turn', [
    'pauses',
    'launches held back',
  ]);
  for (const { t, until, app, resource } of file.of('pause')) {
    if (file.lost(t, until)) {
      i.saw('pauses that Redis may have forgotten');
      continue;
    }
    if (file.faults.some((fault) => fault.t <= until && fault.until >= t && !QUICK.includes(fault.fault.split(' ')[0] ?? ''))) {
      i.saw('pauses while a worker, or its way to Redis, was slow');
      continue;
    }
    const from = t + TURN_MS + file.evidence.settings.notAfter + SENT_MS + (file.busy(t, until) ? BUSY_MS : 0);
    const early = file.of('post').filter((post) => post.app === app && post.t > from && post.t < until);
    i.holds(
      'pauses',
      early.length === 0,
      () => `${early[0]?.task} was posted ${(early[0]?.t ?? 0) - t} ms after the launches of ${app} were held back, for ${until - t} ms`,
    );
    for (const run of file.runs)
      if (run.record['resource'] === resource)
        i.saw('launches held back', run.history.filter(([at, what]) => what === 'queued' && at >= t && at <= until).length);
  }
  return i.done();
}

/** Answers to a cancel by which a run is to end. */
const TAKEN = ['cancelling', 'cancelled'];

export function cancelsCount(file: CaseFile): Finding {
  const i = look('CANCEL', 'a cancel that was answered cuts its run short: what it finds at work does not succeed', [
    'cancels answered',
    'tasks cut short',
  ]);
  const runs = new Map(file.runs.map((run) => [run.id, run]));
  for (const { t, run, answer } of file.of('cancel')) {
    if (!TAKEN.includes(answer)) continue;
    const noted = runs.get(run)?.history.some(([, what, task]) => task === '' && TAKEN.includes(what)) === true;
    if (!noted && file.lost(t - SENT_MS, t)) i.saw('cancels that Redis forgot');
    else i.holds('cancels answered', noted, () => `the cancel of ${run} was answered (${answer}), and its history knows of none`);
  }
  for (const run of file.runs) {
    const cut = run.history.findIndex(([, what, task]) => task === '' && what === 'cancelling');
    if (cut < 0) continue;
    for (const { id, entries } of run.tasks) {
      const after = entries.filter((entry) => run.history.indexOf(entry) > cut);
      i.saw('tasks cut short', after.filter(([, what]) => what === 'skipped').length);
      // what cools has its output: it has succeeded, and only its wait is cut short
      if (after.some(([, what]) => what === 'succeeded') && !entries.some(([, what]) => what === 'cooling'))
        i.wrong(`${id} was at work when its run was cancelled, and succeeded`);
    }
  }
  return i.done();
}

export function replaysKeep(file: CaseFile): Finding {
  const i = look('AGAIN', 'a run that runs again launches nothing of what it keeps', ['runs run again', 'tasks kept', 'tasks run again']);
  const runs = new Map(file.runs.map((run) => [run.id, run]));
  for (const { t, run: id, of, how, kept } of file.of('replay')) {
    const run = runs.get(id);
    if (run === undefined && file.lost(t, t)) i.saw('runs that Redis forgot');
    else i.holds('runs run again', run?.record['parent'] === of, () => `${id} was to run ${of} again (${how}) and is nowhere`);
    for (const task of run?.tasks ?? []) {
      const begun = task.attempts.length > 0;
      if (kept.includes(task.t)) i.holds('tasks kept', !begun, () => `${task.id} counts as done in ${how} of ${of} and was launched`);
      else if (begun) i.saw('tasks run again');
    }
  }
  return i.done();
}
