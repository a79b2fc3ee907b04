// An ended run as its tenant finds it in the own bucket. A bucket that refuses it has its runs wait in a pile of their own: the archive has them, so
// they hold nobody's watermark, and a try now and then with the oldest and the youngest is for all of them.
import type { CallOptions, ObjectStore } from '../clients/ports.ts';
import { type ArchiveQueue, type Refused, resourceOfPile } from '../queues/archive.ts';
import { isRedisOutage } from '../queues/redis-outage.ts';
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
/** Piles that one turn tries, all at once, and runs of each: the other piles wait for them. */
const BUCKETS = 4;
const PER_BUCKET = 25;
/** Runs that are read at a time to have their exports given up. */
const PAGE = 100;

export interface ExportDeps {
  readonly archive: ArchiveQueue;
  readonly store: ObjectStore;
  readonly purgeRemoved: (resource: string) => Promise<boolean>;
  /** Whether a resource is being removed, was removed, or never came up. */
  readonly gone: (resource: string) => Promise<boolean>;
  readonly log: Log;
}

/** Exports what was refused before, of some of the buckets whose time it is. What goes wrong with one keeps no other from its turn. */
export async function exportRefused(deps: ExportDeps, signal?: AbortSignal): Promise<void> {
  const piles = await deps.archive.refusing(BUCKETS);
  const tries = await Promise.allSettled(piles.map(async (pile) => await exportPile(deps, pile, signal)));
  // what was broken off to stop was not refused
  if (signal?.aborted) return;
  for (const [i, pile] of piles.entries()) {
    const one = tries[i];
    if (one?.status !== 'rejected') continue;
    deps.log.error({ pile, error: messageOf(one.reason) }, 'refused exports not tried');
    await deps.archive.postponeExports(pile, EXPORT_AGAIN_MS);
  }
}

/**
 * The runs of one pile, until its bucket refuses the oldest and the youngest of what is left: either may be one that is refused by itself. What cannot be
 * shown at all says nothing of the bucket, and waits by itself at once.
 */
async function exportPile(deps: ExportDeps, pile: string, signal: AbortSignal | undefined): Promise<void> {
  const resource = resourceOfPile(pile);
  if (await deps.purgeRemoved(resource)) return;
  const taken = new Set<string>();
  for (const one of await deps.archive.unexported(pile, PER_BUCKET)) {
    if (signal?.aborted) return;
    if (taken.has(one.runId)) continue;
    const refused = await tryExport(deps, pile, one, signal);
    if (refused === undefined) {
      taken.add(one.runId);
      continue;
    }
    const apart = pile === resource && (refused.byItself || (await takesAnother(deps, pile, { one, taken }, signal)));
    if (!apart) {
      await deps.archive.postponeExports(pile, pauseOf(one));
      if (one.ms >= GIVEN_UP_MS) await giveUp(deps, pile, refused.why, signal);
      return;
    }
    await deps.archive.setExportApart(resource, one.runId, pauseOf(one));
  }
  // what is left, and what came meanwhile
  await deps.archive.goOnExporting(pile);
}

/** Whether the bucket that refused `one` takes another run of the pile: the youngest that can be shown, or one of those `taken` just now. */
async function takesAnother(
  deps: ExportDeps,
  pile: string,
  { one, taken }: { readonly one: Refused; readonly taken: Set<string> },
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (;;) {
    const [youngest = one] = await deps.archive.unexported(pile, 1, 'youngest');
    if (youngest.runId === one.runId) return taken.size > 0;
    const refused = await tryExport(deps, pile, youngest, signal);
    if (refused === undefined) {
      taken.add(youngest.runId);
      return true;
    }
    if (!refused.byItself) return false;
    await deps.archive.setExportApart(pile, youngest.runId, pauseOf(youngest));
  }
}

function pauseOf({ ms }: Refused): number {
  return Math.min(Math.max(EXPORT_AGAIN_MS, ms / 4), EXPORT_AGAIN_MOST_MS);
}

/** Exports one run that waits in the pile; answers why not, and whether it is the run that cannot be shown. Rejects when stopped, and as Redis does. */
async function tryExport(
  deps: ExportDeps,
  pile: string,
  { runId, ms }: Refused,
  signal: AbortSignal | undefined,
): Promise<{ readonly why: string; readonly byItself: boolean } | undefined> {
  let record = {};
  try {
    const run = await deps.archive.read(runId);
    if (run !== undefined) await exportRun(deps, run, signal === undefined ? {} : { signal });
    record = run?.record ?? {};
  } catch (error) {
    signal?.throwIfAborted();
    // it tells neither of the run nor of its bucket
    if (isRedisOutage(error)) throw error;
    deps.log.warn({ runId, resource: resourceOfPile(pile), ms, error: messageOf(error) }, 'export refused again');
    return { why: messageOf(error), byItself: !(error instanceof Failure) || error.code === 'internal' };
  }
  await deps.archive.archived(runId, record, { exported: pile });
  return undefined;
}

/** Whatever the bucket has refused for a week: all of it, since what it refuses for ever comes as fast as runs end. */
async function giveUp(deps: ExportDeps, pile: string, why: string, signal: AbortSignal | undefined): Promise<void> {
  for (;;) {
    const old = (await deps.archive.unexported(pile, PAGE)).filter(({ ms }) => ms >= GIVEN_UP_MS);
    for (const { runId } of old) {
      if (signal?.aborted) return;
      // out of the pile it is in any case
      if (!(await deps.archive.giveUpExport(pile, runId, `not exported in a week: ${why}`))) continue;
      deps.log.error({ runId, resource: resourceOfPile(pile), error: why }, 'export given up');
    }
    if (old.length < PAGE) return;
  }
}

/** Writes what the API shows of the run into the tenant's bucket, unless that is gone, or going, or the export was given up. Throws what the store throws. */
export async function exportRun(deps: ExportDeps, run: Omit<ArchivedRun, 'format'>, options: CallOptions = {}): Promise<void> {
  if (run.record['noexp'] !== undefined) return;
  const view = viewOf(run.id, run.record, run.document, run.history);
  const bucket = run.record['bucket'];
  if (view === undefined || bucket === undefined) throw new Failure('internal', `The record of run ${run.id} shows no run.`);
  const resource = run.record['resource'];
  // it is being emptied: each object that comes meanwhile makes the removal late
  if (resource !== undefined && (await deps.gone(resource))) {
    deps.log.info({ runId: run.id, resource }, 'not exported: its resource is being removed');
    return;
  }
  try {
    await deps.store.put(bucket, exportKey(run.id, view.created_at), `${JSON.stringify(view, null, 2)}\n`, {
      contentType: 'application/json',
      ...options,
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
