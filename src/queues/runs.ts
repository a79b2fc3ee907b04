// The run record: one hash per run that outlives the jobs, changed by the Lua transitions alone.
import type { Redis } from 'ioredis';
import { createRunTransitions } from './run-transitions.ts';
import { createTaskTransitions } from './task-transitions.ts';

/** Milliseconds: records of ended runs outlive everything that SQS may redeliver (14 days). */
const DEFAULT_RETENTION_MS = 30 * 86_400_000;

export type Runs = ReturnType<typeof createRuns>;

/**
 * All transitions on one connection. `retention`: milliseconds that an ended run's record is kept. `shards`: how many have, or may have, runs at the
 * time of a call, for whoever makes runs; without it one.
 */
export function createRuns(deps: { redis: Redis; retention?: number; shards?: () => number }) {
  const { redis, shards = () => 1 } = deps;
  return {
    ...createRunTransitions({ redis, retention: deps.retention ?? DEFAULT_RETENTION_MS, shards }),
    ...createTaskTransitions({ redis }),
  };
}
