// An ended run as its tenant finds it in the own bucket. A bucket that refuses it has its runs wait in a list of their own: the archive has them, so
// they hold nobody's watermark, and one try now and then is for all of them.
import type { ObjectStore } from '../clients/ports.ts';
import type { ArchiveQueue } from '../queues/archive.ts';
import { viewOf } from '../queues/views.ts';
import type { ArchivedRun } from '../schema/archived-run.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { OWN_PREFIX } from '../schema/own-objects.ts';

/** Milliseconds until a bucket that refused an export is tried again: a quarter of the time for which it has refused, within these two. */
export const EXPORT_AGAIN_MS = 30_000;
const EXPORT_AGAIN_MOST_MS = 3_600_000;
/** Milliseconds, a week: an export that was refused for so long is given up, so that a bucket that refuses for ever does not fill Redis with its runs. */
const GIVEN_UP_MS = 7 * 86_400_000;
/** Buckets that one turn tries, all at once, and runs that it exports to each: new runs wait for them. */
const BUCKETS = 4;
const PER_BUCKET = 25;
/** Runs whose export one turn gives up. */
const GIVEN_UP = 100;

export interface ExportDeps {
  readonly archive: ArchiveQueue;
  readonly store: ObjectStore;
  readonly purgeRemoved: (resource: string) => Promise<boolean>;
  readonly log: Log;
}

/** Exports what was refused before, of some of the buckets whose time it is. */
export async function exportRefused(deps: ExportDeps, signal?: AbortSignal): Promise<void> {
  const resources = await deps.archive.refusing(BUCKETS);
  await Promise.all(resources.map(async (resource) => await exportTo(deps, resource, signal)));
}

/** The runs of one resource, until one is refused. */
async function exportTo(deps: ExportDeps, resource: string, signal: AbortSignal | undefined): Promise<void> {
  if (await deps.purgeRemoved(resource)) return;
  const waiting = await deps.archive.unexported(resource, PER_BUCKET);
  for (const { runId, ms } of waiting) {
    if (signal?.aborted) return;
    const run = await deps.archive.read(runId);
    try {
      if (run !== undefined) await exportRun(deps, run);
    } catch (error) {
      deps.log.warn({ runId, resource, ms, error: messageOf(error) }, 'export refused again');
      await deps.archive.postponeExports(resource, Math.min(Math.max(EXPORT_AGAIN_MS, ms / 4), EXPORT_AGAIN_MOST_MS));
      if (ms >= GIVEN_UP_MS) await giveUp(deps, resource, messageOf(error));
      return;
    }
    await deps.archive.archived(runId, run?.record ?? {}, { resource });
  }
  // more of them go on in the next turn
  if (waiting.length < PER_BUCKET) await deps.archive.postponeExports(resource, EXPORT_AGAIN_MS);
}

/** Whatever the bucket has refused for a week. */
async function giveUp(deps: ExportDeps, resource: string, why: string): Promise<void> {
  for (const { runId, ms } of await deps.archive.unexported(resource, GIVEN_UP)) {
    if (ms < GIVEN_UP_MS || !(await deps.archive.giveUpExport(runId, `not exported in a week: ${why}`))) continue;
    deps.log.error({ runId, resource, error: why }, 'export given up');
  }
}

/** Writes what the API shows of the run into the tenant's bucket, unless that is gone or the export was given up. Throws what the store throws. */
export async function exportRun(deps: ExportDeps, run: Omit<ArchivedRun, 'format'>): Promise<void> {
  if (run.record['noexp'] !== undefined) return;
  const view = viewOf(run.id, run.record, run.document, run.history);
  const bucket = run.record['bucket'];
  if (view === undefined || bucket === undefined) throw new Failure('internal', `The record of run ${run.id} shows no run.`);
  try {
    await deps.store.put(bucket, exportKey(run.id, view.created_at), `${JSON.stringify(view, null, 2)}\n`, {
      contentType: 'application/json',
    });
  } catch (error) {
    if (!(error instanceof Failure && error.code === 'not_found')) throw error;
    deps.log.info({ runId: run.id, bucket }, 'not exported: the bucket is gone');
  }
}

/** Where a tenant finds a run, by the day (UTC) on which it was accepted. `createdAt`: ISO 8601. */
function exportKey(runId: string, createdAt: string): string {
  return `${OWN_PREFIX}runs/${createdAt.slice(0, 10).replaceAll('-', '/')}/${runId}.json`;
}
