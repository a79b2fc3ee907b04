import type { Redis } from 'ioredis';
import { duplicate } from './connection.ts';
import { hearAll } from './hear.ts';
import { shardKeys } from './keys.ts';

export interface Transition {
  readonly runId: string;
  /** Number of its entry in the run's history. */
  readonly n: number;
  readonly what: string;
  /** Task id; undefined for what concerns the whole run. */
  readonly task: string | undefined;
}

export interface Channel {
  /** Calls back on every transition; answers with the way to stop that. */
  listen(onTransition: (transition: Transition) => void): () => void;
  /** Hears the transitions of shards that came since, too. */
  hear(): Promise<void>;
  close(): void;
}

/**
 * Every transition is published as it is written; `only: 'wakes'` hears outputs and cancels alone. Losing any message, or
 * all of them, costs latency only: whoever listens also reads the record. Uses a connection of its own, since a
 * subscribed one can do nothing else. `shards`: how many have runs at that moment.
 */
export async function openChannel(deps: {
  connection: Redis;
  shards: () => number;
  only?: 'wakes';
  onError: (error: Error) => void;
}): Promise<Channel> {
  const redis = duplicate(deps.connection, { autoResubscribe: false });
  redis.on('error', deps.onError);
  const listeners = new Set<(transition: Transition) => void>();
  redis.on('message', (_channel: string, message: string) => {
    if (listeners.size === 0) return;
    const transition = readTransition(message);
    if (transition !== undefined) for (const listener of listeners) listener(transition);
  });
  const what = deps.only === 'wakes' ? 'wakes' : 'channel';
  const channels = () => Array.from({ length: deps.shards() }, (_, shard) => shardKeys(shard)[what]);
  const hear = await hearAll(redis, channels, deps.onError);
  return {
    listen: (onTransition) => {
      listeners.add(onTransition);
      return () => listeners.delete(onTransition);
    },
    hear,
    close: () => {
      listeners.clear();
      redis.disconnect();
    },
  };
}

/** `[run id, n, [ms, what, task, attempt, detail]]` as prelude.lua writes it; what is none of ours is passed over. */
function readTransition(message: string): Transition | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(message);
  } catch {
    return undefined;
  }
  if (!Array.isArray(parsed)) return undefined;
  const [runId, n, entry] = parsed;
  if (typeof runId !== 'string' || typeof n !== 'number' || !Array.isArray(entry)) return undefined;
  const [, what, task] = entry;
  return { runId, n, what: String(what), task: typeof task === 'string' && task !== '' ? `${runId}.${task}` : undefined };
}
