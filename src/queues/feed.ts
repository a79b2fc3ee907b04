// The feed of a resource: into which states its runs came. A bounded stream per shard keeps the last ones, so that a client
// that was cut off goes on where it was; the channel beside it only rings.
import type { Redis } from 'ioredis';
import { Failure } from '../schema/failures.ts';
import { hearAll } from './hear.ts';
import { shardKeys } from './keys.ts';

/** Entries that are read at a time. */
const PAGE = 200;
/** Entries that a feed has before any is forgotten (lua/prelude.lua). */
const KEPT = 1_000;

export interface FeedEntry {
  /** Where the feed goes on after this entry: one stream id per shard, joined by commas. */
  readonly place: string;
  /** Milliseconds since 1970, by Redis' clock. */
  readonly at: number;
  readonly run: string;
  /** A state of runs, or `retrying`. */
  readonly state: string;
}

export interface Feed {
  /** Calls back when the resource's feed has grown; answers with the way to stop that. A ring may be lost. */
  listen(resource: string, ring: () => void): () => void;
  /** The place after the newest entry. */
  end(resource: string): Promise<string>;
  /** Entries after the place, oldest first per shard; `lost` when some of them have been forgotten. Throws Failure request_invalid for what is no place. */
  read(resource: string, place: string): Promise<{ entries: readonly FeedEntry[]; lost: boolean }>;
  /** Hears the rings of shards that came since, too. */
  hear(): Promise<void>;
  close(): void;
}

/** Uses a connection of its own to hear the rings. `shards`: how many have runs at that moment. */
export async function openFeed(deps: { connection: Redis; shards: () => number; onError: (error: Error) => void }): Promise<Feed> {
  const { connection } = deps;
  const redis = connection.duplicate({ autoResubscribe: false });
  redis.on('error', deps.onError);
  const listeners = new Map<string, Set<() => void>>();
  redis.on('message', (_channel: string, resource: string) => {
    for (const ring of listeners.get(resource) ?? []) ring();
  });
  const all = () => Array.from({ length: deps.shards() }, (_, shard) => shardKeys(shard));
  const hear = await hearAll(redis, () => all().map((keys) => keys.feeds), deps.onError);

  return {
    listen: (resource, ring) => {
      const rings = listeners.get(resource) ?? new Set();
      listeners.set(resource, rings);
      rings.add(ring);
      return () => {
        rings.delete(ring);
        if (rings.size === 0) listeners.delete(resource);
      };
    },
    end: async (resource) => {
      const last = await Promise.all(all().map((keys) => connection.xrevrange(keys.feed(resource), '+', '-', 'COUNT', 1)));
      return last.map((rows) => rows[0]?.[0] ?? '0-0').join(',');
    },
    read: async (resource, place) => {
      const feeds = all();
      const ids = placesOf(place, feeds.length);
      const entries: FeedEntry[] = [];
      let lost = false;
      for (const [shard, keys] of feeds.entries()) {
        const after = ids[shard] ?? '0-0';
        const rows = await connection.xrange(keys.feed(resource), `(${after}`, '+', 'COUNT', PAGE);
        // the entry that the client had last is the proof that none after it was forgotten; one that came when there was none has no such
        if (rows.length > 0 && after === '0-0') lost ||= (await connection.xlen(keys.feed(resource))) >= KEPT;
        else if (rows.length > 0) lost ||= (await connection.xrange(keys.feed(resource), after, after)).length === 0;
        for (const [id, fields] of rows) {
          ids[shard] = id;
          entries.push({ place: ids.join(','), at: Number(id.split('-')[0]), run: fields[1] ?? '', state: fields[3] ?? '' });
        }
      }
      return { entries, lost };
    },
    hear,
    close: () => {
      listeners.clear();
      redis.disconnect();
    },
  };
}

function placesOf(place: string, shards: number): string[] {
  const ids = place.split(',');
  if (ids.length > shards || !ids.every((id) => /^\d{1,15}-\d{1,15}$/.test(id)))
    throw new Failure(
      'request_invalid',
      `Last-Event-ID: found ${JSON.stringify(place.slice(0, 60))}, expected the id of an event of this stream.`,
    );
  return Array.from({ length: shards }, (_, shard) => ids[shard] ?? '0-0');
}
