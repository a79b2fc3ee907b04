// What a process remembers of buckets from one sweep to the next, and no longer than it is of use: another process may sweep a bucket next, decide
// what this one could not, or see its resource go.
import { createHash } from 'node:crypto';

interface Remembered {
  /** SHA-256 of what the archive was seen to have of the resource last; undefined before that. */
  backedUp?: string;
  /** How often each version of its bucket, by its id, could not be decided in this epoch of the store. */
  tries: { readonly epoch: number; readonly counts: Map<string, number> };
}

export type SweepMemory = ReturnType<typeof createSweepMemory>;

export function createSweepMemory() {
  const all = new Map<string, Remembered>();
  const of = (id: string): Remembered => {
    const found = all.get(id) ?? { tries: { epoch: 0, counts: new Map() } };
    all.set(id, found);
    return found;
  };
  return {
    /** Whether the archive was seen to have a backup of the resource. */
    hasBackup: (id: string): boolean => all.get(id)?.backedUp !== undefined,

    /** Whether that was this text. */
    isBackedUp: (id: string, text: string | undefined): boolean => text !== undefined && all.get(id)?.backedUp === hashOf(text),

    /** The archive has this text of the resource. */
    noteBackup: (id: string, text: string): void => {
      of(id).backedUp = hashOf(text);
    },

    /** How often each version of the resource's bucket could not be decided, to be counted on. A new epoch begins anew: what it lost was decided. */
    tries: (id: string, epoch: number): Map<string, number> => {
      const found = of(id);
      if (found.tries.epoch !== epoch) found.tries = { epoch, counts: new Map() };
      return found.tries.counts;
    },

    /** Forgets the tries of all other versions: they are accounted for. */
    keepTries: (id: string, missing: readonly { readonly versionId: string }[]): void => {
      const counts = all.get(id)?.tries.counts;
      if (counts === undefined || counts.size === 0) return;
      const left = new Set(missing.map(({ versionId }) => versionId));
      for (const versionId of counts.keys()) if (!left.has(versionId)) counts.delete(versionId);
    },

    /** Forgets the resource. */
    forget: (id: string): void => {
      all.delete(id);
    },

    /** Forgets all other resources: they are gone. */
    keep: (ids: readonly string[]): void => {
      const left = new Set(ids);
      for (const id of all.keys()) if (!left.has(id)) all.delete(id);
    },

    /** How many resources it knows, and versions that could not be decided. */
    size: (): { readonly resources: number; readonly tries: number } => ({
      resources: all.size,
      tries: [...all.values()].reduce((sum, { tries }) => sum + tries.counts.size, 0),
    }),
  };
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
