// A task's activation: ask the record what to do, do that one thing, and leave. Every wake may be spurious, every
// activation may be repeated, and none holds anything while it waits.
import { type Job, UnrecoverableError } from 'bullmq';
import type { DynoPlatform, LaunchOutcome } from '../clients/ports.ts';
import type { Budget } from '../queues/budget.ts';
import type { Transition } from '../queues/channel.ts';
import type { Parking } from '../queues/parking.ts';
import type { Resources } from '../queues/resources.ts';
import { refOf, type TaskRef } from '../queues/run-record.ts';
import type { Runs } from '../queues/runs.ts';
import type { Decision, EnterOptions } from '../queues/task-transitions.ts';
import { readTaskJob } from '../queues/tree.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import type { TaskPlan } from '../schema/workflow.ts';
import { findDyno } from './adopt.ts';
import type { Allowances } from './allowance.ts';
import type { CommandCheck } from './allowed-command.ts';
import { launchOrder } from './launch-order.ts';
import { lookOnceMore, type OverdueDeps } from './overdue.ts';

/** Milliseconds between the recorded intent and the POST at most; a frozen process finds out here and sends nothing. */
const NOT_AFTER_MS = 1_000;
/** Milliseconds that the one POST may take, answer included. */
const LAUNCH_DEADLINE_MS = 10_000;
/** Milliseconds until the dyno list, which did not answer, is asked again for a launch of unknown fate. */
const UNSEEN_MS = 2_000;
/** Milliseconds until a launch that time heals is tried again: spread between one and five seconds. */
const HEAL_MIN_MS = 1_000;
const HEAL_SPREAD_MS = 4_000;
/** Milliseconds until a launch is tried again that waits until Redis is known to be whole. */
const UNSURE_MS = 250;
/** Milliseconds that an account is left alone after a 429 that does not say how long; 75 calls come back in a minute. */
const THROTTLED_MS = 5_000;
const TOO_MANY_REQUESTS = 429;

