// Watermarks, the epoch's witness and the backups of resources in the archive bucket.
import type { ObjectStore } from '../clients/ports.ts';
import { readWatermark, readWitness, type Watermark, type Witness } from '../schema/archive-marks.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';

/** Bytes of a mark that are read at most: a layout of a thousand changes takes 20,000. */
const MAX_MARK_BYTES = 32_768;
/** Bytes of a resource's record that are read at most; sealed secrets are the larger part. */
const MAX_BACKUP_BYTES = 262_144;
/** Resources whose backups are read, and put back, at the same time: everything waits for them after a loss. */
const AT_ONCE = 16;
const BACKUPS = 'resources/';
const WITNESS = 'store.json';
const JSON_TYPE = { contentType: 'application/json' };

interface Place {
  readonly id: string;
  readonly bucket: string;
}

export type ArchiveMarks = ReturnType<typeof createArchiveMarks>;

/** The marks in the engine-only bucket. Every call throws what the store throws. */
export function createArchiveMarks(deps: { store: ObjectStore; bucket: string }) {
  const { store, bucket } = deps;

  /** A backup; undefined where there is none, or one that is never to be read: whoever waited for it would wait for ever, and everybody with it. */
  const read = async (key: string, log: Pick<Log, 'error'>): Promise<string | undefined> => {
    try {
      return await store.text(bucket, key, undefined, MAX_BACKUP_BYTES);
    } catch (error) {
      if (!(error instanceof Failure) || error.retry) throw error;
      log.error({ key, error: messageOf(error) }, 'backup of a resource not read');
      return undefined;
    }
  };

  const readAll = async (keys: readonly string[], log: Pick<Log, 'error'>): Promise<readonly string[]> => {
    const texts = await Promise.all(keys.map((key) => read(key, log)));
    return texts.filter((text) => text !== undefined);
  };

  return {
    watermark: async (resource: Place): Promise<Watermark | undefined> => {
      const text = await store.text(bucket, watermarkKey(resource.id), undefined, MAX_MARK_BYTES);
      return text === undefined ? undefined : readWatermark(text, resource);
    },

    setWatermark: async (resource: Place, times: Pick<Watermark, 'since' | 'begun' | 'at'>): Promise<Watermark> => {
      const mark: Watermark = { format: 1, resource: resource.id, bucket: resource.bucket, ...times };
      await store.put(bucket, watermarkKey(resource.id), JSON.stringify(mark), JSON_TYPE);
      return mark;
    },

    witness: async (): Promise<Witness | undefined> => {
      const text = await store.text(bucket, WITNESS, undefined, MAX_MARK_BYTES);
      return text === undefined ? undefined : readWitness(text);
    },

    setWitness: async (witness: Omit<Witness, 'format'>): Promise<void> => {
      await store.put(bucket, WITNESS, JSON.stringify({ format: 1, ...witness } satisfies Witness), JSON_TYPE);
    },

    backUp: async (resource: string, text: string): Promise<void> => {
      await store.put(bucket, backupKey(resource), text, JSON_TYPE);
    },

    /** Backs up a resource that the archive does not know; answers whether it did not. */
    backUpFirst: async (resource: string, text: string): Promise<boolean> => {
      try {
        await store.put(bucket, backupKey(resource), text, { ...JSON_TYPE, onlyNew: true });
        return true;
      } catch (error) {
        if (!(error instanceof Failure && error.code === 'conflict')) throw error;
        return false;
      }
    },

    /** Backs up a resource that is going or gone: beside its other backup, so that no late copy of the time before hides it. */
    backUpRemoval: async (resource: string, text: string): Promise<void> => {
      await store.put(bucket, removalKey(resource), text, JSON_TYPE);
    },

    /** What `backUp` wrote of a resource last. One that is never to be read counts as none, here and below. */
    backup: async (resource: string, log: Pick<Log, 'error'>): Promise<string | undefined> => await read(backupKey(resource), log),

    /** What the archive has of one resource: none, one or two backups. */
    backupsOf: async (resource: string, log: Pick<Log, 'error'>): Promise<readonly string[]> => {
      return await readAll([backupKey(resource), removalKey(resource)], log);
    },

    /** The newest backups of every resource, some resources at a time; those of one are together, wherever a page of the list ends. */
    backups: async function* (log: Pick<Log, 'error'>): AsyncGenerator<readonly (readonly string[])[]> {
      const keysOf = new Map<string, string[]>();
      let next: string | undefined;
      do {
        // of all versions, those of before are by far the most
        const page = await store.keys(bucket, { prefix: BACKUPS, ...(next === undefined ? {} : { next }) });
        for (const key of page.keys) {
          const resource = key.slice(BACKUPS.length).replace(/\..*/, '');
          keysOf.set(resource, [...(keysOf.get(resource) ?? []), key]);
        }
        next = page.next;
      } while (next !== undefined);
      const all = [...keysOf.values()];
      for (let i = 0; i < all.length; i += AT_ONCE) {
        yield await Promise.all(all.slice(i, i + AT_ONCE).map((keys) => readAll(keys, log)));
      }
    },
  };
}

function backupKey(resource: string): string {
  return `${BACKUPS}${resource}.json`;
}

function removalKey(resource: string): string {
  return `${BACKUPS}${resource}.removal.json`;
}

function watermarkKey(resource: string): string {
  return `watermarks/${resource}.json`;
}
