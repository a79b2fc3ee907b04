// The feed behind `/v1/events`: what it forgets is told, and shards that come later are in it.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../src/queues/connection.ts';
import { openFeed } from '../../src/queues/feed.ts';
import { openLayout } from '../../src/queues/layout.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { openTestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

let server: TestRedis;
let redis: ReturnType<typeof connect>;
beforeAll(async () => {
  server = await startRedis();
  redis = connect({ socket: server.socket }, () => {});
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

/** Runs that are refused at once: one entry each. */
const entries = async (resource: string, from: number, to: number, shard = 0) => {
  const seeds = Array.from({ length: to - from }, (_, i) => seedId(`${resource} ${from + i}`, shard));
  await seedRuns(
    redis,
    seeds.map((runId) => ({ runId, resource, rejected: 'no workflow' })),
  );
};

it('tells that entries were forgotten, also to who came when there was none', async () => {
  const feed = await openFeed({ connection: redis, shards: () => 1, onError: () => {} });
  try {
    const before = await feed.end('r');
    await entries('r', 0, 5);
    const first = await feed.end('r');
    expect(await feed.read('r', before)).toMatchObject({ lost: false, entries: { length: 5 } });
    await entries('r', 5, 200);
    expect((await feed.read('r', first)).lost).toBe(false);
    await entries('r', 200, 1_300);
    expect((await feed.read('r', first)).lost).toBe(true);
    expect((await feed.read('r', before)).lost).toBe(true);
  } finally {
    feed.close();
  }
});

it('has the shards that came since it was opened', async () => {
  let shards = 1;
  const feed = await openFeed({ connection: redis, shards: () => shards, onError: () => {} });
  try {
    await entries('later', 0, 1);
    const place = await feed.end('later');
    let rings = 0;
    feed.listen('later', () => {
      rings += 1;
    });
    shards = 3;
    await feed.hear();
    await entries('later', 1, 2, 2);
    await until('a ring', () => rings > 0);
    const { entries: found, lost } = await feed.read('later', place);
    expect(found.map(({ run }) => run)).toEqual([seedId('later 1', 2)]);
    expect(lost).toBe(false);
    expect(found[0]?.place.split(',')).toHaveLength(3);
  } finally {
    feed.close();
  }
});

it('and so have the numbers that a web process shows', async () => {
  await createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now }).put({
    id: 'grown',
    app: 'app',
    bucket: 'ld-private-grown',
    region: 'us-east-1',
    plan: 'test',
  });
  const web = await openTestWeb(server, { resource: 'grown' });
  try {
    const rejected = async () => JSON.parse(await (await web.call('GET', '/v1/ledger')).text()).decisions?.rejected;
    await entries('grown', 0, 1);
    expect(await rejected()).toBe(1);
    await entries('grown', 1, 2, 2);
    await openLayout({ redis, wanted: 1 });
    await openLayout({ redis, wanted: 3 });
    // it looks every ten seconds
    await until('those of another shard', async () => (await rejected()) === 2);
  } finally {
    await web.close();
  }
});
