// The run channel is only ever a shortcut: everything works without it, and with it things go quicker.
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { shardKeys, shardPrefix } from '../../src/queues/keys.ts';
import { type RedisProxy, startRedisProxy } from '../support/redis-proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const { wakes } = shardKeys(0);

/** Lets the answer to a launch wait until a test says so. */
const gates = new Map<string, Promise<unknown>>();

const scripts: Record<string, Script> = {
  ok: async (dyno) => {
    await dyno.output(5);
    return dyno.accept();
  },
  instant: async (dyno) => {
    await dyno.output(0);
    await dyno.answeredIn(20);
    return dyno.accept();
  },
  silent: (dyno) => dyno.accept(),
  exit1: (dyno) => {
    dyno.exit(10, 1);
    return dyno.accept();
  },
  flaky: async (dyno) => {
    if (dyno.post.attempt > 1) await dyno.output(5);
    else dyno.exit(10, 1);
    return dyno.accept();
  },
  up: (dyno) => dyno.accept('up'),
  up_soon: (dyno) => {
    dyno.up(30);
    return dyno.accept();
  },
  unknown: async (dyno) => {
    dyno.accept('up');
    await dyno.output(100);
    return { outcome: 'unknown', cause: 'reset' };
  },
  gated: async (dyno) => {
    await gates.get('gated');
    return dyno.accept();
  },
};

const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 30, retries: 0, ...more });
const group = (...tasks: unknown[]) => ({ parallel: tasks });

async function setup(
  test: (world: { engine: TestEngine; redis: Redis; proxy: RedisProxy }) => Promise<void>,
  overrides: Partial<EngineOptions> = {},
): Promise<void> {
  const server = await startRedis();
  const proxy = await startRedisProxy(server.socket);
  // the engine goes through the proxy, the test does not
  const engine = await startTestEngine(server, scripts, { redis: { socket: proxy.socket }, ...overrides });
  try {
    await test({ engine, redis: engine.redis, proxy });
  } finally {
    proxy.release();
    await engine.stop();
    await proxy.close();
    await server.stop();
  }
}

const subscribers = async (redis: Redis) => Number((await redis.pubsub('NUMSUB', wakes))[1]);

/** Nobody can subscribe from now on, and whoever has is cut off. */
async function cutChannel(redis: Redis): Promise<void> {
  await redis.acl('SETUSER', 'default', '-subscribe');
  await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await until('no subscriber', async () => (await subscribers(redis)) === 0);
}

/** What BullMQ did with a task's job: `active`, `delayed`, `waiting` … */
async function lifeOf(redis: Redis, taskId: string): Promise<readonly string[]> {
  const entries = await redis.xrange(`${shardPrefix(0)}:task:events`, '-', '+');
  return entries.flatMap(([, fields]) => {
    const event: Record<string, string> = {};
    for (let i = 0; i + 1 < fields.length; i += 2) event[fields[i] ?? ''] = fields[i + 1] ?? '';
    return event['jobId'] === taskId ? [event['event'] ?? ''] : [];
  });
}

/** A launch whose output is recorded before it is answered. */
async function outputDuringThePost({ engine, proxy }: { engine: TestEngine; proxy: RedisProxy }, heard: boolean): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<void>();
  gates.set('gated', promise);
  const runId = engine.upload([t('gated')]);
  await until('the POST', () => engine.cloud.postsOf(runId).length === 1);
  const before = engine.cloud.undeleted;
  engine.cloud.put('out', 'x', { ld_task_id: `${runId}.0.0` });
  await until('the output', () => engine.cloud.undeleted === before);
  if (heard) await until('its message', () => proxy.delivered('"output"'));
  await new Promise((next) => setImmediate(next));
  resolve();
  expect((await engine.ended(runId)).state).toBe('succeeded');
  await until('no job left', async () => (await engine.leftovers(runId)).length === 0);
  return `${runId}.0.0`;
}

