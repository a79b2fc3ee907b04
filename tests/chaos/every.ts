import { setTimeout as pause } from 'node:timers/promises';

/** Does it again and again, so many milliseconds after it was done, until the signal. Throws what a turn throws. */
export async function every(ms: number, signal: AbortSignal, turn: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await turn();
    await pause(ms, undefined, { signal }).catch(() => {});
  }
}
