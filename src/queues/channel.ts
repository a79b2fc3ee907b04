import type { Redis } from 'ioredis';
import type { HistoryEntry } from '../schema/run-view.ts';
import { shardKeys } from './keys.ts';
import { historyEntryOf } from './views.ts';

export interface Transition {
  readonly runId: string;
  readonly entry: HistoryEntry;
}

export interface Channel {
  /** Calls back on every transition of every run; answers with the way to stop that. */
  listen(onTransition: (transition: Transition) => void): () => void;
  close(): Promise<void>;
}

/**
 * Every transition is published as it is written. Losing any message, or all of them, costs latency only: whoever
 * listens also reads the record. Uses a connection of its own, since a subscribed one can do nothing else.
 */
export async function openChannel(deps: { connection: Redis; shards: number; onError: (error: Error) => void }): Promise<Channel> {
  // ioredis' own resubscription leaves its failure unhandled, which would end the process
  const redis = deps.connection.duplicate({ autoResubscribe: false });
  redis.on('error', deps.onError);
  const listeners = new Set<(transition: Transition) => void>();
  redis.on('message', (_channel: string, message: string) => {
    if (listeners.size === 0) return;
    const transition = readTransition(message);
    if (transition !== undefined) for (const listener of listeners) listener(transition);
  });
  const channels = Array.from({ length: deps.shards }, (_, shard) => shardKeys(shard).channel);
  await redis.subscribe(...channels);
  redis.on('ready', () => {
    redis.subscribe(...channels).catch(deps.onError);
  });
  return {
    listen: (onTransition) => {
      listeners.add(onTransition);
      return () => listeners.delete(onTransition);
    },
    close: async () => {
      listeners.clear();
      redis.disconnect();
      await Promise.resolve();
    },
  };
}

/** What is none of ours is passed over. */
function readTransition(message: string): Transition | undefined {
  try {
    const parsed: unknown = JSON.parse(message);
    if (!Array.isArray(parsed) || typeof parsed[0] !== 'string' || typeof parsed[1] !== 'number') return undefined;
    return { runId: parsed[0], entry: historyEntryOf(parsed[0], parsed[1], parsed[2]) };
  } catch {
    return undefined; // no JSON, or a time that is none
  }
}
