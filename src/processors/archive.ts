// An ended run goes to the engine-only archive bucket, which replay and sweep trust, and as an export to the tenant's own
// bucket (export-run.ts). Both are written again and again until both stand; only then may Redis forget the run.
import type { ObjectStore } from '../clients/ports.ts';
import type { ArchiveQueue } from '../queues/archive.ts';
import type { Watch } from '../queues/watch.ts';
import { type ArchivedRun, MAX_ARCHIVED_BYTES, parseArchivedRun, writeArchivedRun } from '../schema/archived-run.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { EXPORT_AGAIN_MS, exportRefused, exportRun } from './export-run.ts';
import { type Loop, startLoop } from './loop.ts';
import { whileHeld } from './while-held.ts';

/** Milliseconds between two looks for ended runs. */
const LOOK_MS = 1_000;
/** Runs that one turn archives at most: about a tenth of a core, a hundred times what a Heroku account may launch. */
const PER_TURN = 100;
/** Runs that are archived at the same time. */
const AT_ONCE = 4;
/** Milliseconds until a run that could not be archived, while others can, is tried again. */
const AGAIN_MS = 30_000;
/** Milliseconds that an archiver which was killed keeps the others from archiving; one at work holds on to it, and two at a time do no harm. */
const ALONE_MS = 10_000;

export interface ArchiveDeps {
  readonly archive: ArchiveQueue;
  readonly store: ObjectStore;
  /** The engine-only bucket; undefined: ended runs are kept in Redis for their retention and nowhere else. */
  readonly bucket: string | undefined;
  readonly watch: Watch;
  /**
   * Takes everything out of Redis of a resource whose removal is over; answers whether it is. An event that was read before may lead to a run when all is
   * gone.
   */
  readonly purgeRemoved: (resource: string) => Promise<boolean>;
  /** Whether a resource is being removed, was removed, or never came up. */
  readonly gone: (resource: string) => Promise<boolean>;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

/** Makes the archive bucket, or does nothing. Idempotent. */
export async function createArchive(store: ObjectStore, bucket: string): Promise<void> {
  await store.createBucket(bucket);
  await store.setVersioned(bucket);
}

/** Archives one shard's ended runs until stopped; one process at a time. What was refused before goes on beside: it may take long. */
export function startArchiving(deps: ArchiveDeps): Loop {
  let made = deps.bucket === undefined;
  const makeBucket = async () => {
    if (made || deps.bucket === undefined) return;
    await createArchive(deps.store, deps.bucket);
    made = true;
  };
  const archiving = startAlone(deps, {
    name: 'archive',
    due: async () => {
      await makeBucket();
      return (await deps.archive.waiting(1)).length > 0;
    },
    work: archiveWaiting,
  });
  const exporting = startAlone(deps, { name: 'export', due: async () => (await deps.archive.refusing(1)).length > 0, work: exportRefused });
  return {
    nudge: archiving.nudge,
    stop: async () => {
      await Promise.all([archiving.stop(), exporting.stop()]);
    },
  };
}

interface Part {
  readonly name: 'archive' | 'export';
  readonly due: () => Promise<boolean>;
  readonly work: (deps: ArchiveDeps, signal: AbortSignal) => Promise<void>;
}

/** Does what is due, again and again, while no other process does. */
function startAlone(deps: ArchiveDeps, { name, due, work }: Part): Loop {
  return startLoop({
    name,
    every: LOOK_MS,
    log: deps.log,
    turn: async (signal) => {
      if (!(await due())) return;
      const hold = await deps.watch.hold(name, ALONE_MS);
      if (hold === undefined) return;
      try {
        await whileHeld({ hold, name: `${name}-lock`, ms: ALONE_MS, log: deps.log }, async (lost) => {
          await work(deps, AbortSignal.any([signal, lost]));
        });
      } finally {
        await hold.release();
      }
    },
  });
}

/** One pass over the runs that wait, as many as one turn takes. A service that does not answer ends it: the next turn goes on. */
export async function archiveWaiting(deps: ArchiveDeps, signal?: AbortSignal): Promise<void> {
  const waiting = [...(await deps.archive.waiting(PER_TURN))];
  let outage: unknown;
  const work = async () => {
    for (let runId = waiting.shift(); runId !== undefined; runId = waiting.shift()) {
      if (signal?.aborted || outage !== undefined) return;
      try {
        await archiveRun(deps, runId);
      } catch (error) {
        if (error instanceof Failure && error.retry) {
          outage = error;
          return;
        }
        deps.log.error({ runId, error: messageOf(error) }, 'run not archived');
        await deps.archive.postpone(runId, AGAIN_MS);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (outage !== undefined) throw outage;
}

async function archiveRun(deps: ArchiveDeps, runId: string): Promise<void> {
  const run = await deps.archive.read(runId);
  deps.failpoint('archive.read');
  const resource = run?.record['resource'];
  if (resource !== undefined && (await deps.purgeRemoved(resource))) {
    deps.log.info({ runId, resource }, 'not archived: its resource was removed');
    return;
  }
  if (run !== undefined && deps.bucket !== undefined) {
    const { text, omitted } = writeArchivedRun(run);
    if (omitted > 0) deps.log.warn({ runId, resource, omitted }, 'archived without the middle of a history that is too long');
    await deps.store.put(deps.bucket, archiveKey(runId), text, { contentType: 'application/json' });
    deps.failpoint('archive.kept');
    const refused = await exportNew(deps, run);
    if (refused === undefined) deps.failpoint('archive.exported');
    await deps.archive.archived(runId, run.record, refused === undefined ? {} : { refused });
  } else {
    await deps.archive.archived(runId, run?.record ?? {});
  }
  deps.failpoint('archive.noted');
}

/** Milliseconds that a bucket may take for the export of a run that has just ended: it holds up everybody's archive. Whoever tries again gives it more. */
const EXPORT_DEADLINE_MS = 2_000;

/** Exports a run that has just ended, unless others wait for its bucket; answers in how many ms it is tried again when it has to wait with them. */
async function exportNew(deps: ArchiveDeps, run: Omit<ArchivedRun, 'format'>): Promise<number | undefined> {
  const resource = run.record['resource'] ?? '';
  // a bucket that does not answer would keep all the others' runs for as long as a request may take, each time
  if (run.record['noexp'] === undefined && (await deps.archive.refuses(resource))) return EXPORT_AGAIN_MS;
  try {
    await exportRun(deps, run, { deadline: EXPORT_DEADLINE_MS });
    return undefined;
  } catch (error) {
    // one tenant's bucket keeps nobody else's runs from the archive
    deps.log.error({ runId: run.id, resource, error: messageOf(error) }, 'run not exported');
    return EXPORT_AGAIN_MS;
  }
}

/** Where the archive keeps a run. */
function archiveKey(runId: string): string {
  return `runs/${runId}.json`;
}

/** A run from the archive; undefined when it has none of that id. Throws Failure archive_damaged for what cannot be trusted, or is never to be read. */
export async function readArchived(store: ObjectStore, bucket: string, runId: string): Promise<ArchivedRun | undefined> {
  const text = await store.text(bucket, archiveKey(runId), undefined, MAX_ARCHIVED_BYTES).catch((error: unknown) => {
    // larger than any that was written, or one that S3 refuses to give: whoever waits for it would wait for ever
    if (!(error instanceof Failure) || error.retry) throw error;
    throw new Failure('archive_damaged', `The archived record of run ${runId}: ${error.message}`, { cause: error });
  });
  return text === undefined ? undefined : parseArchivedRun(text, runId);
}
