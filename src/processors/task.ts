// A task's activation: ask the record what to do, do that one thing, and leave. Every wake may be spurious, every
// activation may be repeated, and none holds anything while it waits.
import { type Job, UnrecoverableError } from 'bullmq';
import type { Decision } from '../queues/decision.ts';
import { refOf } from '../queues/run-record.ts';
import type { EnterOptions } from '../queues/task-transitions.ts';
import { readTaskJob } from '../queues/tree.ts';
import { Failure } from '../schema/failures.ts';
import type { Activation, TaskDeps } from './activation.ts';
import { findDyno } from './adopt.ts';
import { healAfter, LAUNCH_DEADLINE_MS, launch, NO_CALLS, NOT_AFTER_MS, prepare } from './launch.ts';
import { LONGEST_LIFE_S, timeToLiveOf } from './launch-order.ts';
import { ask, giveBack, release, UNSURE_MS } from './launch-turn.ts';
import { lookOnceMore } from './overdue.ts';

/**
 * Milliseconds until a dyno list that did not come is asked for again for a launch of unknown fate: a quarter of the time that has passed since the launch,
 * within these two.
 */
const UNSEEN_MS = 2_000;
const UNSEEN_MOST_MS = 15_000;
/**
 * Milliseconds after which such a launch counts as lost although no list came. Where Heroku does not answer, the longest life of a one-off dyno:
 * an outage is nobody's fault. Where it refuses, or several dynos name the launch, which may last for ever: as
 * long as the dyno itself may live, an hour at most.
 */
const UNSEEN_ENDS_MS = LONGEST_LIFE_S * 1000;
const REFUSED_ENDS_MS = 3_600_000;

/** Milliseconds that a clock may be ahead of Redis' without being wrong; a busy process hears Redis' answers as late as that. */
const WRONG_CLOCK_MS = 1_000;

/** The processor of the task queue. `close` ends its listening. */
export function createTaskProcessor(deps: TaskDeps) {
  const active = new Map<string, Activation>();
  const stopListening = deps.listen(({ runId, what, task }) => {
    if (what === 'cancelling') {
      for (const activation of active.values()) if (activation.ref.runId === runId) activation.heard.cancel = true;
    } else if (what === 'output' && task !== undefined) {
      const activation = active.get(task);
      if (activation !== undefined) activation.heard.output = true;
    }
  });

  const process = async (job: Job, token?: string): Promise<string> => {
    const ref = refOf(job.id ?? '');
    if (ref === undefined || token === undefined) throw new UnrecoverableError(`${job.id} is no task`);
    // the job is only the bell: what cannot be read of it stands in the record
    const planned = readTaskJob(job.data) ?? (await deps.runs.planned(ref));
    if (planned === undefined) return 'gone';
    const { resource, task } = planned;
    const activation: Activation = {
      ref,
      task,
      resource,
      job,
      token,
      heard: { cancel: false, output: false },
      whole: undefined,
      ahead: 0,
      launchable: undefined,
      budget: '',
      slot: 0,
    };
    active.set(ref.id, activation);
    try {
      return await act(deps, activation);
    } finally {
      active.delete(ref.id);
    }
  };
  return { process, close: stopListening };
}

