// The run record: one hash per run that outlives the jobs, changed by the Lua transitions alone.
import type { Redis } from 'ioredis';
import { createRunTransitions } from './run-transitions.ts';
import { createTaskTransitions } from './task-transitions.ts';

/** Milliseconds: records of ended runs outlive everything that SQS may redeliver (14 days). */
const DEFAULT_RETENTION_MS = 30 * 86_400_000;

export type Runs = ReturnType<typeof createRuns>;

/** All transitions on one connection. `retention`: milliseconds that an ended run's record is kept. */
export function createRuns(deps: { redis: Redis; retention?: number }) {
  const { redis } = deps;
  return {
    ...createRunTransitions({ redis, retention: deps.retention ?? DEFAULT_RETENTION_MS }),
    ...createTaskTransitions({ redis }),
  };
}
