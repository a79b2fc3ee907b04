// What was set aside: object versions that led to no run although they asked for one, or could not be read, each with the reason.
import type { Redis } from 'ioredis';
import type { SetAside, VersionRef } from '../schema/ledger-view.ts';
import { shardKeys } from './keys.ts';
import type { Layout } from './layout.ts';
import { keysOfRun } from './run-record.ts';

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

/** Why a cap on runs sets a file aside: that of a minute, and that of a plan's day. */
const PAST_LIMITS = ['too many runs in one minute', "the plan's runs of the day (UTC) are used up: a larger plan has more"] as const;

/** The entries that a version may have for these reasons (accept.lua), the minute's first. */
export function entriesPastLimits({ bucket, key, versionId }: VersionRef): readonly string[] {
  return PAST_LIMITS.map((reason) => JSON.stringify({ reason, bucket, key, version_id: versionId }));
}

/** Those of the versions that a cap on runs set aside, as long as they are listed and have no run, under any layout so far. */
export async function readPastLimits<T extends VersionRef>(
  redis: Redis,
  layout: Pick<Layout, 'candidates'>,
  resource: string,
  versions: readonly T[],
): Promise<readonly T[]> {
  const found = await Promise.all(
    versions.map(async (version) => {
      const runIds = layout.candidates(version);
      // one by one: they are spread over shards, which may be on different nodes
      const scores = await Promise.all(
        runIds.map(async (id) => await redis.zmscore(keysOfRun(id).quarantine(resource), ...entriesPastLimits(version))),
      );
      if (scores.flat().every((score) => score === null)) return false;
      const exist = await Promise.all(runIds.map(async (id) => await redis.exists(keysOfRun(id).run(id))));
      return !exist.includes(1);
    }),
  );
  return versions.filter((_, i) => found[i] === true);
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
