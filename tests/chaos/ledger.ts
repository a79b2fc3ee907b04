import { appendFileSync } from 'node:fs';
import type { LedgerEntry } from './checker/evidence.ts';

export type Note = LedgerEntry extends infer E ? (E extends { t: number } ? Omit<E, 't'> & { t?: number } : never) : never;

export interface Ledger {
  /** Notes an effect before its answer goes out; `t` is now unless given. */
  note(entry: Note): void;
  readonly entries: readonly LedgerEntry[];
}

/**
 * What stands outside the engine, kept by whoever had the effect and written to a file as it comes. The process that keeps
 * it is never killed.
 */
export function openLedger(file: string): Ledger {
  const entries: LedgerEntry[] = [];
  return {
    entries,
    note: (entry) => {
      const complete = { t: Date.now(), ...entry } as LedgerEntry;
      entries.push(complete);
      appendFileSync(file, `${JSON.stringify(complete)}\n`);
    },
  };
}
