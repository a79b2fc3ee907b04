// Records of ended runs leave Redis when the retention of the resource's plan has passed; the archive keeps them.
import type { ArchiveQueue } from '../queues/archive.ts';
import type { Resource, Resources } from '../queues/resources.ts';
import type { Watch } from '../queues/watch.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { planOf } from '../schema/plans.ts';
import { type Loop, startLoop } from './loop.ts';

const DAY_MS = 86_400_000;
/** Days for a resource whose plan we do not know any more. */
const DEFAULT_DAYS = 30;
const PAGE = 200;

/** Milliseconds that the records of a plan's ended runs are kept. */
export function retentionOf(plan: string): number {
  return (planOf(plan)?.retention_days ?? DEFAULT_DAYS) * DAY_MS;
}

export interface RetentionDeps {
  readonly archive: ArchiveQueue;
  readonly resources: Pick<Resources, 'list'>;
  readonly watch: Watch;
  /** Milliseconds by plan. */
  readonly retention: (plan: string) => number;
  /** Redis' time in milliseconds. */
  readonly clock: () => Promise<number>;
  /** Milliseconds between two passes. */
  readonly every: number;
  readonly failpoint?: Failpoint | undefined;
  readonly log: Log;
}

/** Retires one shard's old records until stopped; one process at a time. */
export function startRetention(deps: RetentionDeps): Loop {
  return startLoop({
    name: 'retention',
    every: deps.every,
    log: deps.log,
    turn: async (signal) => {
      // not released: one pass in that time is enough, whoever makes it
      if ((await deps.watch.alone('retention', deps.every)) === undefined) return;
      for (const resource of await deps.resources.list()) {
        if (signal.aborted) return;
        try {
          const retired = await retireOld(deps, resource, signal);
          if (retired > 0) deps.log.info({ resource: resource.id, retired }, 'retired records');
        } catch (error) {
          deps.log.warn({ resource: resource.id, error: messageOf(error) }, 'records not retired');
        }
      }
    },
  });
}

/** Answers how many records went. */
async function retireOld(deps: RetentionDeps, resource: Resource, signal: AbortSignal): Promise<number> {
  const retention = deps.retention(resource.plan);
  const until = (await deps.clock()) - retention;
  let retired = 0;
  let offset = 0;
  for (;;) {
    const page = await deps.archive.accepted(resource.id, until, { offset, limit: PAGE });
    for (const runId of page) {
      if (signal.aborted) return retired;
      const result = await deps.archive.retire(resource.id, runId, retention);
      // what stays is passed over; what goes moves the others up
      if (result === 'young' || result === 'unarchived') offset += 1;
      else {
        deps.failpoint?.('retire.gone');
        retired += 1;
      }
    }
    if (page.length < PAGE) return retired;
  }
}
