// Hands out the launch budget: as tokens come, the next task in turn is granted its launch and rung. Every worker process
// does it; each turn is one script, so two at a time share the work and nothing else.
import type { Budget } from '../queues/budget.ts';
import { refOf } from '../queues/run-record.ts';
import type { Runs } from '../queues/runs.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import type { Log } from '../schema/log.ts';
import { type Loop, startLoop } from './loop.ts';

/** Milliseconds between two turns while nothing waits. A task that is queued here nudges; another process' task waits for this at most. */
const IDLE_MS = 500;
/** Milliseconds between two turns at least. */
const BUSY_MS = 5;

export interface GrantDeps {
  readonly budget: Budget;
  readonly runs: Runs;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

/** Grants launches until stopped; `nudge` when a task was queued or a place became free. */
export function startGranting(deps: GrantDeps): Loop {
  return startLoop({
    name: 'grant',
    every: IDLE_MS,
    log: deps.log,
    turn: async () => {
      let next = IDLE_MS;
      for (const account of await deps.budget.accounts()) {
        const { grants, again } = await deps.budget.grant(account);
        if (grants.length > 0) deps.failpoint('grant.given');
        await Promise.all(
          grants.map(async ({ task, resource }) => {
            const ref = refOf(task);
            const wanted = ref !== undefined && (await deps.runs.granted(ref));
            deps.failpoint('grant.told');
            // by now another grant of the task may have been given, and used
            if (!wanted) await deps.budget.release({ account, resource, task }, true, 'grant');
          }),
        );
        if (again !== undefined) next = Math.min(next, again);
      }
      return Math.max(next, BUSY_MS);
    },
  });
}
