// Work under a lock that takes as long as it takes.
import type { Hold } from '../queues/locks.ts';
import type { Log } from '../schema/log.ts';
import { startLoop } from './loop.ts';

/** Renewals in the time for which a lock lasts: one that comes late loses nothing. */
const RENEWALS = 4;

/**
 * Does the work and holds on to its lock, which lasts for `ms`, until it is done. `lost`: somebody else has it by now. Whoever took the lock
 * releases it.
 */
export async function whileHeld<T>(
  { hold, name, ms, log }: { readonly hold: Hold; readonly name: string; readonly ms: number; readonly log: Log },
  work: (lost: AbortSignal) => Promise<T>,
): Promise<T> {
  const lost = new AbortController();
  const renewing = startLoop({
    name,
    every: ms / RENEWALS,
    log,
    turn: async () => {
      if (!(await hold.renew())) lost.abort();
    },
  });
  try {
    return await work(lost.signal);
  } finally {
    await renewing.stop();
  }
}
