// What an owner changed beside the record of a resource comes back with it after Redis was rolled back, and what was taken away stays away.
import type { Redis } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { connect } from '../../src/queues/connection.ts';
import { resourceKey, WEBHOOKED_KEY } from '../../src/queues/keys.ts';
import { createPurge } from '../../src/queues/purge.ts';
import { createResourceBackup } from '../../src/queues/resource-backup.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createTokens } from '../../src/queues/tokens.ts';
import { createWebhooks } from '../../src/queues/webhooks.ts';
import { startRedis } from '../support/redis-server.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const id = '11111111-2222-4333-8444-555555555555';
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

async function start() {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  const sealer = createSealer(Buffer.alloc(32, 1));
  const hooks = createWebhooks({ redis, sealer, shards: () => 1, now: Date.now, onError() {} });
  ends.push(
    server.stop,
    () => redis.disconnect(),
    () => hooks.close(),
  );
  const resources = createResources({ redis, sealer, now: Date.now });
  await resources.put({
    id,
    app: 'app',
    bucket: `ld-private-${id}`,
    region: 'us-east-1',
    plan: 'basic',
  });
  /** Keeps all that Redis has; answers with the way back to it. */
  const remember = async () => {
    const kept = new Map<string, Buffer>();
    for (const key of await redis.keys('*')) kept.set(key, await redis.dumpBuffer(key));
    return async () => {
      await redis.flushall();
      for (const [key, value] of kept) await redis.restore(key, 0, value);
    };
  };
  return {
    redis,
    resources,
    budget: createBudget({ redis, perHour: 1_000, log: quiet }),
    tokens: createTokens({ redis, now: Date.now }),
    backup: createResourceBackup({ redis }),
    hooks,
    remember,
    urls: async () => (await hooks.list(id)).map(({ url }) => url),
  };
}

it('launches that were held are held again, a command that was forbidden is, a removed webhook tells nobody, a revoked token opens nothing', async () => {
  const { resources, budget, tokens, hooks, backup, remember, urls } = await start();
  const leaked = await hooks.add(id, 'https://leaked.example/x');
  const stolen = await tokens.make({ resource: id, scope: 'write', name: 'ci', by: 'owner' });
  const good = await tokens.make({ resource: id, scope: 'read', name: 'monitor', by: 'owner' });
  const rollBack = await remember();

  await budget.pause(ADDON_ACCOUNT, id);
  await resources.change(id, { set: { commands: 'procfile' } });
  await hooks.remove(id, leaked.id);
  await hooks.add(id, 'https://new.example/y');
  await tokens.revoke(id, stolen.id);
  const archived = (await backup.dump(id))?.text ?? '';

  await rollBack();
  expect(await backup.restore(archived)).toBe(true);
  expect(await budget.isPaused(ADDON_ACCOUNT, id)).toBe(true);
  expect((await resources.get(id))?.commands).toBe('procfile');
  expect(await urls()).toEqual(['https://new.example/y']);
  expect(await tokens.find(stolen.token)).toBeUndefined();
  expect(await tokens.find(good.token)).toMatchObject({ name: 'monitor' });
  expect((await tokens.list(id)).map(({ name }) => name)).toEqual(['monitor']);
  expect((await backup.dump(id))?.text, 'the next backup is the one that there is').toBe(archived);
});

it('launches that were let go on go on again', async () => {
  const { budget, backup, remember } = await start();
  await budget.pause(ADDON_ACCOUNT, id);
  const task = 'r0-aaaaaaaaaaaaaaaaaaaa.0.0';
  expect((await budget.request({ account: ADDON_ACCOUNT, resource: id, task, concurrency: 0 })).answer).toBe('queued');
  const rollBack = await remember();
  await budget.resume(ADDON_ACCOUNT, id);
  const archived = (await backup.dump(id))?.text ?? '';
  await rollBack();
  await backup.restore(archived);
  expect(await budget.isPaused(ADDON_ACCOUNT, id)).toBe(false);
  expect((await budget.grant(ADDON_ACCOUNT)).grants).toEqual([{ task, resource: id }]);
});

it('a backup from before takes nothing away', async () => {
  const { budget, tokens, hooks, backup, urls } = await start();
  const archived = (await backup.dump(id))?.text ?? '';
  await hooks.add(id, 'https://new.example/y');
  const token = await tokens.make({ resource: id, scope: 'read', name: 'monitor', by: 'owner' });
  await budget.pause(ADDON_ACCOUNT, id);
  expect(await backup.restore(archived)).toBe(false);
  expect(await budget.isPaused(ADDON_ACCOUNT, id)).toBe(true);
  expect(await urls()).toEqual(['https://new.example/y']);
  expect(await tokens.find(token.token)).toMatchObject({ name: 'monitor' });
});

