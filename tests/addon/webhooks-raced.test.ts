// Webhooks that come and go at the same moment: whoever stands afterwards is told of what ends, and of nothing from before.
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys, WEBHOOKED_KEY, webhookKeys } from '../../src/queues/keys.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { rewrapWebhooks } from '../../src/queues/webhook-keys.ts';
import { createWebhooks } from '../../src/queues/webhooks.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { seedId } from '../support/seed-runs.ts';

let server: TestRedis;
let redis: Redis;
/** Of the webhooks alone, so that a test may stand in its way. */
let theirs: Redis;
let webhooks: ReturnType<typeof createWebhooks>;
const sealer = createSealer(Buffer.alloc(32, 7));

beforeAll(async () => {
  server = await startRedis();
  redis = connect({ socket: server.socket }, () => {});
  theirs = connect({ socket: server.socket }, () => {});
  webhooks = createWebhooks({ redis: theirs, sealer, shards: () => 1, now: Date.now, onError: () => {} });
});
afterAll(async () => {
  await webhooks?.close();
  theirs?.disconnect();
  redis?.disconnect();
  await server?.stop();
});

const URL_OF = (path: string) => `https://example.com/${path}`;

/** Does `what` once, when a command of that name, and about that key, was answered. */
function after(name: 'hlen' | 'hsetnx' | 'xrange', what: () => Promise<unknown>, key?: string): void {
  const command = theirs[name].bind(theirs) as (...args: unknown[]) => Promise<unknown>;
  theirs[name] = (async (...args: unknown[]) => {
    if (key !== undefined && args[0] !== key) return await command(...args);
    theirs[name] = command as never;
    const reply = await command(...args);
    await what();
    return reply;
  }) as never;
}

let count = 0;
/** A run of the resource ends. */
async function end(resource: string): Promise<string> {
  count += 1;
  const run = seedId(`run${count}`);
  await redis.xadd(shardKeys(0).feed(resource), '*', 'run', run, 'state', 'succeeded');
  return run;
}

/** Which of these runs the webhook is told of. */
async function told(hook: string, runs: readonly string[]): Promise<readonly string[]> {
  await webhooks.dispatch();
  const found: string[] = [];
  for (const run of runs) if ((await redis.exists(`{af:webhooks}:webhook:${run}.${hook}`)) === 1) found.push(run);
  return found;
}

it('one that is added while the last one is removed is told', async () => {
  const last = await webhooks.add('added', URL_OF('last'));
  const before = await end('added');
  await webhooks.dispatch();
  let added = '';
  after('hlen', async () => {
    added = (await webhooks.add('added', URL_OF('next'))).id;
  });
  await webhooks.remove('added', last.id);
  const later = await end('added');
  expect(await told(added, [before, later])).toEqual([later]);
});

it('the last one is removed while another is added: that one is told, and of nothing from before', async () => {
  const last = await webhooks.add('removed', URL_OF('last'));
  const before = await end('removed');
  await webhooks.dispatch();
  // so that the clock of the feed has gone on when the next one is added
  const [[place] = ['']] = await redis.xrevrange(shardKeys(0).feed('removed'), '+', '-', 'COUNT', 1);
  await expect.poll(() => Date.now()).toBeGreaterThan(Number(place.split('-')[0]));
  after('hsetnx', async () => await webhooks.remove('removed', last.id));
  const { id } = await webhooks.add('removed', URL_OF('next'));
  const later = await end('removed');
  expect(await told(id, [before, later])).toEqual([later]);
});

it('the last one is removed while what ended is read: nobody is told, and the others are read on', async () => {
  const { id } = await webhooks.add('gone', URL_OF('gone'));
  await end('gone');
  const next = await webhooks.add('stays', URL_OF('stays'));
  const run = await end('stays');
  after('xrange', async () => await webhooks.remove('gone', id), shardKeys(0).feed('gone'));
  expect(await told(next.id, [run])).toEqual([run]);
  expect(await redis.exists(webhookKeys('gone').places)).toBe(0);
}, 10_000);

it('a removal that breaks off leaves nothing that the next look does not take away', async () => {
  const last = await webhooks.add('broken', URL_OF('last'));
  after('hlen', () => Promise.reject(new Error('killed')));
  await expect(webhooks.remove('broken', last.id)).rejects.toThrow('killed');
  await webhooks.dispatch();
  expect(await redis.sismember(WEBHOOKED_KEY, 'broken')).toBe(0);
  expect(await redis.exists(webhookKeys('broken').places)).toBe(0);
});

it('one whose resource is on no list is put there by the look at all resources', async () => {
  const { id } = await webhooks.add('off', URL_OF('last'));
  await redis.srem(WEBHOOKED_KEY, 'off');
  expect(await rewrapWebhooks({ redis, sealer }, 'off')).toBe(0);
  const later = await end('off');
  expect(await told(id, [later])).toEqual([later]);
});
