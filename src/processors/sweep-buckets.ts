// The sweep that compares buckets with decisions. What has none, though it should by now, is decided on the way that events
// take. In a healthy system it finds nothing; after a lost event or a loss of Redis it makes good.
import type { ObjectStore, ObjectVersion } from '../clients/ports.ts';
import type { Ledger } from '../queues/ledger.ts';
import type { ResourceBackup } from '../queues/resource-backup.ts';
import type { Resource, Resources } from '../queues/resources.ts';
import type { StoreEpoch } from '../queues/store-epoch.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import type { ObjectCreated } from '../schema/s3-event.ts';
import type { ArchiveMarks } from './archive-marks.ts';
import { beginAccount } from './begin-account.ts';
import { type Comparison, compareBucket, scopeFrom } from './compare-bucket.ts';
import type { Loop } from './loop.ts';
import { createSweepMemory, type SweepMemory } from './sweep-memory.ts';
import { startSlots } from './sweep-slots.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Milliseconds that a new bucket is swept every minute for: S3 takes about five minutes to begin to notify. */
const NEW_MS = 600_000;
/** Milliseconds after which a version without a decision is late even while the queue has a backlog. */
const BACKLOG_LATE_MS = 900_000;
/** Milliseconds between two sweeps for each further page of a bucket's list, so that a large bucket is not listed all the time. */
const PER_PAGE_MS = 10_000;
/** Milliseconds, a fortnight: a watermark that old is about to leave what a sweep looks at (compare-bucket.ts). */
const OLD_MARK_MS = 14 * 86_400_000;
/** Versions that are decided at the same time. */
const AT_ONCE = 8;

