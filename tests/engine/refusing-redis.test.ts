// Redis that refuses for a while is nobody's fault: found by chaos, files were set aside because Redis was read-only when their messages had come
// eight times.
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { chargedPlatform } from '../../src/processors/charged-platform.ts';
import { decideAtLast } from '../../src/processors/events.ts';
import { createPauses } from '../../src/processors/pauses.ts';
import { startPolling } from '../../src/processors/poll.ts';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { createLooks } from '../../src/queues/looks.ts';
import { createPlanner } from '../../src/queues/planner.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createWatch } from '../../src/queues/watch.ts';
import { eventDeps } from '../support/event-deps.ts';
import { fillDisk } from '../support/full-disk.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { ScriptedCloud } from '../support/scripted-cloud.ts';
import { seedId } from '../support/seed-runs.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** As ioredis says it after 300 tries. */
const redirected = new Error('Too many Cluster redirections. Last error: Error: Connection is closed.');

/** Has a server refuse all that it is to write; answers with the way back. */
type Refusal = (server: TestRedis, redis: Redis) => Promise<() => Promise<unknown>>;
const isReadOnly: Refusal = async (_server, redis) => {
  await redis.replicaof('127.0.0.1', 1);
  return async () => await redis.replicaof('NO', 'ONE');
};
const isFull: Refusal = async (_server, redis) => {
  await redis.config('SET', 'maxmemory', '1');
  return async () => await redis.config('SET', 'maxmemory', '0');
};

it.each([
  ['read-only', isReadOnly, /^READONLY/],
  ['full', isFull, /^OOM/],
  ['without room on its disk', fillDisk, /^MISCONF/],
  ['without a node for a slot', undefined, /^Too many Cluster redirections/],
] as const)('an event whose message came often is not set aside because Redis is %s just now', async (_how, refuse, error) => {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  const cloud = new ScriptedCloud('bucket', {});
  const planner = createPlanner({ shard: 0, connection: redis, onError: () => {}, failpoint: () => {} });
  ends.push(
    server.stop,
    () => redis.disconnect(),
    () => cloud.close(),
    planner.close,
  );
  const id = randomUUID();
  const bucket = `ld-private-${id}`;
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  await resources.put({ id, app: '', bucket, region: 'us-east-1', plan: 'basic' });
  const runs = createRuns({ redis });
  const runId = seedId('file');
  let broken = true;
  const deps = eventDeps({
    runs: {
      ...runs,
      accept: async (run) => {
        if (!broken) return await runs.accept(run);
        const mend = await refuse?.(server, redis);
        if (mend === undefined) throw redirected;
        return await runs.accept(run).finally(mend);
      },
    },
    resources,
    store: {
      ...cloud.store,
      head: async () => ({
        size: 4,
        etag: 'e',
        versionId: 'v1',
        modifiedAt: Date.now(),
        metadata: { ld_code: '{"run":[{"cmd":"work"}]}' },
      }),
    },
    planners: [planner],
    place: () => runId,
  });
  const event = { bucket, key: 'in/a', versionId: 'v1', eventName: 'ObjectCreated:Put', size: 4, time: Date.now() };
  await expect(decideAtLast(deps, event, 20)).rejects.toThrow(error);
  expect(await redis.keys('*quarantine*')).toEqual([]);
  broken = false;
  await decideAtLast(deps, event, 21);
  expect(await redis.keys(`*${runId}`)).not.toEqual([]);
});

it.each([
  ['is full', isFull],
  ['has no room on its disk', fillDisk],
  ['has no node for a slot', undefined],
] as const)('a dyno that cannot be stopped because Redis %s just now is stopped later', async (_how, refuse) => {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  const resource = randomUUID();
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  await resources.put({ id: resource, app: 'app', bucket: `ld-private-${resource}`, region: 'us-east-1', plan: 'basic' });
  const watch = createWatch({ redis, shard: 0 });
  const cloud = new ScriptedCloud('bucket', {});
  const stopped: string[] = [];
  let broken = true;
  // the call is charged to the launch budget, which is in Redis, before it is made
  const charge = async () => {
    if (!broken) return;
    broken = false;
    const mend = await refuse?.(server, redis);
    if (mend === undefined) throw redirected;
    await redis.set('charged', '1').finally(mend);
  };
  const platform = { ...cloud.platform, stop: async (_app: string, dyno: string) => void (await Promise.resolve(stopped.push(dyno))) };
  await redis.zadd(shardKeys(0).stops, 1, `${resource}|dyno-1|run.1`);
  const polling = startPolling({
    runs: createRuns({ redis }),
    resources,
    platform,
    charged: chargedPlatform(platform, charge),
    silences: createPauses({ now: Date.now }),
    mayLook: async () => await Promise.resolve(true),
    watches: [watch],
    looks: createLooks({ redis }),
    pollMs: 20,
    hookedMs: 20,
    monotonic: () => performance.now(),
    failpoint: () => {},
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
  });
  ends.push(
    server.stop,
    () => redis.disconnect(),
    () => cloud.close(),
    polling.stop,
  );
  await until('the dyno to be stopped', () => stopped.length > 0, 5_000);
  await until('it to be off the list', async () => (await redis.zcard(shardKeys(0).stops)) === 0);
  expect([stopped, broken]).toEqual([['dyno-1'], false]);
});

it('what is uploaded, launched and written while the disk of Redis is full is all done when it has room again, once', async () => {
  const server = await startRedis();
  const full = Promise.withResolvers<void>();
  const engine = await startTestEngine(server, {
    ok: async (dyno) => {
      await dyno.output(5);
      return dyno.accept();
    },
    // its launch is answered, and its output written, when Redis takes neither
    held: async (dyno) => {
      await full.promise;
      await dyno.output(5);
      return dyno.accept();
    },
  });
  ends.push(server.stop, engine.stop);
  const task = (cmd: string) => ({ cmd, timeout: 120, retries: 0 });
  const upload = (first: string) => Array.from({ length: 3 }, () => engine.upload([task(first), task('ok')]));
  const before = upload('held');
  await until('their launches', () => engine.cloud.posts.length === 3);
  const mend = await fillDisk(server, engine.redis);
  full.resolve();
  const meanwhile = upload('ok');
  const again = () => [...engine.cloud.receives.values()].filter((receives) => receives >= 5).length;
  await until('three files and three outputs to come again and again', () => again() >= 6);
  expect(engine.cloud.posts).toHaveLength(3);
  await mend();
  for (const id of [...before, ...meanwhile]) expect((await engine.ended(id, 50_000)).state).toBe('succeeded');
  await until('every event decided', () => engine.cloud.undeleted === 0);
  expect([...(await engine.quarantine()), ...(await engine.quarantine('-'))]).toEqual([]);
  expect(engine.cloud.posts).toHaveLength(12);
  expect(new Set(engine.cloud.posts.map(({ taskId }) => taskId)).size).toBe(12);
});
