// When a worker looks at dyno lists, and when it tries a stop again: by a clock that nobody sets.
import { randomUUID } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { createPauses } from '../../src/processors/pauses.ts';
import { startPolling } from '../../src/processors/poll.ts';
import { createStops } from '../../src/processors/stops.ts';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { createLooks } from '../../src/queues/looks.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createWatch } from '../../src/queues/watch.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedis } from '../support/redis-server.ts';
import { ScriptedCloud } from '../support/scripted-cloud.ts';
import { seedId } from '../support/seed-runs.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const POLL_MS = 20;
const HOUR_MS = 3_600_000;
const log = { debug() {}, info() {}, warn() {}, error() {} };
const refused = async () => await Promise.reject(new Failure('heroku_refused', 'HTTP 403 forbidden.'));

/** One resource, and what stands in Redis of it. */
async function start() {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  const cloud = new ScriptedCloud('bucket', {});
  ends.push(
    server.stop,
    () => redis.disconnect(),
    () => cloud.close(),
  );
  const resource = randomUUID();
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  await resources.put({ id: resource, app: 'app', bucket: `ld-private-${resource}`, region: 'us-east-1', plan: 'basic' });
  return { redis, cloud, resource, resources, watch: createWatch({ redis, shard: 0 }), keys: shardKeys(0) };
}

it('a clock that is set back an hour holds up neither looks at dyno lists nor stops that were refused', async () => {
  const { redis, cloud, resource, resources, watch, keys } = await start();
  // a launch of unknown fate is looked for in every list
  const taskId = `${seedId('file')}.0.0`;
  await redis.hset(keys.watch(resource), `?${taskId}/1`, `${taskId}|1|0|60000`);
  await redis.sadd(keys.watched, resource);
  await redis.zadd(keys.stops, 1, `${resource}|dyno-1|run.1`);
  const clock = { back: 0, ahead: 0 };
  const calls = { list: 0, stop: 0 };
  const platform = {
    ...cloud.platform,
    list: async () => {
      calls.list += 1;
      return await Promise.resolve([]);
    },
    stop: async () => {
      calls.stop += 1;
      await refused();
    },
  };
  const deps = {
    runs: createRuns({ redis }),
    resources,
    platform,
    charged: platform,
    silences: createPauses({ now: () => performance.now() }),
    mayLook: async () => await Promise.resolve(true),
    watches: [watch],
    looks: createLooks({ redis }),
    pollMs: POLL_MS,
    hookedMs: POLL_MS,
    // not asked for: should anything go by it again, it does so by this one
    now: () => Date.now() - clock.back,
    monotonic: () => performance.now() + clock.ahead,
    failpoint: () => {},
    log,
  };
  const polling = startPolling(deps);
  ends.push(polling.stop);
  await until('the first list and stop', () => calls.list > 0 && calls.stop > 0, 5_000);
  clock.back = HOUR_MS;
  const before = { ...calls };
  await until('further lists', () => calls.list > before.list + 1, 2_000);
  expect(calls.stop).toBe(before.stop);
  // a refused stop is due again after half a minute
  clock.ahead = 31_000;
  await until('the stop to be tried again', () => calls.stop > before.stop, 2_000);
});

it('one list serves every worker and shard: the others look when it is their turn, and pay nothing', async () => {
  const { redis, cloud, resource, resources } = await start();
  const watches = [0, 1, 2, 3].map((shard) => createWatch({ redis, shard }));
  const calls = { list: 0, charged: 0 };
  for (const shard of watches.keys()) {
    // launches that were given up, and until when they are looked for is over
    const taskId = `${seedId(`file-${shard}`, shard)}.0.0`;
    await redis.hset(shardKeys(shard).watch(resource), `?${taskId}/1`, `${taskId}|1|0|60000|1`);
    await redis.sadd(shardKeys(shard).watched, resource);
  }
  const platform = {
    ...cloud.platform,
    list: async () => {
      calls.list += 1;
      return await Promise.resolve([]);
    },
  };
  const turns = [0, 0];
  const [one, other] = turns.map((_, worker) => {
    const [first = watches[0], ...others] = watches;
    // each turn asks every shard once
    const counted = {
      ...first,
      resources: async () => (await first?.resources().finally(() => (turns[worker] = (turns[worker] ?? 0) + 1))) ?? [],
    };
    return startPolling({
      runs: createRuns({ redis }),
      resources,
      platform,
      charged: platform,
      silences: createPauses({ now: () => performance.now() }),
      mayLook: async () => {
        calls.charged += 1;
        return await Promise.resolve(true);
      },
      watches: [counted as (typeof watches)[number], ...others],
      looks: createLooks({ redis }),
      pollMs: HOUR_MS,
      hookedMs: HOUR_MS,
      monotonic: () => performance.now(),
      failpoint: () => {},
      log,
    });
  });
  ends.push(
    async () => await one?.stop(),
    async () => await other?.stop(),
  );
  const left = async () => (await Promise.all(watches.map(async (watch) => await watch.count(resource)))).join();
  await until('what is over to be forgotten in every shard', async () => (await left()) === '0,0,0,0');
  for (const shard of watches.keys()) await redis.sadd(shardKeys(shard).watched, resource);
  for (const n of [2, 3, 4, 5]) {
    one?.nudge();
    other?.nudge();
    await until('another turn of both', () => Math.min(...turns) >= n);
  }
  expect(calls).toEqual({ list: 1, charged: 1 });
});

it('what another worker stopped, or a purge took, is forgotten as one that was refused', async () => {
  const { redis, resource, resources, watch, keys } = await start();
  const member = `${resource}|dyno-1|run.1`;
  const stops = createStops({
    resources,
    silences: createPauses({ now: () => 0 }),
    charged: { stop: refused },
    watch,
    monotonic: () => 0,
    failpoint: () => {},
    log,
  });
  await redis.zadd(keys.stops, 1, member);
  const all = await watch.toStop(10);
  await stops.work(resource, all, new AbortController().signal);
  expect(stops.due(all, true).size).toBe(0);
  // of a list that goes on nobody knows what is not in it
  expect(stops.due([], false).size).toBe(0);
  expect(stops.due(all, true).size).toBe(0);
  expect(stops.due([], true).size).toBe(0);
  // one of the same name has nothing to do with it
  expect(stops.due(all, true).size).toBe(1);
});
