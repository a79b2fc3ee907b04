// One resource's servers that do not answer hold up nobody else's deliveries.
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startWebhooks } from '../../src/processors/webhook.ts';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys, WEBHOOK_PREFIX, WEBHOOK_QUEUE } from '../../src/queues/keys.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createWebhooks } from '../../src/queues/webhooks.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { seedId } from '../support/seed-runs.ts';
import { until } from '../support/until.ts';

/** More than a worker sends at a time. */
const RUNS = 30;

let server: TestRedis;
let redis: Redis;
let webhooks: ReturnType<typeof createWebhooks>;

beforeAll(async () => {
  server = await startRedis();
  redis = connect({ socket: server.socket }, () => {});
  webhooks = createWebhooks({ redis, sealer: createSealer(Buffer.alloc(32, 7)), shards: () => 1, now: Date.now, onError: () => {} });
});
afterAll(async () => {
  await webhooks?.close();
  redis?.disconnect();
  await server?.stop();
});

/** So many runs of the resource have ended. */
async function end(resource: string, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1)
    await redis.xadd(shardKeys(0).feed(resource), '*', 'run', `${resource}-${seedId(String(i))}`, 'state', 'succeeded');
}

it('a resource has four deliveries under way at most, and a test besides; the others wait without using up a try', async () => {
  const release = Promise.withResolvers<void>();
  let underWay = 0;
  let most = 0;
  let sent = 0;
  const post = async (url: string, headers: Readonly<Record<string, string>>) => {
    if (!url.includes('dead')) return 204;
    if (headers['webhook-id']?.startsWith('ping')) return 204;
    underWay += 1;
    most = Math.max(most, underWay);
    sent += 1;
    await release.promise;
    underWay -= 1;
    return 204;
  };
  const show = async (id: string) =>
    // what a delivery reads of it
    await Promise.resolve({ id, resource: id.slice(0, id.indexOf('-')), steps: [], history: [] } as unknown as RunView);
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const started = startWebhooks({ webhooks, post, show, now: Date.now, log, connection: redis });
  try {
    const dead = await webhooks.add('dead', 'https://dead.example/');
    await webhooks.add('alive', 'https://alive.example/');
    await end('dead', RUNS);
    await until('all that may be sent at a time', () => sent >= 4);
    await end('alive', 3);
    await until('the others', async () => (await webhooks.deliveries('alive', 10)).length === 3);
    const test = await webhooks.ping('dead', dead.id);
    await until('the test', async () => (await webhooks.deliveries('dead', 10)).some(({ id }) => id === test));
    expect(sent).toBe(4);
    release.resolve();
    const all = await until('all of it', async () => {
      const found = await webhooks.deliveries('dead', 100);
      return found.length === RUNS + 1 && found;
    });
    expect(most).toBe(4);
    expect(new Set(all.map(({ attempt }) => attempt))).toEqual(new Set([1]));
    expect(new Set(all.map(({ id }) => id)).size).toBe(RUNS + 1);
  } finally {
    release.resolve();
    await started.stop();
  }
});

/** Tests that stand in Redis as jobs, be they done or not. */
async function testJobs(): Promise<readonly string[]> {
  const names = await redis.keys(`${WEBHOOK_PREFIX}:${WEBHOOK_QUEUE}:*`);
  const kinds = await Promise.all(names.map(async (name) => ({ name, kind: await redis.type(name) })));
  return kinds.filter(({ name, kind }) => kind === 'hash' && name.includes(':ping-')).map(({ name }) => name);
}

it('of the tests of one webhook one waits and one is under way, however many are asked for, and none is kept', async () => {
  const release = Promise.withResolvers<void>();
  const posted: string[] = [];
  const post = async (_url: string, headers: Readonly<Record<string, string>>) => {
    posted.push(headers['webhook-id'] ?? '');
    await release.promise;
    return 204;
  };
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const { id } = await webhooks.add('tested', 'https://tested.example/');
  const other = await webhooks.add('tested', 'https://other.example/');
  const many = async (webhook: string) => new Set(await Promise.all(Array.from({ length: 100 }, () => webhooks.ping('tested', webhook))));
  // one that waits goes with its webhook
  await many(other.id);
  expect(await testJobs()).toHaveLength(1);
  await webhooks.remove('tested', other.id);
  expect(await testJobs()).toEqual([]);
  const [first] = await many(id);
  expect(await testJobs()).toHaveLength(1);
  const started = startWebhooks({ webhooks, post, show: () => Promise.resolve(undefined), now: Date.now, log, connection: redis });
  try {
    await until('the first one', () => posted.length === 1);
    expect(posted).toEqual([first]);
    // what is asked for now is sent after it: the server may just have been mended
    const next = await many(id);
    expect([...next]).not.toContain(first);
    expect(next.size).toBe(1);
    expect(await testJobs()).toHaveLength(2);
    release.resolve();
    await until('both', async () => (await webhooks.deliveries('tested', 10)).length === 2);
    expect(posted).toEqual([first, ...next]);
    await until('nothing kept', async () => (await testJobs()).length === 0);
  } finally {
    release.resolve();
    await started.stop();
  }
});

it('of the deliveries of ended runs the last 10,000 are kept, for a day at most', async () => {
  await webhooks.add('kept', 'https://kept.example/');
  await end('kept', 1);
  await webhooks.dispatch();
  const [name = ''] = await redis.keys(`${WEBHOOK_PREFIX}:${WEBHOOK_QUEUE}:kept-*`);
  const opts: unknown = JSON.parse((await redis.hget(name, 'opts')) ?? '{}');
  const kept = { age: 86_400, count: 10_000 };
  expect(opts).toMatchObject({ removeOnComplete: kept, removeOnFail: kept });
});