export interface TaskDeps extends OverdueDeps {
  readonly runs: Runs;
  readonly resources: Resources;
  readonly platform: DynoPlatform;
  readonly budget: Budget;
  readonly allowances: Allowances;
  readonly checkCommand: CommandCheck;
  /** Wakes whoever hands out the launch budget. */
  readonly nudgeGrants: () => void;
  /** One per shard. */
  readonly parkings: readonly Parking[];
  /** Names the connection on which Redis was found whole (epoch.ts); undefined while it may have lost what was launched. */
  readonly whole: () => number | undefined;
  /** Tells of transitions; only ever a shortcut. */
  readonly listen: (onTransition: (transition: Transition) => void) => () => void;
  /** Milliseconds that pass after a POST could have been answered before a dyno that nothing shows counts as lost. */
  readonly adoptMarginMs: number;
  readonly graceMs: number;
  /** Wakes whoever stops dynos. */
  readonly nudge: () => void;
  /** A new token, unique per call. */
  readonly token: () => string;
  /** Milliseconds of a clock that never jumps. */
  readonly monotonic: () => number;
  readonly random: () => number;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

interface Activation {
  readonly ref: TaskRef;
  readonly task: TaskPlan;
  readonly resource: string;
  readonly job: Job;
  readonly token: string;
  /** What the run's channel told since the last decision. */
  readonly heard: { cancel: boolean; output: boolean };
  /** The connection on which Redis was whole when the launch was prepared. */
  whole: number | undefined;
  /** What the launch budget said; `granted` until the grant was used or given back. */
  budget: EnterOptions['budget'];
}

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
      budget: '',
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
  // a job that starts for the first time is a launch: asking before the decision saves asking for it twice
  if (activation.job.attemptsStarted <= 1) await ask(deps, activation);
  let own = deps.token();
  let verdict: EnterOptions['verdict'];
  const adoptAfter = NOT_AFTER_MS + LAUNCH_DEADLINE_MS + deps.adoptMarginMs;
  for (let first = true; ; first = false) {
    heard.cancel = false;
    heard.output = false;
    const asked = deps.monotonic();
    if (first) deps.failpoint('task.activated');
    const decision = await deps.runs.enter({
      ref,
      task,
      resource,
      token: own,
      first,
      adoptAfter,
      grace: deps.graceMs,
      budget: activation.budget,
      ...(verdict === undefined ? {} : { verdict }),
    });
    verdict = undefined;
    if (decision.action !== 'launch') await giveBack(deps, activation);
    switch (decision.action) {
      case 'gone':
        return 'gone';
      case 'ask':
        if (!(await ask(deps, activation))) return await park(deps, activation, { ...decision, ms: UNSURE_MS }, false);
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
        await release(deps, activation, false);
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
        const found = await findDyno(deps, { ref, task, resource, attempt: decision.attempt });
        if (found === 'adopted') break;
        if (found === 'unseen') return await park(deps, activation, { ...decision, ms: UNSEEN_MS }, false);
        if (decision.detail !== 'last') return await park(deps, activation, decision, false);
        await deps.runs.refused({
          ref,
          resource,
          attempt: decision.attempt,
          kind: 'lost',
          delay: 2 * adoptAfter,
          retries: task.retries,
          code: 'launch_unknown',
          detail: 'The launch was not answered, and no such dyno appeared.',
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
 * Asks the launch budget. A task that must wait is rung when its turn comes. Answers false, and asks nobody, while Redis may have lost
 * what was launched.
 */
async function ask(deps: TaskDeps, activation: Activation): Promise<boolean> {
  const { ref, resource } = activation;
  activation.whole = deps.whole();
  if (activation.whole === undefined) return false;
  const { account, concurrency } = await deps.allowances.of(resource);
  activation.budget = await deps.budget.request({ account, resource, task: ref.id, concurrency });
  return true;
}

/** A grant that the record did not turn into a launch is somebody else's. */
async function giveBack(deps: TaskDeps, activation: Activation): Promise<void> {
  if (activation.budget === 'granted') await release(deps, activation, true);
  activation.budget = '';
}

/** The task does not hold, or want, a launch any more. Not waited for: the audit finds what is lost on the way. */
async function release(deps: TaskDeps, { ref, resource }: Activation, refund: boolean): Promise<void> {
  const { account } = await deps.allowances.of(resource);
  deps.budget.releaseSoon({ account, resource, task: ref.id }, refund, deps.nudgeGrants);
}

async function park(deps: TaskDeps, { ref, job, token }: Activation, decision: Decision, retry: boolean): Promise<never> {
  const shard = Number(/^r(\d+)-/.exec(ref.runId)?.[1] ?? 0);
  const parking = deps.parkings[shard];
  if (parking === undefined) throw new Failure('internal', `Task ${ref.id} names a shard that this process does not serve.`);
  deps.failpoint('task.parking');
  return await parking.park({
    job,
    token,
    runId: ref.runId,
    task: `${ref.step}.${ref.index}`,
    ms: decision.ms,
    now: decision.now,
    seen: decision.seen,
    retry,
  });
}

/** The one POST of an attempt. What it leads to is recorded before anything else happens. */
async function launch(deps: TaskDeps, activation: Activation, decision: Decision, asked: number): Promise<'park' | 'again' | 'unknown'> {
  const { ref, task, resource, heard } = activation;
  const { attempt } = decision;
  const { account, commands } = await deps.allowances.of(resource);
  activation.budget = '';
  const refuse = async (kind: 'heal' | 'unsent' | 'final', delay: number, detail: string, sent = false) => {
    await release(deps, activation, !sent);
    await deps.runs.refused({ ref, resource, attempt, kind, delay, retries: task.retries, code: 'launch_refused', detail });
    deps.failpoint('task.refused');
    return 'again' as const;
  };
  if (decision.facts === undefined) throw new Failure('internal', `Task ${ref.id} is to be launched without its facts.`);
  const order = await launchOrder(deps, { ref, task, resource, attempt, now: decision.now, facts: decision.facts }).catch(
    async (error: unknown) => {
      // nothing was sent, so the attempt stays free; that it got nowhere counts
      await refuse('unsent', 0, messageOf(error));
      throw error;
    },
  );
  if (order === undefined) return await refuse('final', 0, 'The add-on is not installed any more.');
  if (order.endsEarly)
    return await refuse('heal', healAfter(deps), 'Its credentials would end before its deadline: they are not rotated yet.');
  if (commands === 'procfile') {
    const fault = await deps.checkCommand(order.app, task.cmd);
    if (fault?.wait === true) return await refuse('heal', healAfter(deps), fault.message);
    if (fault !== undefined) return await refuse('final', 0, fault.message);
  }
  deps.failpoint('task.intent');
  if (heard.cancel) return await refuse('heal', 0, 'The run is being cancelled.');
  // The line before the send: an activation that slept since its decision may no longer be the one that counts.
  if (deps.monotonic() - asked > NOT_AFTER_MS) return await refuse('heal', 0, 'The launch came too late and was not sent.');
  if (deps.whole() !== activation.whole) return await refuse('heal', UNSURE_MS, 'The connection to Redis broke; the launch was not sent.');
  const outcome: LaunchOutcome = await deps.platform.launch(order.app, order, { deadline: LAUNCH_DEADLINE_MS });
  deps.failpoint('task.posted');
  const facts = { taskId: ref.id, attempt, runId: ref.runId };
  switch (outcome.outcome) {
    case 'accepted': {
      const { dyno } = outcome;
      const up = dyno.state === 'up';
      deps.log.info({ ...facts, dyno: dyno.name, dynoId: dyno.id }, 'launched a dyno');
      const result = await deps.runs.launched({
        ref,
        resource,
        attempt,
        timeout: task.timeout,
        noOutput: task.no_output,
        dyno,
        up,
        adopted: false,
      });
      deps.failpoint('task.launched');
      if (result === 'closed') deps.nudge();
      // what is seen up already needs no park
      return result === 'closed' || (task.no_output && up) ? 'again' : 'park';
    }
    case 'refused': {
      const words = `${outcome.status} ${outcome.id}: ${outcome.message}`;
      deps.log.warn({ ...facts, status: outcome.status, id: outcome.id, heal: outcome.heal }, 'launch refused');
      const wait = outcome.retryAfter === undefined ? undefined : outcome.retryAfter * 1000;
      if (outcome.status === TOO_MANY_REQUESTS) await deps.budget.observe(account, { waitMs: wait ?? THROTTLED_MS });
      return await refuse(outcome.heal ? 'heal' : 'final', Math.ceil(wait ?? healAfter(deps)), words, true);
    }
    case 'unknown':
      if (outcome.unsent) return await refuse('heal', healAfter(deps), `not sent: ${outcome.cause}`);
      deps.log.warn({ ...facts, cause: outcome.cause }, 'launch not answered');
      return 'unknown';
  }
}

function healAfter(deps: TaskDeps): number {
  return Math.ceil(HEAL_MIN_MS + deps.random() * HEAL_SPREAD_MS);
}
