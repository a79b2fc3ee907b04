// Webhooks as Redis has them, and their keys wrapped again when the master key was changed: each has a data key of its own beside it.
import type { Redis } from 'ioredis';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { webhookKeys } from './keys.ts';
import { run as runScript } from './scripts.ts';
import type { Sealer } from './secrets.ts';

/** `key`: the data key, wrapped; `secret`: sealed by it. */
export const storedWebhook = Compile(
  Type.Object({ id: Type.String(), url: Type.String(), created_at: Type.String(), key: Type.String(), secret: Type.String() }),
);

/**
 * Wraps the keys of a resource's webhooks by the current master key; answers with the number of those that were not. One that is removed meanwhile stays
 * removed. Throws Failure internal, when all others are done, where a key was wrapped by a master key that is not known here.
 */
export async function rewrapWebhooks(deps: { redis: Redis; sealer: Pick<Sealer, 'rewrap'> }, resource: string): Promise<number> {
  const { redis, sealer } = deps;
  const { all } = webhookKeys(resource);
  let wrapped = 0;
  const faults: unknown[] = [];
  for (const [id, text] of Object.entries(await redis.hgetall(all))) {
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
