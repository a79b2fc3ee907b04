// The budget's lists stand beside the records, in a slot of their own, so a process that dies between the two leaves them
// apart. This loop compares them: a launch that is held for a task which does not launch is let go. It also tells the budget of a
// change of plan: tasks that wait ask nothing.
import type { Budget, ReleasedOnly } from '../queues/budget.ts';
import { refOf } from '../queues/run-record.ts';
import type { Runs } from '../queues/runs.ts';
import type { Watch } from '../queues/watch.ts';
import type { Log } from '../schema/log.ts';
import type { Allowances } from './allowance.ts';
import { type Loop, startLoop } from './loop.ts';

/** Milliseconds between a grant and the recorded launch at most, with a margin: younger entries are left alone. */
const YOUNG_MS = 30_000;
/** Milliseconds that an auditor which was killed keeps the others from it. */
const ALONE_MS = 30_000;
/** Entries of one resource that a turn compares, about: 10 ms. With more a whole round takes several turns; a worker that waits has little else to do. */
const PER_TURN = 2_000;

export interface BudgetAuditDeps {
  readonly budget: Budget;
  readonly allowances: Pick<Allowances, 'of'>;
  readonly runs: Pick<Runs, 'launchesOf'>;
  readonly watch: Pick<Watch, 'alone'>;
  readonly everyMs: number;
  readonly nudgeGrants: () => void;
  readonly log: Log;
}

/** Audits until stopped; one process at a time. */
export function startBudgetAudit(deps: BudgetAuditDeps): Loop {
  /** Where a resource's next turn goes on, when it has more entries than one takes. */
  const places = new Map<string, number>();
  return startLoop({
    name: 'budget audit',
    every: deps.everyMs,
    log: deps.log,
    turn: async (signal) => {
      const release = await deps.watch.alone('budget', Math.max(ALONE_MS, deps.everyMs));
      if (release === undefined) return;
      try {
        for (const account of await deps.budget.accounts()) {
          for (const resource of await deps.budget.resources(account)) {
            if (signal.aborted) return;
            const place = await auditResource(deps, account, resource, places.get(resource) ?? 0, signal);
            if (place > 0) places.set(resource, place);
            else places.delete(resource);
          }
        }
      } finally {
        await release();
      }
    },
  });
}

/** Compares from the entry at `from` on; answers where to go on, 0 when it came to the end. */
async function auditResource(deps: BudgetAuditDeps, account: string, resource: string, from: number, signal: AbortSignal): Promise<number> {
  const heldBefore = (await deps.budget.clock(account)) - YOUNG_MS;
  let offset = from;
  for (;;) {
    if (signal.aborted || offset - from >= PER_TURN) return offset;
    const { waiting, held, more } = await deps.budget.entries(account, resource, { offset, heldBefore });
    if (waiting.length > 0 && offset === from) {
      const { concurrency } = await deps.allowances.of(resource);
      if (await deps.budget.allow(account, resource, concurrency)) deps.nudgeGrants();
    }
    if (offset === 0 && waiting.length + held.length === 0) await deps.budget.idle(account, resource);
    const wants = await deps.runs.launchesOf([...waiting, ...held].flatMap((task) => refOf(task) ?? []));
    let released = 0;
    const check = async (task: string, wanted: 'waits' | 'holds', only: ReleasedOnly) => {
      if (wants.get(task) === wanted) return;
      released += 1;
      if (await deps.budget.release({ account, resource, task }, false, only)) deps.nudgeGrants();
    };
    // a task may have been launched since it was read: what it holds now is another launch than the one that was seen
    for (const task of waiting) await check(task, 'waits', 'place');
    for (const task of held) await check(task, 'holds', [0, heldBefore]);
    if (released > 0) deps.log.warn({ resource, released }, 'let go of launches that nobody makes');
    if (!more) return 0;
    offset += Math.max(waiting.length, held.length) - released;
  }
}
