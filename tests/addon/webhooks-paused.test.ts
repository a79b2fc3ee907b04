// A webhook whose server takes nothing for long is paused, says why, and goes on when a test is taken.
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startWebhooks } from '../../src/processors/webhook.ts';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys, webhookKeys } from '../../src/queues/keys.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createSessions } from '../../src/queues/sessions.ts';
import { createWebhooks } from '../../src/queues/webhooks.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import type { WebhookView } from '../../src/schema/webhook-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { seedId } from '../support/seed-runs.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

const RESOURCE = 'pausing';

let server: TestRedis;
let redis: Redis;
let web: TestWeb;
let webhooks: ReturnType<typeof createWebhooks>;
let started: ReturnType<typeof startWebhooks>;
/** What the server answers, and what it was told. */
let status = 500;
const told: string[] = [];

beforeAll(async () => {
  server = await startRedis();
  redis = connect({ socket: server.socket }, () => {});
  const sealer = createSealer(Buffer.alloc(32, 7));
  await createResources({ redis, sealer, now: Date.now }).put({
    id: RESOURCE,
    app: 'app',
    bucket: 'ld-private-pausing',
    region: 'us-east-1',
    plan: 'basic',
  });
  web = await openTestWeb(server, { resource: RESOURCE });
  webhooks = createWebhooks({ redis, sealer, shards: () => 1, now: Date.now, onError: () => {} });
  started = startWebhooks({
    webhooks,
    post: async (_url, headers) => {
      told.push(headers['webhook-id'] ?? '');
      return await Promise.resolve(status);
    },
    // what a delivery reads of it
    show: async (id) => await Promise.resolve({ id, resource: RESOURCE, steps: [], history: [] } as unknown as RunView),
    now: Date.now,
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    connection: redis,
  });
});
afterAll(async () => {
  await started?.stop();
  await webhooks?.close();
  await web?.close();
  redis?.disconnect();
  await server?.stop();
});

const end = async (run: string) => await redis.xadd(shardKeys(0).feed(RESOURCE), '*', 'run', seedId(run), 'state', 'succeeded');
const listed = async () => {
  const [hook] = (await (await web.call('GET', '/v1/webhooks')).json()) as WebhookView[];
  return hook;
};
const page = async () => {
  const cookie = await createSessions({ redis }).begin({ resource: RESOURCE, by: 'sso', name: 'owner@example.com' });
  return await (await web.call('GET', '/settings', { token: undefined, headers: { cookie: `autofiles=${cookie}` } })).text();
};
const ping = async (id: string) => {
  const delivery = await webhooks.ping(RESOURCE, id);
  await until('the test', async () => (await webhooks.deliveries(RESOURCE, 10)).some((one) => one.id === delivery));
};
/** Tries that were not taken before. */
const missed = async (webhook: string, count: number) => {
  const delivery = {
    at: new Date().toISOString(),
    id: 'x',
    webhook,
    run: seedId('x'),
    attempt: 1,
    status: 500,
    error: 'Found HTTP 500.',
    ms: 1,
  };
  for (let i = 0; i < count; i += 1) await webhooks.note(RESOURCE, delivery);
};
/** The first of them was seven hours ago. */
const longAgo = async (webhook: string) => await redis.hset(webhookKeys(RESOURCE).failing, `since:${webhook}`, Date.now() - 25_200_000);

it('neither many tries at once nor few over hours pause a webhook, nor tests', async () => {
  const { id } = await webhooks.add(RESOURCE, 'https://example.com/');
  await missed(id, 60);
  expect(await listed()).toMatchObject({ id, paused: null });
  status = 204;
  await ping(id);
  status = 500;
  await missed(id, 10);
  await longAgo(id);
  await missed(id, 10);
  for (let i = 0; i < 40; i += 1)
    await webhooks.note(RESOURCE, { at: '', id: `t${i}`, webhook: id, run: null, attempt: 1, status: 500, error: 'no', ms: 1 });
  expect(await listed()).toMatchObject({ id, paused: null });
  expect(await page()).not.toContain('Paused');
  await webhooks.remove(RESOURCE, id);
  expect(await redis.exists(webhookKeys(RESOURCE).failing)).toBe(0);
});

it('fifty over six hours do; then it is told nothing until a test is taken', async () => {
  const { id } = await webhooks.add(RESOURCE, 'https://example.com/');
  await missed(id, 1);
  await longAgo(id);
  await missed(id, 48);
  expect(await listed()).toMatchObject({ paused: null });
  await end('last');
  const hook = await until('the pause', async () => {
    const found = await listed();
    return found?.paused !== null && found;
  });
  expect(hook).toMatchObject({ id, paused: { why: expect.stringMatching(/None of the last 50 tries since 20.*HTTP 500/) } });
  expect(await page()).toContain('Paused');

  await end('unheard');
  const unheard = `${seedId('unheard')}.${id}`;
  await until('its end', async () => (await redis.zscore('{af:webhooks}:webhook:completed', unheard)) !== null);
  expect(told).not.toContain(unheard);
  // a test that is not taken wakes nothing
  await ping(id);
  expect((await listed())?.paused).not.toBe(null);

  status = 204;
  await ping(id);
  expect(await listed()).toMatchObject({ id, paused: null });
  await end('heard');
  await until('what ends afterwards', () => told.includes(`${seedId('heard')}.${id}`));
});
