// What Heroku was told of a resource, outside Redis: a Redis that loses data loses neither an installation nor a removal. Everything is written
// in this order: to Redis, to the archive, and then Redis is looked at again. Had it been rolled back before that look, it would get
// it back by it; when it is rolled back later, the recovery finds it in the archive.
import type { ObjectStore } from '../clients/ports.ts';
import type { ResourceBackup } from '../queues/resource-backup.ts';
import type { Resource } from '../queues/resource-record.ts';
import { Failure } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { createArchive } from './archive.ts';
import { createArchiveMarks } from './archive-marks.ts';

/** Every call may be repeated, and throws what the store throws. */
export interface ResourceArchive {
  /** Before an installation is accepted: the archive knows of it, and Redis what the archive knows. */
  begin(id: string): Promise<void>;
  /** Puts back what the archive has of a resource that Redis does not know, or knows from before. */
  recall(id: string): Promise<void>;
  /**
   * Keeps the record as it stands. `whole`: answers with the epoch when Redis is known to be whole; a record that was read from one that may
   * have lost data would hide a better one. Throws Failure redis_unavailable then.
   */
  keep(id: string, whole: () => Promise<number>): Promise<void>;
  /** Keeps that the resource is being removed; answers false, and keeps nothing, when Redis does not say so (any more). */
  keepRemoval(id: string): Promise<boolean>;
  /**
   * Keeps a change of plan, of a resource that was recalled before it was changed; answers false, and keeps nothing, when Redis does not have it
   * (any more).
   */
  keepPlan(id: string, plan: string): Promise<boolean>;
  /** Keeps the tombstone, and nothing else of the resource. */
  entomb(resource: Resource): Promise<void>;
}

/** `archiveBucket`: undefined where nothing is archived; then what Redis loses is lost. */
export function createResourceArchive(deps: {
  store: ObjectStore;
  archiveBucket: string | undefined;
  backup: ResourceBackup;
  log: Pick<Log, 'error'>;
}): ResourceArchive | undefined {
  const { store, archiveBucket: bucket, backup } = deps;
  if (bucket === undefined) return undefined;
  const marks = createArchiveMarks({ store, bucket });
  let made: Promise<void> | undefined;
  const ready = async () => {
    made ??= createArchive(store, bucket).catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    await made;
  };
  const recall = async (id: string): Promise<void> => {
    for (const text of await marks.backupsOf(id, deps.log)) await backup.restore(text);
  };

  return {
    begin: async (id) => {
      await ready();
      const found = await backup.dump(id);
      if (found !== undefined && (await marks.backUpFirst(id, found.text))) await backup.restore(found.text);
      else await recall(id);
    },

    recall: async (id) => {
      await ready();
      await recall(id);
    },

    keep: async (id, whole) => {
      await ready();
      const epoch = await whole();
      const found = await backup.dump(id);
      if ((await whole()) !== epoch) throw new Failure('redis_unavailable', 'It lost data while a resource was kept.');
      if (found === undefined || found.state === 'deprovisioning' || found.state === 'removed') return;
      await marks.backUp(id, found.text);
      await backup.restore(found.text);
    },

    keepRemoval: async (id) => {
      await ready();
      const found = await backup.dump(id);
      if (found?.state !== 'deprovisioning' && found?.state !== 'removed') return false;
      await marks.backUpRemoval(id, found.text);
      await backup.restore(found.text);
      return true;
    },

    keepPlan: async (id, plan) => {
      await ready();
      const found = await backup.dump(id);
      if (found?.plan !== plan) return false;
      // one that is being removed needs no plan
      if (found.state === 'deprovisioning' || found.state === 'removed') return true;
      await marks.backUp(id, found.text);
      await backup.restore(found.text);
      return true;
    },

    entomb: async (resource) => {
      await ready();
      const text = backup.tombstone(resource);
      await marks.backUpRemoval(resource.id, text);
      await marks.backUp(resource.id, text);
    },
  };
}
