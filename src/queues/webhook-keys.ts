// Webhooks as Redis has them, and their keys wrapped again when the master key was changed: each has a data key of its own beside it.
import type { Redis } from 'ioredis';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { WEBHOOKED_KEY, webhookKeys } from './keys.ts';
import { run as runScript } from './scripts.ts';
import type { Sealer } from './secrets.ts';

/** `key`: the data key, wrapped; `secret`: sealed by it. */
export const storedWebhook = Compile(
  Type.Object({ id: Type.String(), url: Type.String(), created_at: Type.String(), key: Type.String(), secret: Type.String() }),
);

/**
 * Wraps the keys of a resource's webhooks by the current master key; answers with the number of those that were not. One that is removed meanwhile stays
 * removed.
 * A resource that has any is on the list of those that have afterwards: who took it off while one was added may have died before he saw that.
 * Throws Failure internal, when all others are done, where a key was wrapped by a master key that is not known here.
 */
export async function rewrapWebhooks(deps: { redis: Redis; sealer: Pick<Sealer, 'rewrap'> }, resource: string): Promise<number> {
  const { redis, sealer } = deps;
  const { all } = webhookKeys(resource);
  let wrapped = 0;
  const faults: unknown[] = [];
  const found = Object.entries(await redis.hgetall(all));
  // of one whose last webhook goes at this moment the next look for what has ended takes it off again
  if (found.length > 0) await redis.sadd(WEBHOOKED_KEY, resource);
  for (const [id, text] of found) {
    const record: unknown = JSON.parse(text);
    if (!storedWebhook.Check(record)) continue;
    try {
      const key = sealer.rewrap(resource, record.key);
      if (key === undefined) continue;
      const reply = await runScript(redis, 'rewrap-webhook', [all], ['', '', id, text, JSON.stringify({ ...record, key })]);
      wrapped += Number(reply);
    } catch (error) {
      faults.push(error);
    }
  }
  if (faults.length > 0) throw faults[0];
  return wrapped;
}