async function act(deps: TaskDeps, activation: Activation): Promise<string> {
  const { ref, task, resource, heard } = activation;
  // a job that starts for the first time is a launch, or came back: asking before the decision saves asking for it twice
  if (activation.job.attemptsStarted <= 1) await ask(deps, activation, 0);
  let own = deps.token();
  let verdict: EnterOptions['verdict'];
  /** Milliseconds for which the customer's own account takes no launch. */
  let held = 0;
  const adoptAfter = NOT_AFTER_MS + LAUNCH_DEADLINE_MS + deps.adoptMarginMs;
  for (let first = true; ; first = false) {
    heard.cancel = false;
    heard.output = false;
    const asked = deps.monotonic();
    if (first) deps.failpoint('task.activated');
    if (activation.budget === 'granted') prepare(deps, activation);
    const decision = await deps.runs.enter({
      ref,
      task,
      resource,
      token: own,
      first,
      adoptAfter,
      grace: deps.graceMs,
      ...(held > 0 ? { budget: 'held', held: Math.ceil(held) + healAfter(deps), why: NO_CALLS } : { budget: activation.budget }),
      ...(verdict === undefined ? {} : { verdict }),
    });
    activation.ahead = deps.now() - decision.now;
    verdict = undefined;
    held = 0;
    if (decision.action !== 'launch') await giveBack(deps, activation, decision);
    switch (decision.action) {
      case 'gone':
        // it may have asked before it knew: of a removed resource nothing is to wait
        await release(deps, activation, false);
        return 'gone';
      case 'ask':
        // what the record says it was held back for goes on: neither the budget nor its history hears of it again
        held = decision.detail === 'backoff' || decision.detail === 'throttle' ? deps.ownLimits.left(resource) : 0;
        if (held > 0) {
          // its place, or the grant that it was rung for, is of use to somebody else
          await release(deps, activation, true, 'place');
          await release(deps, activation, true, [0, decision.now]);
          break;
        }
        if (!(await ask(deps, activation, decision.now))) return await park(deps, activation, { ...decision, ms: UNSURE_MS }, false);
        break;
      case 'settled':
        deps.failpoint('task.settled');
        await release(deps, activation, false);
        if (decision.detail === 'skipped') deps.nudge();
        return decision.detail;
      case 'failed':
        await release(deps, activation, false);
        deps.log.warn({ taskId: ref.id, attempt: decision.attempt, again: false, why: decision.detail }, 'attempt failed');
        deps.failpoint('task.judged');
        deps.nudge();
        // the record tells why; to BullMQ this child has failed for good, and its parent goes on
        throw new UnrecoverableError('failed');
      case 'park':
        if (decision.detail === 'cool') await release(deps, activation, false);
        if (decision.detail === 'throttle') deps.nudgeGrants();
        return await park(deps, activation, decision, false);
      case 'retry':
        // by now the next attempt may be launched
        await release(deps, activation, false, [0, decision.now]);
        // the decision names the attempt that comes
        deps.log.warn({ taskId: ref.id, attempt: decision.attempt - 1, again: true }, 'attempt failed');
        deps.failpoint('task.judged');
        deps.nudge();
        return await park(deps, activation, decision, true);
      case 'check':
        verdict = await lookOnceMore(deps, { ref, task, resource, decision });
        deps.failpoint('task.due');
        break;
      case 'adopt': {
        const found = await findDyno(deps, { ref, task, resource, attempt: decision.attempt, overdue: -decision.ms });
        if (found === 'adopted') break;
        const since = adoptAfter - decision.ms;
        const most = found === 'refused' || found === 'several' ? Math.min(timeToLiveOf(task) * 1000, REFUSED_ENDS_MS) : UNSEEN_ENDS_MS;
        if (found !== 'absent' && since < adoptAfter + most) {
          const ms = Math.min(Math.max(UNSEEN_MS, since / 4), UNSEEN_MOST_MS);
          return await park(deps, activation, { ...decision, ms: Math.ceil(ms) }, false);
        }
        if (found === 'absent' && decision.detail !== 'last') return await park(deps, activation, decision, false);
        await deps.runs.refused({
          ref,
          resource,
          attempt: decision.attempt,
          kind: 'lost',
          delay: 2 * adoptAfter,
          retries: task.retries,
          code: 'launch_unknown',
          detail:
            found === 'several'
              ? 'The launch was not answered, and several dynos carry its marker: which of them is its own cannot be told.'
              : 'The launch was not answered, and no such dyno appeared.',
        });
        deps.failpoint('task.lost');
        break;
      }
      case 'launch': {
        const next = await launch(deps, activation, decision, asked);
        // an intent of unknown fate is foreign from now on: this activation must not send it again either
        if (next === 'unknown') own = deps.token();
        if (next === 'park' && !heard.output && !heard.cancel) {
          const ms = task.timeout * 1000 + (deps.monotonic() - asked);
          return await park(deps, activation, { ...decision, ms: Math.ceil(ms) }, false);
        }
        break;
      }
    }
  }
}

/**
 * Parks until the decision's time by Redis' clock. Where this machine's clock is ahead, BullMQ would promote the task here at once, and again and
 * again until it is due: it is parked for as much longer. To workers whose clock is right it is overdue then, which the sweep notices.
 */
async function park(deps: TaskDeps, { ref, job, token, ahead }: Activation, decision: Decision, retry: boolean): Promise<never> {
  const shard = Number(/^r(\d+)-/.exec(ref.runId)?.[1] ?? 0);
  const parking = deps.parkings[shard];
  if (parking === undefined) throw new Failure('internal', `Task ${ref.id} names a shard that this process does not serve.`);
  deps.failpoint('task.parking');
  return await parking.park({
    job,
    token,
    runId: ref.runId,
    task: `${ref.step}.${ref.index}`,
    ms: decision.ms >= 0 && ahead > WRONG_CLOCK_MS ? decision.ms + ahead : decision.ms,
    now: decision.now,
    seen: decision.seen,
    retry,
  });
}
