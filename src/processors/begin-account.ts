// Where the account of a bucket begins.
import type { ObjectStore } from '../clients/ports.ts';
import type { Watermark } from '../schema/archive-marks.ts';
import type { Log } from '../schema/log.ts';
import { createArchive } from './archive.ts';
import { type ArchiveMarks, createArchiveMarks } from './archive-marks.ts';

interface Place {
  readonly id: string;
  readonly bucket: string;
}

/**
 * Writes the first watermark of a bucket. An empty one is accounted for from its beginning. Of one that has objects nobody
 * knows what was decided before, so the account begins now, and nothing older runs by itself. `now`: milliseconds since 1970.
 */
export async function beginAccount(
  deps: { store: ObjectStore; marks: ArchiveMarks; log: Log },
  resource: Place,
  now: number,
): Promise<Watermark> {
  const { versions, next } = await deps.store.versions(resource.bucket, { limit: 1 });
  // a page may be full of what was deleted: S3 counts that, too
  const empty = versions.length === 0 && next === undefined;
  if (!empty) deps.log.warn({ resource: resource.id }, 'no watermark: older versions run by `autofiles backfill` alone');
  return await deps.marks.setWatermark(resource, { since: empty ? 0 : now, begun: now, at: now });
}

/**
 * What a provisioning does before a bucket is given away: its account begins while it is empty, not at the first sweep, which may
 * come after the first upload. Repeatable; does nothing without an archive bucket.
 */
export function accountBeginner(deps: { store: ObjectStore; archiveBucket: string | undefined; now: () => number; log: Log }) {
  return async (resource: Place): Promise<void> => {
    const { store, archiveBucket, log } = deps;
    if (archiveBucket === undefined) return;
    await createArchive(store, archiveBucket);
    const marks = createArchiveMarks({ store, bucket: archiveBucket });
    if ((await marks.watermark(resource)) === undefined) await beginAccount({ store, marks, log }, resource, deps.now());
  };
}
