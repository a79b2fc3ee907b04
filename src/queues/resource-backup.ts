// Records of resources on their way into the archive and back: whoever lost Redis would otherwise not know whose a bucket is.
// Secrets are in them as Redis has them, sealed.
import type { Redis } from 'ioredis';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { appKey, bucketKey, RESOURCES_KEY, resourceKey } from './keys.ts';

const Backup = Type.Object({
  format: Type.Literal(1),
  id: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' }),
  bucket: Type.String({ minLength: 1 }),
  record: Type.Record(Type.String(), Type.String()),
});
const backup = Compile(Backup);

export type ResourceBackup = ReturnType<typeof createResourceBackup>;

export function createResourceBackup(deps: { redis: Redis }) {
  const { redis } = deps;
  return {
    /** The record as text, always the same for the same record; undefined when there is none. */
    dump: async (id: string): Promise<string | undefined> => {
      const found = await redis.hgetall(resourceKey(id));
      const bucket = found['bucket'];
      if (bucket === undefined) return undefined;
      const record = Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
      return JSON.stringify({ format: 1, id, bucket, record } satisfies Static<typeof Backup>);
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
      const { id, bucket, record } = parsed;
      if ((await redis.exists(resourceKey(id))) === 1) return false;
      await redis.hset(resourceKey(id), record);
      // of a removed one its tombstone is enough
      if (record['state'] === 'removed') return true;
      await redis.setnx(bucketKey(bucket), id);
      if (record['app']) await redis.setnx(appKey(record['app']), id);
      await redis.sadd(RESOURCES_KEY, id);
      return true;
    },
  };
}
