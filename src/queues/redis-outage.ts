// Errors by which Redis says that it takes nothing at the moment, whatever it is asked: it is read-only (a failover), full, loading its data, or away.
import { setTimeout as sleep } from 'node:timers/promises';

const REFUSALS = /^(READONLY|OOM|MISCONF|LOADING|BUSY|UNBLOCKED|MASTERDOWN|NOREPLICAS|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|EXECABORT)\b/;
/** What ioredis says without a name of its own: it gave up to wait for the answer, or to look for the node of a cluster that has the slot. */
const AWAY_WORDS = ['Connection is closed.', 'Command timed out', 'Too many Cluster redirections.'];
/** What a script is told of a key that is on its way to another node of a cluster: BullMQ's scripts, and with a Redis before 7 ours (lua/prelude.lua). */
const MOVES = 'attempted to access a non local key in a cluster node';
const AWAY = ['MaxRetriesPerRequestError', 'AbortError', 'ClusterAllFailedError'];

/** Whether the error says nothing of what was asked, and everything of Redis just now: the same may succeed later. */
export function isRedisOutage(error: unknown): boolean {
  return (
    error instanceof Error &&
    (AWAY.includes(error.name) ||
      REFUSALS.test(error.message) ||
      error.message.includes(MOVES) ||
      AWAY_WORDS.some((words) => error.message.startsWith(words)))
  );
}

/** Milliseconds between two tries to have something done while Redis is away. */
const AGAIN_MS = 500;

/**
 * Asks until Redis answers, however long it is away: a connection may give up what waits for it. `away` hears of the first failure; `ask` may be
 * repeated. A process that ends does not wait for it.
 */
export async function untilAnswered<T>(away: (error: unknown) => void, ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!isRedisOutage(error)) throw error;
      if (tries === 1) away(error);
    }
    await sleep(AGAIN_MS, undefined, { ref: false });
  }
}