describe('without pub/sub', () => {
  it('every kind of run ends as it should', async () => {
    await setup(async ({ engine, redis }) => {
      await cutChannel(redis);
      const runs = [
        { run: [t('ok'), group(t('ok'), t('instant'), t('ok')), t('ok')], state: 'succeeded' },
        { run: [group(t('instant'), t('ok')), group(t('up', { no_output: true }), t('up_soon', { no_output: true }))], state: 'succeeded' },
        { run: [t('flaky', { retries: 1, backoff: { type: 'fixed', delay: 0.05 } }), t('ok')], state: 'succeeded' },
        { run: [t('unknown'), t('ok', { wait_for: 1 }), t('ok')], state: 'succeeded' },
        { run: [t('ok'), group(t('exit1'), t('ok')), t('ok')], state: 'failed' },
        { run: [t('silent', { timeout: 1 }), t('ok')], state: 'failed' },
        { run: [group(t('silent'), t('ok')), group(t('ok'), t('ok')), t('ok')], state: 'cancelled' },
      ].map((one) => ({ ...one, id: engine.upload(one.run) }));
      for (const { id, state } of runs.filter((one) => one.state === 'cancelled')) {
        await until('its launches', () => engine.cloud.postsOf(id).length === 2);
        await engine.runs.cancel(id, 'test');
        expect((await engine.ended(id)).state).toBe(state);
      }
      for (const { id, state } of runs) {
        const run = await engine.ended(id);
        expect(run.state, JSON.stringify(run.history.slice(-10))).toBe(state);
        const posts = engine.cloud.postsOf(id).map((post) => `${post.taskId}/${post.attempt}`);
        expect(new Set(posts).size).toBe(posts.length);
        await until('no job left', async () => (await engine.leftovers(id)).length === 0);
      }
      expect(await subscribers(redis)).toBe(0);
    });
  });

  it('an output that comes while its launch is on the way is found after the park', async () => {
    await setup(async (world) => {
      await cutChannel(world.redis);
      const taskId = await outputDuringThePost(world, false);
      expect(await lifeOf(world.redis, taskId)).toContain('delayed');
    });
  });

  it('a cancel that comes while a launch is on the way stops the dyno that it made', async () => {
    await setup(async ({ engine, redis }) => {
      await cutChannel(redis);
      const { promise, resolve } = Promise.withResolvers<void>();
      gates.set('gated', promise);
      const runId = engine.upload([t('gated'), t('ok')]);
      await until('the POST', () => engine.cloud.postsOf(runId).length === 1);
      await engine.runs.cancel(runId, 'test');
      resolve();
      expect((await engine.ended(runId)).state).toBe('cancelled');
      await until('the stop', () => engine.cloud.stopped.length === 1);
    });
  });
});

describe('with pub/sub', () => {
  it('an output that is heard while its launch is on the way saves the park', async () => {
    await setup(async (world) => {
      const taskId = await outputDuringThePost(world, true);
      const life = await lifeOf(world.redis, taskId);
      expect(life).not.toContain('delayed');
      expect(life.filter((event) => event === 'active')).toHaveLength(1);
    });
  });

  it('a cancel that is heard while a launch is being prepared sends no POST', async () => {
    await setup(async ({ engine, proxy }) => {
      const asked = Promise.withResolvers<void>();
      const told = Promise.withResolvers<readonly string[]>();
      engine.cloud.platform.processTypes = async () => {
        asked.resolve();
        return await told.promise;
      };
      // what may run there is asked of Heroku between the intent and the POST: no other part of the preparation waits for as long as a test likes
      const { bucket } = await engine.otherResource('test', 'procfile');
      const runId = engine.upload([t('ok'), t('ok')], 'in/file', bucket);
      await asked.promise;
      expect((await engine.show(runId))?.history.map((entry) => entry.what)).toContain('intent');
      await engine.runs.cancel(runId, 'test');
      await until('its message', () => proxy.delivered('"cancelling"'));
      await new Promise((next) => setImmediate(next));
      told.resolve(['ok']);
      expect((await engine.ended(runId)).state).toBe('cancelled');
      expect(engine.cloud.posts).toEqual([]);
    });
  });

  it('a message that is none of ours is passed over', async () => {
    await setup(async (world) => {
      for (const nonsense of ['hello', '[]', '["x",1,["never"]]', '{"a":1}']) await world.redis.publish(wakes, nonsense);
      const taskId = await outputDuringThePost(world, true);
      expect(await lifeOf(world.redis, taskId)).not.toContain('delayed');
    });
  });

  it('a subscription that was cut is made again', async () => {
    await setup(async (world) => {
      await world.redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await until('the subscriber', async () => (await subscribers(world.redis)) === 1);
      const taskId = await outputDuringThePost(world, true);
      expect(await lifeOf(world.redis, taskId)).not.toContain('delayed');
    });
  });
});