/** A Redis that breaks off at the first command of that name, as when its client dies there. */
function breakingAt(redis: Redis, command: 'sadd' | 'hset' | 'hdel' | 'del'): Redis {
  return new Proxy(redis, {
    get: (target, name) => {
      if (name === command) return () => Promise.reject(new Error('broken off'));
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

it.each(['hdel', 'del', 'sadd', 'hset'] as const)(
  'what breaks off at its first %s is done as a whole by the next restore',
  async (command) => {
    const { redis, budget, tokens, hooks, backup, remember, urls } = await start();
    const leaked = await hooks.add(id, 'https://leaked.example/x');
    const stolen = await tokens.make({ resource: id, scope: 'write', name: 'ci', by: 'owner' });
    const rollBack = await remember();
    await budget.pause(ADDON_ACCOUNT, id);
    await hooks.remove(id, leaked.id);
    await hooks.add(id, 'https://new.example/y');
    await tokens.revoke(id, stolen.id);
    const archived = (await backup.dump(id))?.text ?? '';

    await rollBack();
    await expect(createResourceBackup({ redis: breakingAt(redis, command) }).restore(archived)).rejects.toThrow('broken off');
    expect((await backup.dump(id))?.text, 'what is half restored is no later copy').not.toContain(`"rev":"${revOf(archived)}"`);
    expect(await backup.restore(archived)).toBe(true);
    expect(await budget.isPaused(ADDON_ACCOUNT, id)).toBe(true);
    expect(await urls()).toEqual(['https://new.example/y']);
    expect(await tokens.find(stolen.token)).toBeUndefined();
    expect(await tokens.list(id)).toEqual([]);
    expect(await redis.sismember(WEBHOOKED_KEY, id)).toBe(1);
    expect((await backup.dump(id))?.text, 'the next backup is the one that there is').toBe(archived);
    expect(await backup.restore(archived)).toBe(false);
  },
);

it.each(['sadd', 'hset'] as const)('of a Redis that was emptied, too: %s', async (command) => {
  const { redis, budget, hooks, backup, urls } = await start();
  await budget.pause(ADDON_ACCOUNT, id);
  await hooks.add(id, 'https://new.example/y');
  const archived = (await backup.dump(id))?.text ?? '';
  await redis.flushall();
  await expect(createResourceBackup({ redis: breakingAt(redis, command) }).restore(archived)).rejects.toThrow('broken off');
  expect(await backup.restore(archived)).toBe(true);
  expect(await budget.isPaused(ADDON_ACCOUNT, id)).toBe(true);
  expect(await urls()).toEqual(['https://new.example/y']);
  expect((await backup.dump(id))?.text).toBe(archived);
});

it('what is put back beside a resource that comes to its end meanwhile is taken away again', async () => {
  const { redis, budget, hooks, backup } = await start();
  const rollBack = await redis.dumpBuffer(resourceKey(id));
  await budget.pause(ADDON_ACCOUNT, id);
  await hooks.add(id, 'https://new.example/y');
  const archived = (await backup.dump(id))?.text ?? '';
  await redis.flushall();
  await redis.restore(resourceKey(id), 0, rollBack);
  // its removal ends while the webhooks are written
  const ending = new Proxy(redis, {
    get: (target, name) => {
      const value = Reflect.get(target, name, target) as unknown;
      if (name !== 'hset') return typeof value === 'function' ? value.bind(target) : value;
      return async (...args: Parameters<Redis['hset']>) => {
        await createPurge({ redis, shards: () => 1 }).purge(id);
        await redis.hset(resourceKey(id), 'state', 'removed');
        return await redis.hset(...args);
      };
    },
  });
  await createResourceBackup({ redis: ending }).restore(archived);
  expect(await redis.hget(resourceKey(id), 'state')).toBe('removed');
  expect(await hooks.list(id)).toEqual([]);
  expect(await redis.sismember(WEBHOOKED_KEY, id)).toBe(0);
  expect(await budget.isPaused(ADDON_ACCOUNT, id)).toBe(false);
});

function revOf(backupText: string): string {
  const { record } = JSON.parse(backupText) as { record: { rev: string } };
  return record.rev;
}
