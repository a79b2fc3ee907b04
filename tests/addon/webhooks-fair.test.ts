// One resource's servers that do not answer hold up nobody else's deliveries.
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startWebhooks } from '../../src/processors/webhook.ts';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys } from '../../src/queues/keys.ts';
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
  webhooks = createWebhooks({ redis, sealer: createSealer(Buffer.alloc(32, 7)), shards: 1, now: Date.now, onError: () => {} });
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
