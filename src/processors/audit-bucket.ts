// Looks at a bucket now, changes nothing, and says whether every version has its decision.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ObjectStore } from '../clients/ports.ts';
import type { Ledger } from '../queues/ledger.ts';
import type { Locks } from '../queues/locks.ts';
import { Failure } from '../schema/failures.ts';
import type { AuditOrder, LedgerAudit } from '../schema/ledger-view.ts';
import type { ArchiveMarks } from './archive-marks.ts';
import { compareBucket, scopeFrom } from './compare-bucket.ts';

/** Pages of the bucket's list, and milliseconds, after which an answer ends: Heroku's router gives a request 30 s. */
const PAGES = 20;
const PAGES_MS = 5_000;
/** Milliseconds that an audit waits for another one of the bucket, between two looks, and until one whose process died counts for nothing. */
const TURN_MS = 15_000;
const LOOK_MS = 100;
const LOCK_MS = 30_000;

export interface AuditDeps {
  readonly ledger: Ledger;
  readonly store: ObjectStore;
  readonly marks: ArchiveMarks;
  readonly locks: Locks;
  /** Milliseconds that an event may take. */
  readonly lateMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Compares a part of the bucket with the decisions, of a small bucket all of it; one call per bucket at a time. Throws what store and Redis
 * throw, and Failure conflict when the bucket is being audited for so long that the call would take too long.
 */
export async function auditBucket(
  deps: AuditDeps,
  resource: { readonly id: string; readonly bucket: string },
  order: AuditOrder,
  signal: AbortSignal,
): Promise<LedgerAudit> {
  const release = await takeTurn(deps, resource.id, signal);
  try {
    return await audit(deps, resource, order, signal);
  } finally {
    await release();
  }
}

/** Each audit lists up to 20,000 versions: as many as there are clients at the same time would be much for S3 and this process. */
async function takeTurn(deps: AuditDeps, resource: string, signal: AbortSignal): Promise<() => Promise<void>> {
  for (const until = deps.now() + TURN_MS; ; await sleep(LOOK_MS, undefined, { signal })) {
    const release = await deps.locks.take('audit', resource, LOCK_MS);
    if (release !== undefined) return release;
    if (deps.now() >= until) throw new Failure('conflict', 'Another audit of this bucket is under way. Try again.');
  }
}

async function audit(
  deps: AuditDeps,
  resource: { readonly id: string; readonly bucket: string },
  order: AuditOrder,
  signal: AbortSignal,
): Promise<LedgerAudit> {
  const now = deps.now();
  // as it stands now, also when this is not the first page: what an account has of before a watermark is forgotten
  const mark = await deps.marks.watermark(resource);
  const range = { since: mark?.since ?? now, from: scopeFrom(mark?.at ?? now, now) };
  const goOn = (pages: number) => pages < PAGES && deps.now() - now < PAGES_MS;
  const found = await compareBucket(deps, resource, range, { signal, next: order.cursor, goOn });
  const missing = found.missing.filter(({ modifiedAt }) => modifiedAt <= now - deps.lateMs);
  const [oldest] = found.missing;
  return {
    resource: resource.id,
    bucket: resource.bucket,
    in_scope: found.inScope,
    accounted_for: found.inScope - found.missingCount,
    in_flight: found.missingCount - missing.length,
    missing: missing.length,
    oldest_unaccounted:
      oldest === undefined ? null : { key: oldest.key, version_id: oldest.versionId, saved_at: new Date(oldest.modifiedAt).toISOString() },
    before_account: found.before,
    watermark: mark === undefined ? null : { at: new Date(mark.at).toISOString(), since: new Date(mark.since).toISOString() },
    audited_at: new Date(now).toISOString(),
    next: found.next ?? null,
  };
}
