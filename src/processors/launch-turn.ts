// A launch's turn in the budget: asked for, given back, let go of.
import type { Activation, TaskDeps } from './activation.ts';

/** Milliseconds until a launch is tried again that waits until Redis is known to be whole. */
export const UNSURE_MS = 250;

/**
 * Asks the launch budget. A task that must wait is rung when its turn comes. Answers false, and asks nobody, while Redis may have lost
 * what was launched.
 */
export async function ask(deps: TaskDeps, activation: Activation): Promise<boolean> {
  const { ref, resource } = activation;
  activation.whole = deps.whole();
  if (activation.whole === undefined) return false;
  const { account, concurrency } = await deps.allowances.of(resource);
  activation.budget = await deps.budget.request({ account, resource, task: ref.id, concurrency });
  return true;
}

/** A grant that the record did not turn into a launch is somebody else's. */
export async function giveBack(deps: TaskDeps, activation: Activation): Promise<void> {
  if (activation.budget === 'granted') await release(deps, activation, true);
  activation.budget = '';
}

/** The task does not hold, or want, a launch any more. Not waited for: the audit finds what is lost on the way. */
export async function release(deps: TaskDeps, { ref, resource }: Activation, refund: boolean): Promise<void> {
  const { account } = await deps.allowances.of(resource);
  deps.budget.releaseSoon({ account, resource, task: ref.id }, refund, deps.nudgeGrants);
}
