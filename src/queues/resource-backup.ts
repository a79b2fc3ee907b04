// Records of resources on their way into the archive and back: whoever lost Redis would otherwise not know whose a bucket is.
// Secrets are in them as Redis has them, sealed. Whether its launches are held back and whom its webhooks tell goes along, and which API tokens
// there are, not the tokens: one that a rolled-back Redis has and the backup does not was revoked, and none comes back by a backup.
import type { Redis } from 'ioredis';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { ACCOUNTS_KEY, budgetKey, pausedKey, resourceKey, tokenKey, tokensKey, WEBHOOKED_KEY, webhookKeys } from './keys.ts';
import { enlist, strike } from './resource-index.ts';
import { type Resource, type ResourceState, readResource, tombstoneOf } from './resource-record.ts';
import { run as runScript } from './scripts.ts';

const Backup = Type.Object({
  format: Type.Literal(1),
  id: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' }),
  bucket: Type.String({ minLength: 1 }),
  record: Type.Record(Type.String(), Type.String()),
  /** Accounts from whose launch budget it takes nothing at the moment; absent in backups from before, and without any. */
  paused: Type.Optional(Type.Array(Type.String())),
  /** Its webhooks as Redis has them, by id. */
  webhooks: Type.Optional(Type.Record(Type.String(), Type.String())),
  /** Ids of its API tokens; absent in backups from before. */
  tokens: Type.Optional(Type.Array(Type.String())),
});
const backup = Compile(Backup);

export type ResourceBackup = ReturnType<typeof createResourceBackup>;

export function createResourceBackup(deps: { redis: Redis }) {
  const { redis } = deps;
  return {
    /** The record as text, always the same for the same record, and what it says; undefined when there is none. */
    dump: async (id: string): Promise<{ readonly text: string; readonly state: ResourceState; readonly plan: string } | undefined> => {
      const found = await redis.hgetall(resourceKey(id));
      const resource = readResource(id, found);
      if (resource === undefined) return undefined;
      const { bucket, plan, state = 'provisioned' } = resource;
      const webhooks = await redis.hgetall(webhookKeys(id).all);
      const paused = await pausedAt(redis, id);
      const tokens = (await redis.hkeys(tokensKey(id))).sort();
      const text = JSON.stringify({
        format: 1,
        id,
        bucket,
        record: sorted(found),
        ...(paused.length === 0 ? {} : { paused }),
        ...(Object.keys(webhooks).length === 0 ? {} : { webhooks: sorted(webhooks) }),
        tokens,
      } satisfies Static<typeof Backup>);
      return { text, state, plan };
    },

    /** What `dump` will answer when the resource is removed. */
    tombstone: (resource: Resource): string => {
      const { id, bucket } = resource;
      return JSON.stringify({ format: 1, id, bucket, record: sorted({ ...tombstoneOf(resource) }) } satisfies Static<typeof Backup>);
    },

    /**
     * Puts a record back that is not there, or not as far in its life, or in its changes, as the backup. Of a removed one that Redis has alive, what is left is
     * to be removed: it comes back as `deprovisioning`. Answers whether anything changed; a text that is no backup does nothing. Repeatable.
     */
    restore: async (text: string): Promise<boolean> => {
      let parsed: unknown;
      try {
        parsed = JSON.parse(text);
      } catch {
        return false;
      }
      if (!backup.Check(parsed) || parsed.record['bucket'] !== parsed.bucket) return false;
      const { id, bucket, record } = parsed;
      const merge = async (looks: boolean): Promise<{ changed: boolean; state: unknown }> => {
        const args = ['', '', JSON.stringify(record), looks ? '1' : ''];
        const reply = await runScript(redis, 'resource-merge', [resourceKey(id)], args);
        const [changed, state] = Array.isArray(reply) ? reply : [];
        return { changed: changed === 1, state };
      };
      // the record last: it says how often it was changed, and with it everything beside it counts as put back. What breaks off before is done once more
      const beside = record['state'] !== 'removed' && (await merge(true)).changed;
      if (beside) await putBeside(redis, parsed);
      const { changed, state } = await merge(false);
      // farther than the archive knows: the removal may have been through what was put back just now
      if (beside && !changed && (state === 'deprovisioning' || state === 'removed')) await takeBeside(redis, id, state);
      const places = { id, bucket, app: record['app'] ?? '' };
      // of a removed one its tombstone is enough; a recovery that broke off below may have left it to be found
      if (state === 'removed') {
        await strike(redis, places);
        return changed;
      }
      // also of one that stands: a removal that went on meanwhile may have taken them
      await enlist(redis, places);
      // one that came to its end at the same moment had struck them off before that
      if ((await redis.hget(resourceKey(id), 'state')) !== 'removed') return changed;
      if (beside) await takeBeside(redis, id, 'removed');
      await strike(redis, places);
      return changed;
    },
  };
}

/** What an archived record has beside it, as it was; what Redis has and the later copy does not was taken away after it. Repeatable. */
async function putBeside(redis: Redis, { id, paused = [], webhooks = {}, tokens }: Static<typeof Backup>): Promise<void> {
  // first: what is to be held back may be launched at any moment
  for (const account of paused) {
    await redis.sadd(pausedKey(account), id);
    await redis.sadd(ACCOUNTS_KEY, account);
  }
  // the first two are of no use to this script
  for (const account of await pausedAt(redis, id))
    if (!paused.includes(account)) await runScript(redis, 'budget-pause', [budgetKey(account)], ['1', '1', id, '0']);
  const { all } = webhookKeys(id);
  const removed = (await redis.hkeys(all)).filter((hook) => webhooks[hook] === undefined);
  if (removed.length > 0) await redis.hdel(all, ...removed);
  for (const [token, hash] of tokens === undefined ? [] : Object.entries(await redis.hgetall(tokensKey(id)))) {
    if (tokens?.includes(token)) continue;
    await redis.del(tokenKey(hash));
    await redis.hdel(tokensKey(id), token);
  }
  if (Object.keys(webhooks).length === 0) return;
  await redis.hset(all, webhooks);
  await redis.sadd(WEBHOOKED_KEY, id);
}

/** Takes away what was put back beside the record of a resource that is being removed, or was. */
async function takeBeside(redis: Redis, id: string, state: 'deprovisioning' | 'removed'): Promise<void> {
  await redis.srem(WEBHOOKED_KEY, id);
  await redis.del(webhookKeys(id).all);
  // one that is being removed may have been held back before, too
  if (state === 'deprovisioning') return;
  for (const account of await redis.smembers(ACCOUNTS_KEY)) await runScript(redis, 'budget-forget', [budgetKey(account)], [1, 1, id]);
}

/** The accounts from whose launch budget a resource takes nothing at the moment. */
async function pausedAt(redis: Redis, id: string): Promise<string[]> {
  const found: string[] = [];
  for (const account of await redis.smembers(ACCOUNTS_KEY)) if ((await redis.sismember(pausedKey(account), id)) === 1) found.push(account);
  return found.sort();
}

function sorted(fields: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}
