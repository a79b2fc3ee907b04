// What a worker process does beside running workflows: the archive of ended runs and the retention of their records.
import type { ObjectStore } from '../clients/ports.ts';
import type { ArchiveQueue } from '../queues/archive.ts';
import type { Resources } from '../queues/resources.ts';
import type { Watch } from '../queues/watch.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import type { Log } from '../schema/log.ts';
import { archiveWaiting, startArchiving } from './archive.ts';
import { startRetention } from './retention.ts';

export interface BookkeepingDeps {
  readonly shards: readonly {
    readonly archive: ArchiveQueue;
    readonly watch: Watch;
    /** Redis' time in milliseconds. */
    readonly clock: () => Promise<number>;
  }[];
  readonly resources: Resources;
  readonly store: ObjectStore;
  /** The engine-only bucket; undefined: nothing is archived. */
  readonly archiveBucket: string | undefined;
  /** Milliseconds that the records of a plan's ended runs are kept. */
  readonly retention: (plan: string) => number;
  /** Milliseconds between two looks for records whose retention has passed. */
  readonly retentionMs: number;
  readonly now: () => number;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

export interface Bookkeeping {
  /** A run has ended in this process: it is archived now, not at the next look. */
  ended(): void;
  /** Resolves when all loops have ended; what has just ended is archived before, within `deadline` ms. */
  stop(deadline: number): Promise<void>;
}

/** Starts the loops of every shard. */
export function startBookkeeping(deps: BookkeepingDeps): Bookkeeping {
  const { store, log, now, failpoint } = deps;
  const bucket = deps.archiveBucket;
  const shards = deps.shards.map(({ archive, watch, clock }) => {
    const archiving = { archive, store, bucket, watch, now, failpoint, log };
    return {
      archiving,
      loop: startArchiving(archiving),
      retention: startRetention({
        archive,
        resources: deps.resources,
        watch,
        retention: deps.retention,
        clock,
        every: deps.retentionMs,
        log,
      }),
    };
  });
  return {
    ended: () => {
      for (const { loop } of shards) loop.nudge();
    },
    stop: async (deadline) => {
      await Promise.all(shards.flatMap(({ loop, retention }) => [loop.stop(), retention.stop()]));
      const signal = AbortSignal.timeout(deadline);
      await Promise.all(shards.map(({ archiving }) => archiveWaiting(archiving, signal))).catch((error: unknown) => {
        log.info({ error: String(error) }, 'left to the next archiver');
      });
    },
  };
}
