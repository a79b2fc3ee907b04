// Servers and folders of the bench do not outlive it when somebody interrupts it: nothing but SIGKILL leaves them behind.
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const cleanings = new Set<() => void>();

/** Has `clean` called, at once and without waiting for anything, when the process is interrupted, the last one first; the answer takes it back. */
export function ifInterrupted(clean: () => void): () => void {
  if (cleanings.size === 0) for (const signal of SIGNALS) process.on(signal, end);
  cleanings.add(clean);
  return () => {
    cleanings.delete(clean);
    if (cleanings.size === 0) for (const signal of SIGNALS) process.off(signal, end);
  };
}

function end(signal: NodeJS.Signals): void {
  for (const clean of [...cleanings].reverse()) clean();
  process.exit(128 + constants.signals[signal]);
}
