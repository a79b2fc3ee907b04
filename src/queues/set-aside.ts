// What was set aside: object versions that led to no run although they asked for one, or could not be read, each with the reason.
import type { Redis } from 'ioredis';
import type { SetAside } from '../schema/ledger-view.ts';
import { shardKeys } from './keys.ts';

/** Entries that Redis has of one resource and shard at most (quarantine.lua). */
const MOST_KEPT = 1_000;

/** What was set aside of a resource's bucket, newest first, `limit` at most; with `key` of that file alone. */
export async function readSetAside(
  redis: Redis,
  shards: number,
  resource: string,
  { limit, key }: { limit: number; key?: string },
): Promise<readonly SetAside[]> {
  const found: { at: number; entry: SetAside }[] = [];
  for (let shard = 0; shard < shards; shard += 1) {
    // one key's entries may stand anywhere among them
    const last = (key === undefined ? limit : MOST_KEPT) - 1;
    const rows = await redis.zrange(shardKeys(shard).quarantine(resource), '0', String(last), 'REV', 'WITHSCORES');
    for (let i = 0; i + 1 < rows.length; i += 2) {
      const at = Number(rows[i + 1]);
      const entry = readEntry(rows[i] ?? '', at);
      if (entry !== undefined && (key === undefined || entry.key === key)) found.push({ at, entry });
    }
  }
  return found
    .sort((a, b) => b.at - a.at)
    .slice(0, limit)
    .map(({ entry }) => entry);
}

/** undefined: none that names an object, such as a message that was no event. */
function readEntry(text: string, at: number): SetAside | undefined {
  let entry: unknown;
  try {
    entry = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof entry !== 'object' || entry === null || !('key' in entry) || typeof entry.key !== 'string') return undefined;
  return {
    key: entry.key,
    version_id: 'version_id' in entry && typeof entry.version_id === 'string' ? entry.version_id : '',
    reason: 'reason' in entry && typeof entry.reason === 'string' ? entry.reason : '',
    at: new Date(at).toISOString(),
  };
}
