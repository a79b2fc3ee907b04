// At most one launch per attempt, never early, never after the end.
import { type CaseFile, type TaskFile, tasksOf } from './case-file.ts';
import { type Finding, look } from './verdict.ts';

/** Milliseconds that a process on a busy machine may be late. */
const BUSY_MS = 20_000;

/** Milliseconds that a POST is sent after its intent at most, and those of a busy process. */
const SENT_MS = 3_000;

/** Whether Redis may have lost the intent of a POST, and all that came of it. */
const forgotten = (file: CaseFile, post: { readonly t: number }) => file.lost(post.t - SENT_MS, post.t);

export function onePostPerAttempt(file: CaseFile): Finding {
  const i = look('I6', 'at most one POST per attempt, and none without its recorded intent', [
    'attempts launched',
    'launches of unknown fate',
    'workers killed',
  ]);
  for (const task of tasksOf(file)) {
    for (const { n, posts, intents } of task.attempts) {
      // a refused launch frees its attempt: it may be asked for again
      const taken = posts.filter(({ answer }) => answer === 'accepted' || answer === 'unknown');
      // docs/guarantees.md, "Not promised"
      if (taken.length > 1 && taken.slice(0, -1).every((post) => file.lostUnseen(post.t - SENT_MS, post.t)))
        i.saw('launched twice after a loss that nobody could notice');
      else if (posts.length > 0)
        i.holds('attempts launched', taken.length <= 1, () => `${task.id}/${n} was launched ${taken.length} times`);
      if (posts.some(({ answer }) => answer === 'unknown')) i.saw('launches of unknown fate');
      // an intent leads to one POST, whatever is answered
      for (const [k, post] of posts.entries())
        if (intents.filter((t) => t <= post.t).length <= k && !posts.slice(0, k + 1).some((one) => forgotten(file, one)))
          i.wrong(`${task.id}/${n} was posted ${k === 0 ? '' : `${k + 1} times `}before its intent was recorded`);
      const last = posts.at(-1);
      if (
        last !== undefined &&
        taken.length > 0 &&
        !taken.includes(last) &&
        !file.lostUnseen((taken[0]?.t ?? 0) - SENT_MS, taken[0]?.t ?? 0)
      )
        i.wrong(`${task.id}/${n} was posted again after a launch that was not refused`);
    }
  }
  const known = new Set(tasksOf(file).map(({ id }) => id));
  const guests = new Set(file.evidence.guests.map(({ app }) => app));
  const strangers = file.of('post').filter(({ task }) => !known.has(task));
  // the records of a resource that was removed are gone; its launches count all the same
  // one that was ordered, and which Redis forgot, does not come back (docs/architecture.md)
  const forgottenRuns = new Set(file.of('replay').flatMap(({ run, t }) => (file.lost(t - SENT_MS, t) ? [run] : [])));
  const isForgotten = (task: string) => forgottenRuns.has(task.split('.')[0] ?? '');
  for (const { task, app } of strangers)
    if (!guests.has(app) && !isForgotten(task)) i.wrong(`a dyno was launched for ${task}, which is no task of any run`);
  for (const [attempt, posts] of Map.groupBy(strangers, (post) => `${post.task}/${post.attempt}`)) {
    const taken = posts.filter(({ answer }) => answer === 'accepted' || answer === 'unknown');
    i.holds('attempts launched', taken.length <= 1 || taken.slice(0, -1).every(({ t }) => file.lostUnseen(t - SENT_MS, t)), () => {
      return `${attempt} of a removed resource was launched ${taken.length} times`;
    });
  }
  i.saw(
    'workers killed',
    file.faults.reduce((sum, { kills }) => sum + kills, 0),
  );
  return i.done();
}

export function reconciledFirst(file: CaseFile): Finding {
  const i = look('I7', 'a launch of unknown fate is looked for before anything follows it', ['adopted', 'called lost']);
  const { adoptAfter } = file.evidence.settings;
  for (const task of tasksOf(file)) {
    for (const { n, intent, posts } of task.attempts) {
      const closing = task.entries.find(
        ([, what, , attempt]) => attempt === n && ['retry', 'lost', 'failed', 'skipped', 'succeeded'].includes(what),
      );
      const next = task.attempts.find((one) => one.n > n);
      if (
        next?.intent !== undefined &&
        (closing === undefined || closing[0] > next.intent) &&
        // one that was never sent, or refused, is free: after a loss of Redis it goes on under another number
        posts.some(({ answer }) => answer === 'accepted' || answer === 'unknown') &&
        !posts.some((post) => file.lost(post.t - SENT_MS, next.intent ?? post.t))
      )
        i.wrong(`${task.id}/${n + 1} began before /${n} was closed`);
      if (task.entries.some(([, what, , attempt]) => what === 'adopted' && attempt === n)) i.saw('adopted');
      const lost = task.entries.find(
        ([, what, , attempt, detail]) => attempt === n && (what === 'lost' || (what === 'failed' && detail.startsWith('launch_unknown'))),
      );
      if (lost === undefined || intent === undefined) continue;
      // the attempt's last intent: one that was refused was recorded again
      const last = task.entries.findLast(([t, what, , attempt]) => what === 'intent' && attempt === n && t <= lost[0])?.[0] ?? intent;
      i.holds(
        'called lost',
        lost[0] - last >= adoptAfter,
        () => `${task.id}/${n} was called lost after ${lost[0] - last} ms, expected ${adoptAfter}`,
      );
      for (const { dyno } of posts) {
        const life = dyno === undefined ? undefined : file.dynos.get(dyno);
        if (life !== undefined && (life.ended ?? Number.POSITIVE_INFINITY) > lost[0] && !file.busy(lost[0] - 1_000, lost[0]))
          i.wrong(`${task.id}/${n} was called lost while its dyno ${dyno} ran`);
      }
    }
  }
  return i.done();
}

