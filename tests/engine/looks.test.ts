// When a worker looks at dyno lists, and when it tries a stop again: by a clock that nobody sets.
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import type { Dyno } from '../../src/clients/ports.ts';
import { createPauses } from '../../src/processors/pauses.ts';
import { startPolling } from '../../src/processors/poll.ts';
import { createStops } from '../../src/processors/stops.ts';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { createLooks } from '../../src/queues/looks.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createWatch, type Watch } from '../../src/queues/watch.ts';
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
  const redis = connect(server.cluster === undefined ? { socket: server.socket } : { cluster: server.cluster }, () => {});
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

describe('several workers and shards', () => {
  /** Four shards, in each of which a launch is looked for whose time is over: the look that covers it forgets it. */
  const startFour = async (shards: readonly number[] = [0, 1, 2, 3]) => {
    const world = await start();
    const { redis, resource, resources, cloud } = world;
    for (const shard of shards) {
      const taskId = `${seedId(`file-${shard}`, shard)}.0.0`;
      await redis.hset(shardKeys(shard).watch(resource), `?${taskId}/1`, `${taskId}|1|0|60000|1`);
      await redis.sadd(shardKeys(shard).watched, resource);
    }
    const calls = { list: 0, charged: 0 };
    const watches = [0, 1, 2, 3].map((shard) => createWatch({ redis, shard }));
    /** A worker with these shards' watches, and how many turns it made. */
    const worker = (
      own: readonly Watch[],
      more: Partial<Parameters<typeof startPolling>[0]> = {},
      list = async () => await Promise.resolve<Dyno[]>([]),
    ) => {
      const count = { turns: 0 };
      const [first, ...others] = own;
      if (first === undefined) throw new Error('a worker has a shard');
      // each turn asks every shard once
      const counted: Watch = {
        ...first,
        resources: async () => {
          count.turns += 1;
          return await first.resources();
        },
      };
      const platform = {
        ...cloud.platform,
        list: async () => {
          calls.list += 1;
          return await list();
        },
      };
      const polling = startPolling({
        runs: createRuns({ redis }),
        resources,
        platform,
        charged: platform,
        silences: createPauses({ now: () => performance.now() }),
        mayLook: async () => {
          calls.charged += 1;
          return await Promise.resolve(true);
        },
        watches: [counted, ...others],
        looks: createLooks({ redis }),
        pollMs: POLL_MS,
        hookedMs: POLL_MS,
        monotonic: () => performance.now(),
        failpoint: () => {},
        log,
        ...more,
      });
      ends.push(polling.stop);
      return { ...polling, count };
    };
    const left = async () => (await Promise.all(watches.map(async (watch) => await watch.count(resource)))).join();
    return { ...world, watches, worker, left, calls };
  };

  it('one list serves every worker and shard: the others look when it is their turn, and pay nothing', async () => {
    const { redis, resource, watches, worker, left, calls } = await startFour();
    const both = [worker(watches, { pollMs: HOUR_MS }), worker(watches, { pollMs: HOUR_MS })];
    await until('what is over to be forgotten in every shard', async () => (await left()) === '0,0,0,0');
    for (const shard of watches.keys()) await redis.sadd(shardKeys(shard).watched, resource);
    for (const n of [2, 3, 4, 5]) {
      for (const one of both) one.nudge();
      await until('another turn of both', () => both.every(({ count }) => count.turns >= n));
    }
    expect(calls).toEqual({ list: 1, charged: 1 });
  });

  it('a worker that sees fewer shards, as of before a change of their number, keeps nobody from the others', async () => {
    const { watches, worker, left } = await startFour();
    worker(watches.slice(0, 2), { pollMs: HOUR_MS });
    await until('its look', async () => (await left()) === '0,0,1,1');
    worker(watches, { pollMs: HOUR_MS });
    await until('the look of one that sees all', async () => (await left()) === '0,0,0,0');
  });

  const away = async () => await Promise.reject(new Error('away'));
  for (const [what, broken] of [
    ['read the dynos of a shard', { of: away }],
    ['read what a shard has', { resources: away }],
    ['write to a shard', { forget: away }],
  ] as const) {
    it(`a worker that cannot ${what} leaves the next look to another one`, async () => {
      const { watches, worker, left } = await startFour();
      worker(
        watches.map((watch, shard) => (shard === 3 ? { ...watch, ...broken } : watch)),
        { pollMs: HOUR_MS },
      );
      await until('its look', async () => (await left()) === '0,0,0,1');
      worker(watches, { pollMs: HOUR_MS });
      await until('the look of one that sees all', async () => (await left()) === '0,0,0,0');
    });
  }

  it('a shard that takes no writes, and a turn that cannot be taken, keep no other shard from being seen', async () => {
    const { redis, watches, worker, left } = await startFour();
    const full = watches.map((watch, shard) =>
      shard === 0 ? { ...watch, forget: async () => await Promise.reject(new Error('OOM')) } : watch,
    );
    const looks = { ...createLooks({ redis }), take: async () => await Promise.reject(new Error('OOM')) };
    worker(full, { looks });
    await until('the others to be noted', async () => (await left()) === '1,0,0,0');
  });

  it('shards that have nothing of an app are not asked for its dynos', async () => {
    const { watches, worker, left } = await startFour([2]);
    const asked: number[] = [];
    const telling = watches.map((watch, shard) => ({
      ...watch,
      of: async (resource: string) => {
        asked.push(shard);
        return await watch.of(resource);
      },
    }));
    worker(telling, { pollMs: HOUR_MS });
    await until('its look', async () => (await left()) === '0,0,0,0');
    expect(asked).toEqual([2]);
  });

  it('a list that did not come is asked for again soon, however rarely the app is looked at', async () => {
    const { watches, resource, worker, left, calls } = await startFour();
    await watches[0]?.heardOf(resource);
    worker(
      watches,
      { hookedMs: HOUR_MS },
      async () => await (calls.list === 1 ? Promise.reject(new Failure('heroku_unavailable', 'HTTP 503.')) : Promise.resolve([])),
    );
    await until('the second list', async () => (await left()) === '0,0,0,0', 5_000);
    expect(calls.list).toBe(2);
  });
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
