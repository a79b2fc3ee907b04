// What a Redis that has lost data gets back from the archive.
import { createHash } from 'node:crypto';
import type { ObjectStore } from '../clients/ports.ts';
import { goesOnFrom, type Layout } from '../queues/layout.ts';
import type { ResourceBackup } from '../queues/resource-backup.ts';
import type { ResourceJobs } from '../queues/resource-jobs.ts';
import type { Resources } from '../queues/resources.ts';
import type { StoreEpoch } from '../queues/store-epoch.ts';
import type { LayoutEntries } from '../schema/archive-marks.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { parseRunId } from '../schema/ids.ts';
import type { Log } from '../schema/log.ts';
import { readArchived } from './archive.ts';
import type { ArchiveMarks } from './archive-marks.ts';
import { serverOf } from './signs-of-loss.ts';

/** Runs that are looked up in the archive at the same time. */
const AT_ONCE = 16;

export interface RecoveryDeps {
  readonly epochs: StoreEpoch;
  readonly backup: ResourceBackup;
  readonly marks: ArchiveMarks;
  readonly store: ObjectStore;
  readonly archiveBucket: string;
  readonly shards: number;
  /** Where runs are: without it a file of before the loss would have another run than it had. */
  readonly layout: Pick<Layout, 'entries' | 'relearn' | 'restore'>;
  /** Has those resources gone on with that are half made or half removed; undefined: whoever looks at all resources does. */
  readonly resume?: () => Promise<void>;
  readonly failpoint?: Failpoint | undefined;
  readonly log: Log;
}

/**
 * Begins an epoch of the store: layout and resources come back; of the runs that Redis still has those that had ended end, the others may do their work
 * again. May be done twice. Throws what the archive throws.
 */
export async function recover(deps: RecoveryDeps, epoch: number, layout: LayoutEntries = []): Promise<void> {
  const pass = passOf(epoch, serverOf(await deps.epochs.peek()));
  // the witness may be older than the last change that this process knows of, or this process may know what came after the loss alone
  const own = deps.layout.entries();
  await deps.layout.restore(goesOnFrom(own, layout) ? own : layout);
  let resources = 0;
  for await (const some of deps.marks.backups(deps.log)) {
    const done = await Promise.allSettled(some.map(async (backups) => await restoreResource(deps, backups)));
    // none goes on behind the back of whoever makes the next try
    const failed = done.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    resources += done.filter((one) => one.status === 'fulfilled' && one.value).length;
  }
  await deps.resume?.();
  deps.failpoint?.('recovery.restored');
  let restored = 0;
  let redone = 0;
  const putRight = async (runId: string): Promise<boolean> => {
    // one that broke off asked the archive for it: asked for all runs each time, an archive that is slow would never let it come to an end
    if (pass !== undefined && (await deps.epochs.wasLooked(runId, pass))) return false;
    if (await restoreRun(deps, runId)) return true;
    if (await deps.epochs.redo(runId, epoch, pass)) redone += 1;
    return false;
  };
  for (let shard = 0; shard < deps.shards; shard += 1) {
    let cursor = '0';
    do {
      // runs end meanwhile: their timers fire, whatever Redis has lost
      const { runs, next } = await deps.epochs.live(shard, cursor);
      const left = [...runs];
      // each run is looked up in the archive: one after the other, many would keep everything waiting for minutes
      const work = async () => {
        for (let runId = left.shift(); runId !== undefined; runId = left.shift()) if (await putRight(runId)) restored += 1;
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work)).finally(() => {
        // whoever goes on with it asks for the others
        left.length = 0;
      });
      cursor = next;
    } while (cursor !== '0');
  }
  deps.failpoint?.('recovery.redone');
  deps.log.warn({ epoch, resources, restored, redone }, 'recovered what Redis and the archive have');
}

/**
 * Names what may be gone on with: a recovery for that epoch at one start of Redis. After another start a run may have ended and lost that end since it
 * was looked up, and only the archive has it. undefined: the starts of this Redis have no names. 16 hexadecimal digits: a cluster has many.
 */
function passOf(epoch: number, server: string | undefined): string | undefined {
  if (server === undefined) return undefined;
  return `${epoch}|${createHash('sha256').update(server).digest('hex').slice(0, 16)}`;
}

/** Puts one resource back, by one of its backups after the other: that of its removal goes by what the other one put back. */
async function restoreResource({ backup }: Pick<RecoveryDeps, 'backup'>, backups: readonly string[]): Promise<boolean> {
  let changed = false;
  for (const text of backups) if (await backup.restore(text)) changed = true;
  return changed;
}

/** Puts the jobs of resources that are half made or half removed in their queue: Redis may have lost them. Repeatable. */
export async function resumeResources(deps: { resources: Pick<Resources, 'list'>; jobs: Pick<ResourceJobs, 'add'> }): Promise<void> {
  for (const { id, state } of await deps.resources.list()) {
    if (state === 'provisioning') await deps.jobs.add({ kind: 'provision', resource: id });
    if (state === 'deprovisioning') await deps.jobs.add({ kind: 'deprovision', resource: id });
  }
}

/** Puts a run back that the archive has as ended; answers whether it has it. Throws what the archive throws. */
export async function restoreRun(deps: Pick<RecoveryDeps, 'epochs' | 'store' | 'archiveBucket' | 'log'>, runId: string): Promise<boolean> {
  if (parseRunId(runId) === undefined) return false;
  try {
    const archived = await readArchived(deps.store, deps.archiveBucket, runId);
    if (archived === undefined) return false;
    if (await deps.epochs.restore(archived)) deps.log.info({ runId }, 'restored an ended run from the archive');
    return true;
  } catch (error) {
    // what cannot be trusted proves nothing
    if (!(error instanceof Failure && error.code === 'archive_damaged')) throw error;
    deps.log.error({ runId, error: messageOf(error) }, 'archived run not trusted');
    return false;
  }
}
