// Whatever fails does so for a cause outside the engine.
import { type CaseFile, dynosOf, type TaskFile, tasksOf } from './case-file.ts';
import { type Finding, look } from './verdict.ts';

/** Milliseconds before a verdict in which what held the task up is looked for, and how many things must have. */
const POISONED_MS = 120_000;
const POISONED_BY = 3;

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
        const accepted = posts.find(({ answer }) => answer === 'accepted');
        const broken = accepted !== undefined && (file.faulty(accepted.t - 1_000, t) || file.busy(accepted.t - 1_000, t));
        i.holds(
          'launch unknown',
          accepted === undefined || broken,
          () => `${task.id}/${attempt}: ${detail}, although its launch was accepted and nothing was broken; posts ${JSON.stringify(posts)}`,
        );
      } else if (code === 'timed_out') {
        // I16 looks at when; that anything was launched which could have kept its time is not for the history to say
        i.holds(
          'timed out',
          posts.some(({ answer }) => answer === 'accepted' || answer === 'unknown'),
          () => `${task.id}/${attempt}: ${detail}; posts ${JSON.stringify(posts)}`,
        );
      }
      // five activations in a row that got nowhere: worth a look, but not a lie when so much broke since the task last got anywhere
      else if (code === 'poisoned' && heldUp(file, task, t) >= POISONED_BY) i.saw('poisoned under faults');
      else if (code === 'poisoned' && file.busy(t - POISONED_MS, t)) i.saw('poisoned on a busy machine');
      // I15 looks at those
      else if (code !== 'dyno_crashed') i.wrong(`${task.id}/${attempt}: ${what} for ${detail}`);
    }
  }
  const looks = Map.groupBy(file.of('look'), ({ bucket, key }) => JSON.stringify([bucket, key]));
  for (const task of tasksOf(file)) {
    for (const [exited, what, , attempt] of task.entries) {
      if (what !== 'exited' || task.plan.noOutput) continue;
      const launched = task.entries.find(([, was, , of]) => of === attempt && (was === 'launched' || was === 'adopted'))?.[0] ?? exited;
      const due = Math.min(exited + file.evidence.settings.grace, launched + task.plan.timeout * 1_000);
      const first = looks.get(JSON.stringify([task.run.record['bucket'], `out/${task.id}`]))?.find(({ t }) => t >= exited);
      if (first !== undefined)
        i.holds('graces', first.t >= due, () => `${task.id}/${attempt} was looked for ${first.t - exited} ms after it was seen to end`);
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
