// The net under everything: whatever the records say should move and does not is rung again. In a healthy system it
// finds nothing.
import type { Budget } from '../queues/budget.ts';
import type { Planner } from '../queues/planner.ts';
import type { Runs } from '../queues/runs.ts';
import type { Sweeping } from '../queues/sweeping.ts';
import type { Watch } from '../queues/watch.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import type { Allowances } from './allowance.ts';
import { type Loop, startLoop } from './loop.ts';

/** Milliseconds that a run is left to the ordinary way before the sweep looks at it. */
const YOUNG_MS = 5_000;
const PAGE = 200;
/** Milliseconds that a sweeper which was killed keeps the others from sweeping; two at a time do no harm. */
const ALONE_MS = 15_000;

export interface SweepDeps {
  readonly runs: Runs;
  readonly planner: Planner;
  readonly sweeping: Sweeping;
  readonly watch: Watch;
  readonly budget: Budget;
  readonly allowances: Allowances;
  readonly sweepMs: number;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

/** Sweeps one shard until stopped; one process at a time. */
export function startSweeping(deps: SweepDeps): Loop {
  return startLoop({
    name: 'sweep',
    every: deps.sweepMs,
    log: deps.log,
    turn: async (signal) => {
      const release = await deps.watch.alone('sweep', Math.max(ALONE_MS, deps.sweepMs));
      if (release === undefined) return;
      try {
        await sweep(deps, signal);
      } finally {
        await release();
      }
    },
  });
}

/** One pass over all runs that have not ended. Answers how many it had to move. */
async function sweep(deps: SweepDeps, signal?: AbortSignal): Promise<number> {
  const now = await deps.sweeping.clock();
  let moved = 0;
  let offset = 0;
  for (;;) {
    const page = await deps.sweeping.live(now - YOUNG_MS, { offset, limit: PAGE });
    for (const runId of page) {
      if (signal?.aborted) return moved;
      try {
        const result = await sweepRun(deps, runId, now);
        if (result === 'ended') offset -= 1;
        if (result !== 'fine') {
          moved += 1;
          deps.failpoint('sweep.repaired');
        }
      } catch (error) {
        deps.log.warn({ runId, error: messageOf(error) }, 'run not swept');
      }
    }
    if (page.length < PAGE) return moved;
    offset += PAGE;
  }
}

async function sweepRun(deps: SweepDeps, runId: string, now: number): Promise<'fine' | 'moved' | 'ended'> {
  const { state, resource, expired, due, throttled, lost, settled, root } = await deps.sweeping.inspect(runId, now);
  if (state === undefined) {
    await deps.sweeping.forget(runId);
    return 'ended';
  }
  if (expired !== undefined) {
    deps.failpoint('sweep.found');
    await deps.runs.expire(runId, expired);
    deps.log.info({ runId, seconds: expired }, 'a run took longer than it may');
    return state === 'accepted' ? 'ended' : 'moved';
  }
  if (state === 'accepted') {
    deps.failpoint('sweep.found');
    await deps.planner.plan({ runId });
    deps.log.warn({ runId }, 'sweep planned a run');
    return 'moved';
  }
  if (settled && !root) {
    deps.failpoint('sweep.found');
    await deps.runs.finish(runId);
    deps.log.warn({ runId }, 'sweep ended a run');
    return 'ended';
  }
  if (lost.length > 0) {
    deps.failpoint('sweep.found');
    await deps.planner.restore(runId, lost);
    deps.log.warn({ runId, lost: lost.length }, 'sweep restored lost jobs');
    return 'moved';
  }
  // a task that waits for the launch budget must stand in its list
  const unlisted = await missing(deps, runId, resource, throttled);
  if (due.length + unlisted.length === 0) return 'fine';
  const rung = await deps.runs.ring(runId, [...due, ...unlisted]);
  if (rung > 0) deps.log.warn({ runId, rung }, 'sweep rang tasks');
  return rung > 0 ? 'moved' : 'fine';
}

async function missing(deps: SweepDeps, runId: string, resource: string, throttled: readonly string[]): Promise<readonly string[]> {
  if (throttled.length === 0) return [];
  const { account } = await deps.allowances.of(resource);
  const tasks = await deps.budget.missing(
    account,
    resource,
    throttled.map((task) => `${runId}.${task}`),
  );
  return tasks.map((task) => task.slice(runId.length + 1));
}