export interface BucketSweepDeps {
  readonly ledger: Ledger;
  readonly resources: Resources;
  readonly backup: ResourceBackup;
  readonly epochs: StoreEpoch;
  readonly marks: ArchiveMarks;
  readonly store: ObjectStore;
  /** Decides a version as its event would; `tries` counts from 1. Throws what comes again. */
  readonly decide: (event: ObjectCreated) => Promise<void>;
  /** Resolves with the epoch when Redis is found whole now, or made whole; throws while it is not. */
  readonly whole: () => Promise<number>;
  /** The epoch, when Redis was whole when this process looked last. */
  readonly epoch: () => number | undefined;
  /** The epoch, for what was saved (ms) before it began: Redis may have lost its decision. */
  readonly lostFrom: (saved: number) => number | undefined;
  /** Whether the event queue is empty. */
  readonly drained: () => Promise<boolean>;
  /** Redis' time in milliseconds. */
  readonly clock: () => Promise<number>;
  /** Milliseconds between two sweeps of a bucket. */
  readonly everyMs: number;
  /** Milliseconds that an event may take before its version is decided without it. */
  readonly lateMs: number;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

/** Of one sweep under way. */
interface Course {
  readonly signal: AbortSignal;
  /** Asked after each page of a list: whether it may become that long. */
  readonly goOn: (pages: number) => boolean;
}

/** Sweeps all buckets, each when it is due, until stopped; several at a time, each in one process. */
export function startBucketSweep(deps: BucketSweepDeps, memory: SweepMemory = createSweepMemory()): Loop {
  return startSlots({
    ledger: deps.ledger,
    all: async () => {
      const ids = (await deps.resources.list()).map(({ id }) => id);
      // another process may have swept what is gone last
      memory.keep(ids);
      return ids;
    },
    epoch: deps.epoch,
    clock: deps.clock,
    everyMs: deps.everyMs,
    log: deps.log,
    sweep: async (id, course) => {
      const resource = await deps.resources.get(id);
      if (resource !== undefined) return await sweepWhatThereIs(deps, resource, memory, course);
      memory.forget(id);
      await forget(deps, id);
      return undefined;
    },
  });
}

/** The archive learns that the resource is removed, so that no loss of Redis brings it back. */
async function forget(deps: BucketSweepDeps, id: string): Promise<void> {
  const tombstone = await deps.backup.dump(id);
  if (tombstone?.state === 'removed') await deps.marks.backUp(id, tombstone.text);
  await deps.ledger.strike(id);
}

/** Backs the resource up and sweeps its bucket. Answers after how many milliseconds the next sweep is due, whatever became of this one. */
async function sweepWhatThereIs(deps: BucketSweepDeps, resource: Resource, memory: SweepMemory, course: Course): Promise<number> {
  try {
    await backUp(deps, resource.id, memory);
    // its bucket is gone, or being emptied: nothing in it is anybody's any more
    if (resource.state === 'failed' || resource.state === 'deprovisioning') return deps.everyMs;
    return await sweepBucket(deps, resource, course);
  } catch (error) {
    if (!course.signal.aborted)
      deps.log.warn({ resource: resource.id, bucket: resource.bucket, error: messageOf(error) }, 'bucket not swept');
    return Math.min(deps.everyMs, MINUTE_MS);
  }
}

/**
 * Backs a resource up when it is another one than the archive has. Not while it is being made or removed: that is kept step by step by whoever does
 * it. Nor what a Redis says that may have lost data: it would take the place of what is to be put back.
 */
async function backUp(deps: BucketSweepDeps, id: string, memory: SweepMemory): Promise<void> {
  if (memory.hasBackup(id) && memory.isBackedUp(id, (await deps.backup.dump(id))?.text)) return;
  const epoch = await deps.whole();
  const found = await deps.backup.dump(id);
  if (found === undefined || (found.state !== 'provisioned' && found.state !== 'failed')) return;
  // another process may have kept it, or this one before it was started anew: nobody needs one more version of the same
  const kept = await deps.marks.backup(id, deps.log);
  if ((await deps.whole()) !== epoch) return;
  if (kept !== found.text) await deps.marks.backUp(id, found.text);
  memory.noteBackup(id, found.text);
}

/** One sweep of one bucket. Answers after how many milliseconds the next is due. */
async function sweepBucket(deps: BucketSweepDeps, resource: Resource, course: Course): Promise<number> {
  const epoch = await deps.whole();
  const began = await deps.clock();
  const mark = (await deps.marks.watermark(resource)) ?? (await beginAccount(deps, resource, began));
  const from = scopeFrom(mark.at, began);
  const range = { since: mark.since, from };
  let found = await compareBucket(deps, resource, range, course);
  if (found.next !== undefined) return tooLong(deps, resource);
  const late = began - ((await isDrained(deps, resource)) ? deps.lateMs : Math.max(deps.lateMs, BACKLOG_LATE_MS));
  // what Redis may have lost has no event any more: waiting for the queue would be waiting for its outputs, which wait for it
  const lost = ({ modifiedAt }: ObjectVersion) => deps.lostFrom(modifiedAt) === epoch;
  const isOverdue = (version: ObjectVersion) => version.modifiedAt <= late || lost(version);
  const overdue = found.missing.filter(isOverdue);
  let fate: Fate = { decided: 0, orphaned: new Set() };
  if (overdue.length > 0) {
    if ((await deps.whole()) !== epoch) return 0;
    deps.log.warn({ resource: resource.id, missing: overdue.length }, 'versions without a decision: decided by the sweep');
    fate = await decideAll(deps, resource, overdue, course.signal);
    found = await compareBucket(deps, resource, range, course);
    if (found.next !== undefined) return tooLong(deps, resource);
  }
  deps.failpoint('ledger.compared');
  const open = found.missing.filter(lost);
  // nothing of before the loss is left, or nothing but outputs of runs that nothing of before the loss starts
  const recovered = open.length === 0 || (fate.decided === 0 && open.every(({ versionId }) => fate.orphaned.has(versionId)));
  const at = await passedUntil(deps, resource, found, began);
  // what was read from a Redis that lost data meanwhile proves nothing
  if ((await deps.whole()) !== epoch) return 0;
  const watermark = at > mark.at ? await deps.marks.setWatermark(resource, { since: mark.since, begun: mark.begun, at }) : mark;
  deps.failpoint('ledger.marked');
  if (began - watermark.at > OLD_MARK_MS)
    deps.log.warn(
      { resource: resource.id, watermark: watermark.at },
      'a run is open for so long that its file would not be found again after a loss of Redis',
    );
  await note(deps, resource, found, { watermark, began, recovered: recovered ? epoch : undefined, isOverdue });
  // what stands an hour and a little before the watermark is not asked for any more
  await deps.ledger.trim(resource.id, from - 48 * HOUR_MS, from - HOUR_MS);
  const soon = Math.min(deps.everyMs, MINUTE_MS);
  if (found.missing.some(isOverdue) || began - mark.begun < NEW_MS) return soon;
  // in a bucket that is in use something is always on its way
  return Math.max(found.missing.length > 0 ? soon : deps.everyMs, (found.pages - 1) * PER_PAGE_MS);
}

/**
 * A queue that does not answer is not drained (overdue.ts): its events are waited for longer, and the sweep goes on. What a loss of Redis has left open
 * waits for no event at all, and is least of all to wait for SQS.
 */
async function isDrained(deps: BucketSweepDeps, resource: Resource): Promise<boolean> {
  try {
    return await deps.drained();
  } catch (error) {
    deps.log.warn({ resource: resource.id, error: messageOf(error) }, 'queue not asked');
    return false;
  }
}

/** A list that was broken off proves nothing: the bucket is swept when fewer large ones are. */
function tooLong(deps: BucketSweepDeps, resource: Resource): number {
  deps.log.info({ resource: resource.id, bucket: resource.bucket }, 'a large bucket waits for other large ones');
  return Math.min(deps.everyMs, MINUTE_MS);
}

/** Up to when (ms) everything is accounted for and over: what is still open would have to be found again after a loss. */
async function passedUntil(deps: BucketSweepDeps, resource: Resource, found: Comparison, began: number): Promise<number> {
  const open = await deps.epochs.oldestOpen(resource.id);
  const oldest = found.missing[0]?.modifiedAt;
  return Math.min(began, (oldest ?? began) - 1, (open ?? began) - 1);
}

/** What became of the versions that a sweep decided. */
interface Fate {
  readonly decided: number;
  /** Versions that are outputs of runs which are not there. */
  readonly orphaned: ReadonlySet<string>;
}

async function decideAll(
  deps: BucketSweepDeps,
  resource: Resource,
  versions: readonly ObjectVersion[],
  signal: AbortSignal,
): Promise<Fate> {
  const left = [...versions];
  const orphaned = new Set<string>();
  let decided = 0;
  const work = async () => {
    for (let version = left.shift(); version !== undefined; version = left.shift()) {
      if (signal.aborted) return;
      const { key, versionId, etag, size, modifiedAt } = version;
      try {
        const event = { bucket: resource.bucket, key, versionId, etag, size, time: modifiedAt, eventName: 'ObjectCreated:Put' };
        await deps.decide(event);
        decided += 1;
      } catch (error) {
        if (error instanceof Failure && error.code === 'run_lost') orphaned.add(versionId);
        deps.log.warn({ resource: resource.id, key, error: messageOf(error) }, 'version not decided yet');
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { decided, orphaned };
}

async function note(
  deps: BucketSweepDeps,
  resource: Resource,
  found: Comparison,
  {
    watermark,
    began,
    recovered,
    isOverdue,
  }: {
    watermark: { at: number; since: number };
    began: number;
    recovered: number | undefined;
    isOverdue: (version: ObjectVersion) => boolean;
  },
): Promise<void> {
  // one that is on its way is decided long before the next sweep of a large bucket, and would pass for the oldest until then
  const overdue = found.missing.filter(isOverdue);
  const [oldest] = overdue;
  // the youngest may be left out of very many
  const unaccounted = overdue.length === found.missing.length ? found.missingCount : overdue.length;
  await deps.ledger.write(resource.id, {
    bucket: resource.bucket,
    inScope: found.inScope,
    accountedFor: found.inScope - found.missingCount,
    unaccounted,
    oldestUnaccounted:
      oldest === undefined
        ? undefined
        : { key: oldest.key, version_id: oldest.versionId, saved_at: new Date(oldest.modifiedAt).toISOString() },
    beforeAccount: found.before,
    watermark: { at: watermark.at, since: watermark.since },
    sweptAt: began,
    recovered,
  });
}
