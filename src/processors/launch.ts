// The one POST of an attempt.
import type { LaunchOutcome } from '../clients/ports.ts';
import type { Decision } from '../queues/decision.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Activation, TaskDeps } from './activation.ts';
import { launchOrder } from './launch-order.ts';
import { release, UNSURE_MS } from './launch-turn.ts';

/** Milliseconds between the recorded intent and the POST at most; a frozen process finds out here and sends nothing. */
export const NOT_AFTER_MS = 1_000;
/** Milliseconds that the one POST may take, answer included. */
export const LAUNCH_DEADLINE_MS = 10_000;
/** Milliseconds until a launch that time heals is tried again: spread between one and five seconds. */
const HEAL_MIN_MS = 1_000;
const HEAL_SPREAD_MS = 4_000;
/** Milliseconds that an account is left alone after a 429 that does not say how long; 75 calls come back in a minute. */
const THROTTLED_MS = 5_000;
const TOO_MANY_REQUESTS = 429;

/** Why a launch waits for the customer's own account. */
export const NO_CALLS = 'The Heroku account whose token starts its dynos has no calls left.';

/** Reads what a launch that may be decided now will need, so that it is there by then. */
export function prepare(deps: TaskDeps, activation: Activation): void {
  activation.launchable = deps.resources.launchable(activation.resource);
  // where it fails, the launch says so
  activation.launchable.catch(() => {});
}

/** Sends the launch that was decided, unless that changed meanwhile. What it leads to is recorded before anything else happens. */
export async function launch(
  deps: TaskDeps,
  activation: Activation,
  decision: Decision,
  asked: number,
): Promise<'park' | 'again' | 'unknown'> {
  const { ref, task, resource, heard } = activation;
  const { attempt } = decision;
  const { account, commands } = await deps.allowances.of(resource);
  activation.budget = '';
  const found = activation.launchable ?? deps.resources.launchable(resource);
  activation.launchable = undefined;
  const refuse = async (kind: 'heal' | 'unsent' | 'held' | 'final', delay: number, detail: string, sent = false) => {
    await release(deps, activation, !sent, [activation.slot, activation.slot]);
    await deps.runs.refused({ ref, resource, attempt, kind, delay, retries: task.retries, code: 'launch_refused', detail });
    deps.failpoint('task.refused');
    return 'again' as const;
  };
  if (decision.facts === undefined) throw new Failure('internal', `Task ${ref.id} is to be launched without its facts.`);
  const order = await launchOrder(found, { ref, task, attempt, now: decision.now, facts: decision.facts }).catch(async (error: unknown) => {
    // nothing was sent, so the attempt stays free; that it got nowhere counts
    await refuse('unsent', 0, messageOf(error));
    throw error;
  });
  if (order === undefined) return await refuse('final', 0, 'The add-on is not installed any more.');
  if (order.endsEarly)
    return await refuse('heal', healAfter(deps), 'Its credentials would end before its deadline: they are not rotated yet.');
  const held = deps.ownLimits.left(resource);
  if (held > 0) return await refuse('held', Math.ceil(held) + healAfter(deps), NO_CALLS);
  if (commands === 'procfile') {
    const fault = await deps.checkCommand(order.app, task.cmd);
    if (fault?.wait === true) return await refuse('heal', healAfter(deps), fault.message);
    if (fault !== undefined) return await refuse('final', 0, fault.message);
  }
  deps.failpoint('task.intent');
  // The line before the send: an activation that slept since its decision may no longer be the one that counts.
  const changedSince = (): readonly [delay: number, why: string] | undefined => {
    if (heard.cancel) return [0, 'The run is being cancelled.'];
    if (heard.output) return [0, 'The output is there already.'];
    if (deps.monotonic() - asked > NOT_AFTER_MS) return [0, 'The launch came too late and was not sent.'];
    if (deps.whole() !== activation.whole) return [UNSURE_MS, 'The connection to Redis broke; the launch was not sent.'];
    return undefined;
  };
  const changed = changedSince();
  if (changed !== undefined) return await refuse('heal', ...changed);
  const outcome: LaunchOutcome = await deps.platform.launch(order.app, order, {
    deadline: LAUNCH_DEADLINE_MS,
    // getting the token may take a while
    mayStill: () => changedSince() === undefined,
  });
  deps.failpoint('task.posted');
  const facts = { taskId: ref.id, attempt, runId: ref.runId };
  switch (outcome.outcome) {
    case 'accepted': {
      const { dyno } = outcome;
      if (order.byCustomer) deps.ownLimits.end(resource);
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
      if (outcome.status === TOO_MANY_REQUESTS) {
        // a customer's token is of the customer's account, of which nobody else's launches are made
        if (order.byCustomer) return await refuse('held', Math.ceil(deps.ownLimits.begin(resource, wait)) + healAfter(deps), words, true);
        await deps.budget.observe(account, { waitMs: wait ?? THROTTLED_MS });
      }
      return await refuse(outcome.heal ? 'heal' : 'final', Math.ceil(wait ?? healAfter(deps)), words, true);
    }
    case 'unknown':
      if (outcome.unsent) return await refuse('heal', healAfter(deps), `not sent: ${outcome.cause}`);
      deps.log.warn({ ...facts, cause: outcome.cause }, 'launch not answered');
      return 'unknown';
  }
}

/** Milliseconds until a launch that time heals is tried again. */
export function healAfter(deps: Pick<TaskDeps, 'random'>): number {
  return Math.ceil(HEAL_MIN_MS + deps.random() * HEAL_SPREAD_MS);
}
