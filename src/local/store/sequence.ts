import type { Database } from './database.ts';

/** Ever-growing numbers that follow the clock (milliseconds × 1024) and never repeat or go back, across restarts and kill -9 too. */
export type Sequence = {
  /** The next number; below 2^53. Must be called outside a transaction, so that a roll-back cannot undo the reserve. */
  next(): number;
};

// Numbers are reserved a minute ahead in one write; a restart goes on from the end of the reserve.
const RESERVE = 60_000 * 1024;

/** Opens the sequence kept in the store's file. */
export function openSequence(deps: { db: Database; now: () => number }): Sequence {
  const { db, now } = deps;
  const load = db.query<{ value: number }>('SELECT value FROM meta WHERE name = ?');
  const save = db.command('INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value');
  let last = load.get('sequence')?.value ?? 0;
  let ceiling = last;

  return {
    next() {
      if (db.inTransaction())
        throw new Error('a sequence number was asked for inside a transaction; take it before the transaction begins');
      last = Math.max(last + 1, now() * 1024);
      if (last >= ceiling) {
        ceiling = last + RESERVE;
        save('sequence', ceiling);
      }
      return last;
    },
  };
}

/** The `sequencer` of an S3 event: upper-case hex digits of one width, so that numbers compare as strings. */
export function sequencer(sequence: number): string {
  return sequence.toString(16).toUpperCase().padStart(18, '0');
}
