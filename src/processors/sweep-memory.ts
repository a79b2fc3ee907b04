// What a process remembers of the resources whose buckets it sweeps, and no longer than they are there: another process may see one go.
import { createHash } from 'node:crypto';

export type SweepMemory = ReturnType<typeof createSweepMemory>;

export function createSweepMemory() {
  /** SHA-256 of what the archive was seen to have of each resource last. */
  const backedUp = new Map<string, string>();
  return {
    /** Whether the archive was seen to have a backup of the resource. */
    hasBackup: (id: string): boolean => backedUp.has(id),

    /** Whether that was this text. */
    isBackedUp: (id: string, text: string | undefined): boolean => text !== undefined && backedUp.get(id) === hashOf(text),

    /** The archive has this text of the resource. */
    noteBackup: (id: string, text: string): void => {
      backedUp.set(id, hashOf(text));
    },

    /** Forgets all other resources: they are gone. */
    keep: (ids: readonly string[]): void => {
      const left = new Set(ids);
      for (const id of backedUp.keys()) if (!left.has(id)) backedUp.delete(id);
    },

    /** Forgets the resource. */
    forget: (id: string): void => {
      backedUp.delete(id);
    },

    /** How many resources it knows. */
    size: (): number => backedUp.size,
  };
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
