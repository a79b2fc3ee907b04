// What an owner changed beside the record of a resource comes back with it after Redis was rolled back, and what was taken away stays away.
import { afterEach, expect, it } from 'vitest';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { connect } from '../../src/queues/connection.ts';
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
  const hooks = createWebhooks({ redis, sealer, shards: 1, now: Date.now, onError() {} });
  ends.push(
    server.stop,
    () => redis.disconnect(),
    () => hooks.close(),
  );
  await createResources({ redis, sealer, now: Date.now }).put({
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
    budget: createBudget({ redis, perHour: 1_000, log: quiet }),
    tokens: createTokens({ redis, now: Date.now }),
    backup: createResourceBackup({ redis }),
    hooks,
    remember,
    urls: async () => (await hooks.list(id)).map(({ url }) => url),
  };
}

it('launches that were held are held again, a removed webhook tells nobody, a revoked token opens nothing', async () => {
  const { budget, tokens, hooks, backup, remember, urls } = await start();
  const leaked = await hooks.add(id, 'https://leaked.example/x');
  const stolen = await tokens.make({ resource: id, scope: 'write', name: 'ci', by: 'owner' });
  const good = await tokens.make({ resource: id, scope: 'read', name: 'monitor', by: 'owner' });
  const rollBack = await remember();

  await budget.pause(ADDON_ACCOUNT, id);
  await hooks.remove(id, leaked.id);
  await hooks.add(id, 'https://new.example/y');
  await tokens.revoke(id, stolen.id);
  const archived = (await backup.dump(id))?.text ?? '';

  await rollBack();
  expect(await backup.restore(archived)).toBe(true);
  expect(await budget.isPaused(ADDON_ACCOUNT, id)).toBe(true);
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
  expect(await budget.request({ account: ADDON_ACCOUNT, resource: id, task, concurrency: 0 })).toBe('queued');
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
