// The net under everything: whatever the records say should move and does not is rung again. In a healthy system it
// finds nothing.
import type { Budget } from '../queues/budget.ts';
import type { Planner } from '../queues/planner.ts';
import type { Runs } from '../queues/runs.ts';
import type { Finding, Sweeping } from '../queues/sweeping.ts';
import type { Watch } from '../queues/watch.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import type { Allowances } from './allowance.ts';
import { type Loop, startLoop } from './loop.ts';

/** Milliseconds that a run is left to the ordinary way before the sweep looks at it. */
const YOUNG_MS = 5_000;
/** Runs that one turn looks at, about: a quarter of a second of Redis. With more a whole round takes several turns. */
const PER_TURN = 20_000;
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
  /** Milliseconds that a task waits for its output after its dyno's end. */
  readonly graceMs: number;
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

/** One pass over the runs that have not ended, or as many as a turn takes. Answers how many it had to move. */
async function sweep(deps: SweepDeps, signal?: AbortSignal): Promise<number> {
  const now = await deps.sweeping.clock();
  const from = await deps.sweeping.place();
  let rank = from;
  let moved = 0;
  for (;;) {
    const { scope, looked, found } = await deps.sweeping.look(now - YOUNG_MS, rank, deps.graceMs);
    const unlisted = await missing(deps, found);
    for (const finding of found) {
      if (signal?.aborted) return moved;
      try {
        const result = await sweepRun(deps, finding, unlisted.get(finding.runId) ?? []);
        // what has ended stands in nobody's way: the next one has its rank
        if (result === 'ended') rank -= 1;
        if (result !== 'fine') {
          moved += 1;
          deps.failpoint('sweep.repaired');
        }
      } catch (error) {
        deps.log.warn({ runId: finding.runId, error: messageOf(error) }, 'run not swept');
      }
    }
    rank += looked;
    const over = looked === 0 || rank >= scope;
    if (over || signal?.aborted || rank - from >= PER_TURN) {
      await deps.sweeping.leave(over ? 0 : rank);
      return moved;
    }
  }
}

async function sweepRun(deps: SweepDeps, finding: Finding, unlisted: readonly string[]): Promise<'fine' | 'moved' | 'ended'> {
  const { runId, state, expired, due, lost, settled, root } = finding;
  if (state === undefined) {
    await deps.sweeping.forget(runId);
    return 'ended';
  }
  if (expired !== undefined) {
    deps.failpoint('sweep.found');
    const result = await deps.runs.expire(runId, expired);
    deps.log.info({ runId, seconds: expired }, 'a run took longer than it may');
    return result === 'failed' ? 'ended' : 'moved';
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
  if (due.length + unlisted.length === 0) return 'fine';
  const rung = await deps.runs.ring(runId, [...due, ...unlisted]);
  if (rung > 0) deps.log.warn({ runId, rung }, 'sweep rang tasks');
  return rung > 0 ? 'moved' : 'fine';
}

/** Tasks (`step.index`) by run that wait for the launch budget and do not stand in its lists. */
async function missing(deps: SweepDeps, found: readonly Finding[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const waiting = found.flatMap(({ runId, resource, throttled }) => throttled.map((task) => ({ runId, resource, id: `${runId}.${task}` })));
  const lost = new Map<string, string[]>();
  for (const [resource, tasks] of Map.groupBy(waiting, (one) => one.resource)) {
    const { account } = await deps.allowances.of(resource);
    const unlisted = new Set(
      await deps.budget.missing(
        account,
        resource,
        tasks.map(({ id }) => id),
      ),
    );
    for (const { runId, id } of tasks) {
      if (unlisted.has(id)) lost.set(runId, [...(lost.get(runId) ?? []), id.slice(runId.length + 1)]);
    }
  }
  return lost;
}