export function noStepEarly(file: CaseFile): Finding {
  const i = look('I8', 'no step begins before all tasks of the step before succeeded and cooled', [
    'steps begun',
    'steps after a wait_for',
    'tasks cooled',
  ]);
  for (const run of file.runs) {
    // what has its output and cools when its run is cancelled has succeeded: nothing follows it
    const cut = run.history.find(([, what, task]) => task === '' && (what === 'cancelling' || what === 'cancelled'))?.[0];
    for (const task of run.tasks) {
      // whatever the launch that follows waits for besides: on a busy machine it comes late enough by itself
      const [done, success] = [doneAt(task), task.entries.find(([, what]) => what === 'succeeded')?.[0]];
      const cooled = (done ?? 0) + task.plan.waitFor * 1_000;
      if (done !== undefined && success !== undefined && task.plan.waitFor > 0 && !(cut !== undefined && cut <= success))
        i.holds('tasks cooled', success >= cooled, () => `${task.id} succeeded ${cooled - success} ms before it had cooled`);
      const first = task.attempts.flatMap(({ posts }) => posts).find((post) => !forgotten(file, post));
      if (task.step === 0 || first === undefined) continue;
      for (const before of run.tasks.filter(({ step, t }) => step === task.step - 1 && !run.kept.has(t))) {
        const success = before.entries.find(([, what]) => what === 'succeeded');
        i.holds(
          'steps begun',
          success !== undefined && success[0] <= first.t,
          () => `${task.id} was launched before ${before.id} succeeded`,
        );
        const done = doneAt(before);
        if (before.plan.waitFor === 0 || done === undefined) continue;
        const cool = done + before.plan.waitFor * 1000;
        i.holds(
          'steps after a wait_for',
          first.t >= cool,
          () => `${task.id} was launched ${cool - first.t} ms before ${before.id} had cooled`,
        );
      }
    }
  }
  return i.done();
}

/** When what a task succeeds by was there, and its `wait_for` began. */
const doneAt = (task: TaskFile): number | undefined =>
  task.entries.find(([, what]) => what === 'output' || (task.plan.noOutput && what === 'up'))?.[0];

/** What a task is retried for as often as it may be. */
const RETRIED = ['exited_without_output', 'timed_out', 'dyno_crashed'];

/** Launches that may get lost before their task fails; of a task without retries none may. */
const MOST_LOST = 3;

export function retriesBounded(file: CaseFile): Finding {
  const i = look('I10', 'retries are bounded, wait for their backoff, and are all made before a task fails', ['retries', 'failures']);
  for (const task of tasksOf(file)) {
    const retries = task.entries.filter(([, what]) => what === 'retry');
    const lost = task.entries.filter(([, what]) => what === 'lost');
    if (retries.length > task.plan.retries) i.wrong(`${task.id} was retried ${retries.length} times, allowed ${task.plan.retries}`);
    if (lost.length > MOST_LOST) i.wrong(`${task.id} was lost ${lost.length} times, allowed ${MOST_LOST}`);
    for (const [used, [t, , , attempt]] of retries.entries()) {
      const { type, delay, max } = task.plan.backoff;
      const wait = (type === 'exponential' ? Math.min(delay * 2 ** used, max) : delay) * 1000;
      const next = task.attempts.find(({ n }) => n > attempt)?.intent;
      // what fails for another reason, or is cancelled, has no next attempt
      if (next === undefined) i.saw('retries');
      else
        i.holds(
          'retries',
          next - t >= wait,
          () => `${task.id}/${attempt + 1} began ${next - t} ms after /${attempt} failed, expected ${wait}`,
        );
    }
    const left = triesLeft(task, { retries: retries.length, lost: lost.length });
    const [end, first] = [task.end, task.entries[0]];
    if (left === undefined || end === undefined || first === undefined) continue;
    if (left > 0 && file.lost(first[0], end[0])) i.saw('failures whose retries Redis may have forgotten');
    else i.holds('failures', left <= 0, () => `${task.id} failed with ${left} tries left: ${end[4]}`);
  }
  return i.done();
}

