// A launch's turn in the budget: asked for, given back, let go of.

import type { ReleasedOnly } from '../queues/budget.ts';
import type { Decision } from '../queues/decision.ts';
import { isRedisOutage } from '../queues/redis-outage.ts';
import type { Activation, TaskDeps } from './activation.ts';

/** Milliseconds until a launch is tried again that waits until Redis is known to be whole. */
export const UNSURE_MS = 250;

/**
 * Asks the launch budget. A task that must wait is rung when its turn comes. Answers false, and asks nobody, while Redis may have lost
 * what was launched, or while the budget's Redis takes nothing. `knownAt`: as of when (ms by Redis' clock) the record said that the task has no launch;
 * 0 when it was not asked. It answers false, too, when the task was given one since: another activation's launch counts on.
 */
export async function ask(deps: TaskDeps, activation: Activation, knownAt: number): Promise<boolean> {
  const { ref, resource } = activation;
  activation.whole = deps.whole();
  if (activation.whole === undefined) return false;
  const { account, concurrency } = await deps.allowances.of(resource);
  try {
    const { answer, slot } = await deps.budget.request({ account, resource, task: ref.id, concurrency }, knownAt);
    activation.budget = answer === 'holds' ? '' : answer;
    activation.slot = slot;
    return answer !== 'holds';
  } catch (error) {
    // in a cluster the budget is on another node than the record, and its trouble is not the task's, which it would poison
    if (!isRedisOutage(error)) throw error;
    return false;
  }
}

/**
 * A grant that the record did not turn into a launch is somebody else's; so is a launch that the task was given before or after it, and the place of a
 * task that came before its step's turn: it would be granted one launch after the other and use none, while nobody else is given any.
 */
export async function giveBack(deps: TaskDeps, activation: Activation, { action, detail }: Decision): Promise<void> {
  if (activation.budget === 'granted') await release(deps, activation, true, [activation.slot, activation.slot]);
  else if (activation.budget === 'queued' && action === 'park' && detail !== 'throttle') await release(deps, activation, false, 'place');
  activation.budget = '';
}

/** The task does not hold, or want, a launch any more. Not waited for: the audit finds what is lost on the way. */
export async function release(deps: TaskDeps, { ref, resource }: Activation, refund: boolean, only: ReleasedOnly = ''): Promise<void> {
  const { account } = await deps.allowances.of(resource);
  deps.budget.releaseSoon({ account, resource, task: ref.id }, refund, only, deps.nudgeGrants);
}
