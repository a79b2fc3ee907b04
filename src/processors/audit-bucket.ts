// Looks at a bucket now, changes nothing, and says whether every version has its decision.
import type { ObjectStore } from '../clients/ports.ts';
import type { Ledger } from '../queues/ledger.ts';
import type { LedgerAudit } from '../schema/ledger-view.ts';
import type { ArchiveMarks } from './archive-marks.ts';
import { compareBucket, scopeFrom } from './compare-bucket.ts';

export interface AuditDeps {
  readonly ledger: Ledger;
  readonly store: ObjectStore;
  readonly marks: ArchiveMarks;
  /** Milliseconds that an event may take. */
  readonly lateMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Compares the whole bucket with the decisions. Throws what store and Redis throw. */
export async function auditBucket(deps: AuditDeps, resource: { readonly id: string; readonly bucket: string }): Promise<LedgerAudit> {
  const now = deps.now();
  const mark = await deps.marks.watermark(resource);
  const range = { since: mark?.since ?? now, from: scopeFrom(mark?.at ?? now, now) };
  const found = await compareBucket(deps, resource, range);
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
  };
}
