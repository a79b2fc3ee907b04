// A change of plan that Heroku asks for: it stays in force when Heroku is told so, and only then. What cannot be kept in time is set back.
import { setTimeout as sleep } from 'node:timers/promises';
import { within } from '../clients/deadline.ts';
import type { Audit } from '../queues/audit.ts';
import type { Hold, Locks } from '../queues/locks.ts';
import type { PlanUndo } from '../queues/plan-undo.ts';
import { untilAnswered } from '../queues/redis-outage.ts';
import type { Resources } from '../queues/resources.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';

/** Milliseconds that the archive has: less than Heroku's answer has, so that what it did not take is set back before that. */
const KEEP_MS = 2_000;
/** Milliseconds after which a change whose process died holds no other one up; one that S3 does not answer ends before (CALL_DEADLINE_MS, twice). */
const CHANGE_MS = 30_000;
/** Milliseconds between two looks at whether another change is done. */
const LOOK_MS = 40;

export interface PlanChangeDeps {
  readonly resources: Pick<Resources, 'get' | 'change'>;
  readonly locks: Locks;
  /** What is set back by workers where this process dies. */
  readonly planUndo: PlanUndo;
  readonly audit: Pick<Audit, 'append'>;
  /** undefined: nothing is archived. */
  readonly archive: { readonly keepPlan: (id: string, plan: string) => Promise<boolean> } | undefined;
  /** A new id, as no other. */
  readonly id: () => string;
  readonly log: Pick<Log, 'error'>;
}

/**
 * Puts a plan in force, in Redis, in the archive and in the audit log; answers false when the resource does not serve its customer any more. When that
 * fails or `signal` fires before, it is set back, and this throws then: while Redis is away that is later than anybody waits for it.
 */
export async function putPlan(
  deps: PlanChangeDeps,
  { id, plan, address }: { id: string; plan: string; address: string | undefined },
  signal: AbortSignal,
): Promise<boolean> {
  const { resources, audit } = deps;
  // of two at once, one would set back what Heroku was told of the other
  const hold = await lockOf(deps.locks, id, signal);
  const change = deps.id();
  let kept: Promise<unknown> = Promise.resolve();
  let setBackTo: string | undefined;
  const note = async (detail: string) =>
    await audit.append(id, { actor: 'heroku', action: 'plan.change', detail, ...(address === undefined ? {} : { address }) });
  const later = (error: unknown) =>
    deps.log.error({ resource: id, error: messageOf(error) }, 'a failed change of plan is set back when Redis answers');
  try {
    const found = await resources.get(id);
    const open = await deps.planUndo.of(id);
    // Heroku has the one of before a change whose process died
    const before = (open?.change === found?.plan_change ? open?.before : undefined) ?? found?.plan ?? plan;
    // Heroku may ask again for the plan that stands: it is written anew only where an earlier change may still be set back
    const set = before === plan && found?.plan_change === undefined ? { plan } : { plan, plan_change: change };
    let noted = false;
    signal.throwIfAborted();
    if (before !== plan) await deps.planUndo.keep(id, { change, before });
    try {
      if (!(await resources.change(id, { set })).done) return false;
      await within({ signal }, KEEP_MS, async () => {
        const known = deps.archive?.keepPlan(id, plan);
        kept = Promise.resolve(known).catch(() => {});
        if ((await known) === false) throw new Failure('redis_unavailable', 'It lost data meanwhile. Please try again.');
      });
      noted = before !== plan;
      if (noted) await note(`${before} → ${plan}`);
      signal.throwIfAborted();
      await deps.planUndo.drop(id);
      signal.throwIfAborted();
      return true;
    } catch (error) {
      if (before === plan) throw error;
      await untilAnswered(later, async () => {
        // the lock may have ended meanwhile: what came after this change stays
        const { done } = await resources.change(id, { set: { plan: before }, held: { plan_change: change } });
        if (done && noted) await note(`${plan} → ${before}: Heroku was not told in time`);
        if (!done) return;
        setBackTo = before;
        await deps.planUndo.drop(id);
      });
      throw error;
    }
  } finally {
    void finish(deps, { id, kept, setBackTo, hold });
  }
}

/** Waits for what the archive was asked for too long: it may have taken it, and is told what stands. Then another change may begin. */
async function finish(
  deps: PlanChangeDeps,
  { id, kept, setBackTo, hold }: { id: string; kept: Promise<unknown>; setBackTo: string | undefined; hold: Hold },
): Promise<void> {
  let held = hold;
  try {
    await kept;
    if (setBackTo !== undefined) {
      await untilAnswered(
        () => {},
        async () => {
          if (!(await held.renew())) held = await lockOf(deps.locks, id);
          await deps.archive?.keepPlan(id, setBackTo);
        },
      );
    }
  } catch (error) {
    deps.log.error({ resource: id, error: messageOf(error) }, 'a plan that was set back is not in the archive yet');
  }
  // its time ends, should Redis not hear of it
  await held.release().catch(() => {});
}

async function lockOf(locks: Locks, id: string, signal?: AbortSignal): Promise<Hold> {
  for (;;) {
    const hold = await locks.hold('plan', id, CHANGE_MS);
    if (hold !== undefined) return hold;
    await sleep(LOOK_MS, undefined, signal === undefined ? {} : { signal });
  }
}
