// Records of resources on their way into the archive and back: whoever lost Redis would otherwise not know whose a bucket is.
// Secrets are in them as Redis has them, sealed. Whether its launches are held back and whom its webhooks tell goes along. API tokens do not: one
// that was revoked after the last backup would work again.
import type { Redis } from 'ioredis';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { ACCOUNTS_KEY, appKey, bucketKey, pausedKey, RESOURCES_KEY, resourceKey, WEBHOOKED_KEY, webhookKeys } from './keys.ts';

const Backup = Type.Object({
  format: Type.Literal(1),
  id: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' }),
  bucket: Type.String({ minLength: 1 }),
  record: Type.Record(Type.String(), Type.String()),
  /** Accounts from whose launch budget it takes nothing at the moment; absent in backups from before, and without any. */
  paused: Type.Optional(Type.Array(Type.String())),
  /** Its webhooks as Redis has them, by id. */
  webhooks: Type.Optional(Type.Record(Type.String(), Type.String())),
});
const backup = Compile(Backup);

export type ResourceBackup = ReturnType<typeof createResourceBackup>;

export function createResourceBackup(deps: { redis: Redis }) {
  const { redis } = deps;

  const pausedAt = async (id: string): Promise<string[]> => {
    const found: string[] = [];
    for (const account of await redis.smembers(ACCOUNTS_KEY))
      if ((await redis.sismember(pausedKey(account), id)) === 1) found.push(account);
    return found.sort();
  };

  return {
    /** The record as text, always the same for the same record; undefined when there is none. */
    dump: async (id: string): Promise<string | undefined> => {
      const found = await redis.hgetall(resourceKey(id));
      const bucket = found['bucket'];
      if (bucket === undefined) return undefined;
      const webhooks = await redis.hgetall(webhookKeys(id).all);
      const paused = await pausedAt(id);
      return JSON.stringify({
        format: 1,
        id,
        bucket,
        record: sorted(found),
        ...(paused.length === 0 ? {} : { paused }),
        ...(Object.keys(webhooks).length === 0 ? {} : { webhooks: sorted(webhooks) }),
      } satisfies Static<typeof Backup>);
    },

    /** Puts back a record that is not there. Answers whether it did; a text that is no backup does nothing. */
    restore: async (text: string): Promise<boolean> => {
      let parsed: unknown;
      try {
        parsed = JSON.parse(text);
      } catch {
        return false;
      }
      if (!backup.Check(parsed) || parsed.record['bucket'] !== parsed.bucket) return false;
      const { id, bucket, record, paused = [], webhooks = {} } = parsed;
      if ((await redis.exists(resourceKey(id))) === 1) return false;
      // before the resource itself: without it nothing is launched
      for (const account of paused) {
        await redis.sadd(pausedKey(account), id);
        await redis.sadd(ACCOUNTS_KEY, account);
      }
      await redis.hset(resourceKey(id), record);
      // of a removed one its tombstone is enough
      if (record['state'] === 'removed') return true;
      await redis.setnx(bucketKey(bucket), id);
      if (record['app']) await redis.setnx(appKey(record['app']), id);
      await redis.sadd(RESOURCES_KEY, id);
      if (Object.keys(webhooks).length > 0) {
        await redis.hset(webhookKeys(id).all, webhooks);
        await redis.sadd(WEBHOOKED_KEY, id);
      }
      return true;
    },
  };
}

function sorted(fields: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}
