import { afterAll, beforeAll, expect, it } from 'vitest';
import { createWatch } from '../../src/queues/watch.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

let redis: TestRedis;
let world: TestEngine;

beforeAll(async () => {
  redis = await startRedis();
  world = await startTestEngine(redis, { work: async ({ accept }) => await accept() });
});
afterAll(async () => {
  await world?.stop();
  await redis?.stop();
});

it('looks rarely at the dyno list of a resource whose dynos tell of themselves, and at the others as ever', async () => {
  const looks = new Map<string, number>();
  const { platform } = world.options;
  await world.replaceEngine({
    pollMs: 10,
    hookedMs: 3_600_000,
    platform: {
      ...platform,
      list: async (app, options) => {
        looks.set(app, (looks.get(app) ?? 0) + 1);
        return await platform.list(app, options);
      },
    },
  });
  const other = await world.otherResource();
  const task = [{ cmd: 'work', timeout: 600 }];
  for (const bucket of [world.bucket, other.bucket]) world.upload(task, 'in/a', bucket);
  const seen = async (app: string, times: number) => await until(`${times} looks at ${app}`, () => (looks.get(app) ?? 0) >= times);
  await Promise.all([seen('app', 3), seen(other.app, 3)]);

  await createWatch({ redis: world.redis, shard: 0 }).heardOf(world.resource);
  const before = looks.get('app') ?? 0;
  await seen(other.app, (looks.get(other.app) ?? 0) + 20);
  // one may have been under way, and one finds that it is told from now on
  expect((looks.get('app') ?? 0) - before).toBeLessThanOrEqual(2);
});
