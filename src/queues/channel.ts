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
  const redis = deps.connection.duplicate();
  redis.on('error', deps.onError);
  const listeners = new Set<(transition: Transition) => void>();
  redis.on('message', (_channel: string, message: string) => {
    if (listeners.size === 0) return;
    const parsed: unknown = JSON.parse(message);
    if (!Array.isArray(parsed) || typeof parsed[0] !== 'string' || typeof parsed[1] !== 'number') return;
    const transition = { runId: parsed[0], entry: historyEntryOf(parsed[0], parsed[1], parsed[2]) };
    for (const listener of listeners) listener(transition);
  });
  await redis.subscribe(...Array.from({ length: deps.shards }, (_, shard) => shardKeys(shard).channel));
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
