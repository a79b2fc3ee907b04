// Errors by which Redis says that it takes nothing at the moment, whatever it is asked: it is read-only (a failover), full, loading its data, or away.

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
