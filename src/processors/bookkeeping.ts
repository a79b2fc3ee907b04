// What a worker process does beside running workflows: the archive of ended runs, the retention of their records, the sweep
// of buckets and the watch over losses of Redis.
import type { ObjectStore } from '../clients/ports.ts';
import type { ArchiveQueue } from '../queues/archive.ts';
import type { Layout } from '../queues/layout.ts';
import type { Ledger } from '../queues/ledger.ts';
import type { ResourceBackup } from '../queues/resource-backup.ts';
import type { ResourceJobs } from '../queues/resource-jobs.ts';
import type { Resources } from '../queues/resources.ts';
import type { StoreEpoch } from '../queues/store-epoch.ts';
import type { Watch } from '../queues/watch.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import type { Log } from '../schema/log.ts';
import type { ObjectCreated } from '../schema/s3-event.ts';
import { type ArchiveDeps, archiveWaiting, startArchiving } from './archive.ts';
import { createArchiveMarks } from './archive-marks.ts';
import { startEpoch } from './epoch.ts';
import type { Recall } from './recall.ts';
import { resumeResources } from './recovery.ts';
import { startRetention } from './retention.ts';
import { startBucketSweep } from './sweep-buckets.ts';

/** Milliseconds between two sweeps of a bucket, and until a version without a decision is late, where nobody says otherwise. */
const SWEEP_MS = 60_000;
const LATE_MS = 30_000;

export interface BookkeepingDeps {
  readonly ledger: Ledger;
  readonly backup: ResourceBackup;
  readonly epochs: StoreEpoch;
  readonly layout: Layout;
  /** Decides a version as its event would. */
  readonly decide: (event: ObjectCreated) => Promise<void>;
  /** Whether the event queue is empty. */
  readonly drained: () => Promise<boolean>;
  /** Milliseconds between two sweeps of a bucket. */
  readonly ledgerMs?: number | undefined;
  /** Milliseconds that an event may take before its version is decided without it. */
  readonly lateMs?: number | undefined;
  readonly shards: readonly {
    readonly archive: ArchiveQueue;
    readonly watch: Watch;
    /** Redis' time in milliseconds. */
    readonly clock: () => Promise<number>;
  }[];
  readonly resources: Resources;
  readonly purgeRemoved: ArchiveDeps['purgeRemoved'];
  /** Opens the queue of what is done to whole resources. */
  readonly resourceJobs: () => ResourceJobs;
  readonly store: ObjectStore;
  /** The engine-only bucket; undefined: nothing is archived. */
  readonly archiveBucket: string | undefined;
  /** Milliseconds that the records of a plan's ended runs are kept. */
  readonly retention: (plan: string) => number;
  /** Milliseconds between two looks for records whose retention has passed. */
  readonly retentionMs: number;
  readonly now: () => number;
  /** Milliseconds of a clock that nobody sets. */
  readonly monotonic: () => number;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

export interface Bookkeeping {
  /** What may be on its way back after a loss of Redis; undefined: nothing is archived. */
  readonly recall: Recall | undefined;
  /** A run has ended in this process: it is archived now, not at the next look. */
  ended(): void;
  /** No sweep begins any more; resolves when those that are under way have ended. */
  quiet(): Promise<void>;
  /** Resolves when all loops have ended; what has just ended is archived before, within `deadline` ms. Redis is not known to be whole any more. */
  stop(deadline: number): Promise<void>;
}

/** Starts the loops of every shard. */
export function startBookkeeping(deps: BookkeepingDeps): Bookkeeping {
  const { store, log, failpoint } = deps;
  const bucket = deps.archiveBucket;
  const shards = deps.shards.map(({ archive, watch, clock }) => {
    const { purgeRemoved } = deps;
    const archiving = { archive, store, bucket, watch, purgeRemoved, gone: deps.resources.gone, failpoint, log };
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
        failpoint,
        log,
      }),
    };
  });
  const first = deps.shards[0];
  const sweeps = bucket === undefined || first === undefined ? undefined : startSweeps(deps, bucket, first);
  return {
    recall: sweeps?.epoch.recall,
    ended: () => {
      for (const { loop } of shards) loop.nudge();
    },
    quiet: async () => await sweeps?.buckets.stop(),
    stop: async (deadline) => {
      await Promise.all([
        sweeps?.epoch.stop(),
        sweeps?.buckets.stop(),
        ...shards.flatMap(({ loop, retention }) => [loop.stop(), retention.stop()]),
      ]);
      const signal = AbortSignal.timeout(deadline);
      await Promise.all(shards.map(({ archiving }) => archiveWaiting(archiving, signal))).catch((error: unknown) => {
        log.info({ error: String(error) }, 'left to the next archiver');
      });
    },
  };
}

/** The loops that rest on the archive bucket. */
function startSweeps(deps: BookkeepingDeps, archiveBucket: string, { watch, clock }: BookkeepingDeps['shards'][number]) {
  const { store, ledger, backup, epochs, resources, log, now, failpoint } = deps;
  const marks = createArchiveMarks({ store, bucket: archiveBucket });
  const epoch = startEpoch({
    epochs,
    backup,
    marks,
    store,
    archiveBucket,
    // asked anew each time: there may be shards that this process, which started before them, does not serve
    get shards() {
      return deps.layout.served();
    },
    layout: deps.layout,
    watch,
    clock,
    now,
    monotonic: deps.monotonic,
    recovered: ledger.recovered,
    onRecovered: async () => {
      await ledger.allDue();
      await ledger.enlist((await resources.list()).map(({ id }) => id));
    },
    resume: async () => {
      const jobs = deps.resourceJobs();
      try {
        await resumeResources({ resources, jobs });
      } finally {
        await jobs.close();
      }
    },
    failpoint,
    log,
  });
  const buckets = startBucketSweep({
    ledger,
    resources,
    backup,
    epochs,
    marks,
    store,
    decide: deps.decide,
    whole: async () => await epoch.recall.settled(true),
    epoch: epoch.recall.epoch,
    lostFrom: epoch.recall.epochFor,
    drained: deps.drained,
    clock,
    everyMs: deps.ledgerMs ?? SWEEP_MS,
    lateMs: deps.lateMs ?? LATE_MS,
    failpoint,
    log,
  });
  return { buckets, epoch };
}