/** Tries that a task had left when it failed; undefined: it did not, or nobody was to try it again. */
function triesLeft({ run, end, plan }: TaskFile, used: { retries: number; lost: number }): number | undefined {
  if (end?.[1] !== 'failed') return undefined;
  const before = run.history.slice(0, run.history.indexOf(end));
  // in a run that fails or is cancelled nothing is tried again
  if (before.some(([, what]) => what === 'failing' || what === 'cancelling')) return undefined;
  const [code = ''] = end[4].split(':');
  if (RETRIED.includes(code)) return plan.retries - used.retries;
  return code === 'launch_unknown' && plan.retries > 0 ? MOST_LOST - used.lost : undefined;
}

export function nothingAfterTheEnd(file: CaseFile): Finding {
  const i = look('I11', 'after a cancel, a failure, the end or the removal of its resource nothing is begun', [
    'cancelled runs',
    'failed runs',
    'ended runs',
    'removed resources',
  ]);
  const { notAfter } = file.evidence.settings;
  for (const { id, app } of file.evidence.guests) {
    const removed = file.of('remove').find(({ resource, status }) => resource === id && (status === 204 || status === 410));
    if (removed === undefined) continue;
    i.saw('removed resources');
    for (const { t, task, app: of } of file.of('post'))
      if (of === app && t > removed.t + notAfter + 500 + (file.busy(removed.t, t) ? BUSY_MS : 0) && !file.lost(removed.t - SENT_MS, t))
        i.wrong(`${task} was posted ${t - removed.t} ms after the removal of ${id}`);
  }
  for (const run of file.runs) {
    const cancel = run.history.find(([, what, task]) => task === '' && (what === 'cancelling' || what === 'cancelled'));
    const failing = run.history.find(([, what]) => what === 'failing');
    if (cancel !== undefined) i.saw('cancelled runs');
    if (failing !== undefined) i.saw('failed runs');
    if (run.ended !== undefined) i.saw('ended runs');
    for (const [name, entry] of Object.entries({ cancel, failing, end: run.ended })) {
      if (entry === undefined) continue;
      const at = run.history.indexOf(entry);
      for (const [, what, task, attempt] of run.history.slice(at + 1)) {
        if (what === 'intent') i.wrong(`${run.id}.${task}/${attempt}: an intent after the ${name}`);
      }
      for (const task of run.tasks) {
        for (const { n, posts } of task.attempts) {
          for (const post of posts) {
            // the intent came first, and the line before the send looks at its age
            if (post.t > entry[0] + notAfter + 500 + (file.busy(entry[0], post.t) ? BUSY_MS : 0))
              i.wrong(`${task.id}/${n} was posted ${post.t - entry[0]} ms after the ${name}`);
          }
        }
      }
    }
  }
  return i.done();
}

export function stopsOnlyClosed(file: CaseFile): Finding {
  const i = look('STOP', 'a dyno is stopped when its attempt was closed, and only then', ['stopped', 'dynos of succeeded attempts']);
  const tasks = new Map(tasksOf(file).map((task) => [task.id, task]));
  const closed = (task: TaskFile, attempt: number) =>
    task.entries.find(([, what, , of]) => of === attempt && ['retry', 'failed', 'skipped', 'lost', 'superseded'].includes(what));
  for (const [dyno, post] of file.postOfDyno) {
    const task = tasks.get(post.task);
    const life = file.dynos.get(dyno) ?? {};
    if (task === undefined) continue;
    const closing = closed(task, post.attempt);
    const won = task.entries.some(([, what, , of]) => what === 'succeeded' && of === post.attempt);
    if (life.stopped !== undefined && !file.lost(post.t - SENT_MS, life.stopped)) {
      i.holds(
        'stopped',
        !won && closing !== undefined && closing[0] <= life.stopped,
        () => `${dyno} of ${task.id}/${post.attempt} was stopped ${won ? 'although it succeeded' : 'while its attempt was open'}`,
      );
    }
    if (won) i.saw('dynos of succeeded attempts');
    else if (closing !== undefined && file.evidence.alive.includes(dyno))
      i.wrong(`${dyno} of ${task.id}/${post.attempt} (${closing[1]}) was never stopped`);
    // its attempt may have been forgotten by Redis, and then goes on under another number
    else if (task.end !== undefined && file.evidence.alive.includes(dyno))
      i.wrong(`${dyno} of ${task.id}/${post.attempt} was never stopped, and its task has ended`);
  }
  return i.done();
}

export function noOldFence(file: CaseFile): Finding {
  const i = look('I21', 'nothing moves a task in the name of an attempt that was closed', [
    'transitions',
    'transitions after a retry or a loss',
  ]);
  const own = ['intent', 'launched', 'adopted', 'up', 'exited', 'refused', 'retry', 'lost', 'failed', 'succeeded'];
  for (const task of tasksOf(file)) {
    let current = 0;
    for (const [, what, , attempt] of task.entries) {
      if (!own.includes(what)) continue;
      const old = attempt < current;
      i.holds('transitions', !old, () => `${task.id}: ${what} of attempt ${attempt} when ${current} had begun`);
      if (attempt > 1) i.saw('transitions after a retry or a loss');
      current = Math.max(current, what === 'retry' || what === 'lost' ? attempt + 1 : attempt);
    }
  }
  return i.done();
}
