// Sets a plan back that a web process put in force, and of which it died before Heroku was told: Heroku has the one of before.
import type { Locks } from '../queues/locks.ts';
import type { PlanUndo } from '../queues/plan-undo.ts';
import type { DeprovisionDeps } from './deprovision.ts';

/** Milliseconds after which setting it back, whose process died, holds no change of plan up. */
const SET_BACK_MS = 30_000;

export interface SetBackPlanDeps extends Pick<DeprovisionDeps, 'resources' | 'audit' | 'archive' | 'log'> {
  readonly planUndo: Pick<PlanUndo, 'of' | 'drop'>;
  readonly locks: Locks;
}

/** Repeatable. Nothing while whoever changes the plan may still be at work, or where another change came since. Throws what Redis and the archive throw. */
export async function setBackPlan(deps: SetBackPlanDeps, id: string): Promise<void> {
  const { planUndo } = deps;
  if ((await planUndo.of(id)) === undefined) return;
  const release = await deps.locks.take('plan', id, SET_BACK_MS);
  if (release === undefined) return;
  try {
    const undo = await planUndo.of(id);
    if (undo === undefined) return;
    const { change, before } = undo;
    const { done } = await deps.resources.change(id, { set: { plan: before }, held: { plan_change: change } });
    if (done) {
      await deps.archive?.keepPlan(id, before);
      await deps.audit.append(id, { actor: 'engine', action: 'plan.change', detail: `back to ${before}: Heroku was not told of another` });
      deps.log.warn({ resource: id, plan: before }, 'set a plan back of which Heroku was not told');
    }
    await planUndo.drop(id);
  } finally {
    await release();
  }
}
