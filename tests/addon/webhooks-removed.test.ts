// Deliveries that are under way while their resource is removed leave nothing behind.
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startWebhooks } from '../../src/processors/webhook.ts';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys, webhookKeys } from '../../src/queues/keys.ts';
import { createPurge } from '../../src/queues/purge.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createWebhooks } from '../../src/queues/webhooks.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { seedId } from '../support/seed-runs.ts';
import { until } from '../support/until.ts';

let server: TestRedis;
let redis: Redis;
/** Of the webhooks alone, so that a test may stand in its way. */
let theirs: Redis;
let webhooks: ReturnType<typeof createWebhooks>;

beforeAll(async () => {
  server = await startRedis();
  redis = connect({ socket: server.socket }, () => {});
  theirs = connect({ socket: server.socket }, () => {});
  const sealer = createSealer(Buffer.alloc(32, 7));
  webhooks = createWebhooks({ redis: theirs, sealer, shards: () => 1, now: Date.now, onError: () => {} });
});
afterAll(async () => {
  await webhooks?.close();
  theirs?.disconnect();
  redis?.disconnect();
  await server?.stop();
});

const keysOf = async (resource: string) => (await redis.keys('*')).filter((key) => key.includes(resource));
const purge = async (resource: string) => await createPurge({ redis, shards: () => 1 }).purge(resource);
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

it('a delivery that is answered after the removal is not noted', async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<number>();
  const post = async () => {
    asked.resolve();
    return await answer.promise;
  };
  const started = startWebhooks({ webhooks, post, show: () => Promise.resolve(undefined), now: Date.now, log: quiet, connection: theirs });
  try {
    const { id } = await webhooks.add('in-flight', 'https://example.com/');
    const delivery = await webhooks.ping('in-flight', id);
    await asked.promise;
    await purge('in-flight');
    answer.resolve(204);
    await until('the end of the delivery', async () => (await redis.exists(`{af:webhooks}:webhook:${delivery}`)) === 0);
    expect(await keysOf('in-flight')).toEqual([]);
  } finally {
    answer.resolve(204);
    await started.stop();
  }
});

it('a delivery of a removed webhook is not noted, those of the others are', async () => {
  const [gone, stays] = [await webhooks.add('two', 'https://example.com/1'), await webhooks.add('two', 'https://example.com/2')];
  await webhooks.remove('two', gone.id);
  const delivery = { at: new Date(0).toISOString(), run: null, attempt: 1, status: 204, error: null, ms: 1 };
  await webhooks.note('two', { ...delivery, id: 'a', webhook: gone.id });
  await webhooks.note('two', { ...delivery, id: 'b', webhook: stays.id });
  expect((await webhooks.deliveries('two', 10)).map(({ id }) => id)).toEqual(['b']);
});

it('a look at what has ended that overlaps the removal keeps no place', async () => {
  await webhooks.add('looked-at', 'https://example.com/');
  await redis.xadd(shardKeys(0).feed('looked-at'), '*', 'run', seedId('one'), 'state', 'succeeded');
  const write = theirs.hset.bind(theirs);
  // the removal comes to its end between the reading and the writing
  theirs.hset = (async (...args: Parameters<typeof write>) => {
    await purge('looked-at');
    return await write(...args);
  }) as typeof theirs.hset;
  try {
    await webhooks.dispatch();
  } finally {
    theirs.hset = write;
  }
  expect(await keysOf('looked-at')).toEqual([]);
});

it('what is noted while the removal looks for keys is not left behind, in whatever order it finds them', async () => {
  const own = connect({ socket: server.socket }, () => {});
  const unlink = own.unlink.bind(own);
  const names = Array.from({ length: 8 }, (_, i) => `noted-${i}`);
  try {
    for (const resource of names) {
      const { id } = await webhooks.add(resource, 'https://example.com/');
      const note = { at: '', id: 'a', webhook: id, run: null, attempt: 1, status: 204, error: null, ms: 1 };
      await webhooks.note(resource, note);
      own.unlink = (async (key: string) => {
        const removed = await unlink(key);
        if (key === webhookKeys(resource).deliveries) await webhooks.note(resource, note);
        return removed;
      }) as typeof own.unlink;
      await createPurge({ redis: own, shards: () => 1 }).purge(resource);
    }
  } finally {
    own.disconnect();
  }
  expect(await keysOf('noted-')).toEqual([]);
});
