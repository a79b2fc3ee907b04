// The tree of a run is made once, with its record, whatever breaks in the middle of it.
import { describe, expect, it } from 'vitest';
import { QUEUES } from '../../src/queues/keys.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';
import { cleanups, keys, prefix, setup } from './bullmq-shard.ts';

describe('making a tree', () => {
  it('adds it and sets the record running in one EXEC', async () => {
    const { redis, accept, planner, jobKeys, runs } = await setup();
    const runId = await accept([{ cmd: 'a' }, { parallel: [{ cmd: 'b' }, { cmd: 'c' }, { cmd: 'd' }] }, { cmd: 'e' }]);
    expect(await planner().plan({ runId })).toBe('planned');
    expect(await redis.hget(keys.run(runId), 'state')).toBe('running');
    const ids = (await jobKeys(runId)).map((key) => key.replace(/:(dependencies|processed|failed|unsuccessful|lock)$/, ''));
    expect(new Set(ids)).toEqual(
      new Set([
        keys.job(QUEUES.finish, runId),
        ...['0.0', '1.0', '1.1', '1.2', '2.0'].map((task) => keys.job(QUEUES.task, `${runId}.${task}`)),
      ]),
    );
    expect(await runs.ring(runId, ['1.1', '1.2'])).toBe(2);
  });

  /** A planner that freezes between its look at the record and its MULTI, until the proxy lets it go on. */
  const frozen = async (world: Awaited<ReturnType<typeof setup>>) => {
    const proxy = await startRedisProxy(world.server.socket);
    cleanups.push(() => proxy.close());
    const planner = world.planner(world.open(proxy.socket), (name) => {
      if (name === 'plan.checked') proxy.hold();
    });
    const begin = async (...runIds: string[]) => {
      const outcome = Promise.all(
        runIds.map((runId) =>
          planner.plan({ runId }).then(
            (result) => result as string,
            // whoever plans is told that it heals, and by what
            (error: unknown) =>
              error instanceof Failure && error.cause instanceof Error ? `${error.code}: ${error.cause.name}` : String(error),
          ),
        ),
      );
      await until('the held MULTI', () => proxy.held() > 0);
      return { outcome };
    };
    return { proxy, begin };
  };

  it('adds nothing when the record changed after it was looked at', async () => {
    const world = await setup();
    const runId = await world.accept();
    const { proxy, begin } = await frozen(world);
    const { outcome } = await begin(runId);
    expect(await world.runs.cancel(runId, 'somebody')).toBe('cancelled');
    proxy.release();
    expect(await outcome).toEqual(['redis_unavailable: FenceLost']);
    expect(await world.jobKeys(runId)).toEqual([]);
    expect(await world.redis.hget(keys.run(runId), 'state')).toBe('cancelled');
    expect(await world.planner().plan({ runId })).toBe('ended');
  });

  it('still adds the other trees of a batch in which one record changed', async () => {
    const world = await setup();
    const runIds = [await world.accept(), await world.accept(), await world.accept()] as const;
    const { proxy, begin } = await frozen(world);
    const { outcome } = await begin(...runIds);
    await world.runs.cancel(runIds[1], 'somebody');
    // each of the three gets a MULTI of its own, and each of those is held once more
    const releasing = setInterval(() => proxy.release(), 5);
    expect(await outcome).toEqual(['planned', 'ended', 'planned']);
    clearInterval(releasing);
    expect(await world.jobKeys(runIds[1])).toEqual([]);
    for (const runId of [runIds[0], runIds[2]]) {
      expect(await world.redis.hget(keys.run(runId), 'state')).toBe('running');
      expect((await world.jobKeys(runId)).length).toBeGreaterThan(0);
    }
  });

  it('never leaves a record running without a tree, though Redis has none of the scripts', async () => {
    const world = await setup();
    const [lost, next] = [await world.accept(), await world.accept()];
    const { proxy, begin } = await frozen(world);
    const first = await begin(lost);
    await world.runs.cancel(lost, 'somebody');
    proxy.release();
    // the scripts were sent within the aborted MULTI, so Redis never got to know them
    expect(await first.outcome).toEqual(['redis_unavailable: FenceLost']);
    const second = await begin(next);
    // the planner may look again, and is then held again
    const releasing = setInterval(() => proxy.release(), 5);
    expect(await second.outcome).toEqual(['planned']);
    clearInterval(releasing);
    expect(await world.redis.exists(keys.job(QUEUES.finish, next))).toBe(1);
    expect(await world.redis.exists(keys.job(QUEUES.task, `${next}.0.0`))).toBe(1);
  });

  it('keeps a damaged record from spoiling the batch that it is in', async () => {
    const world = await setup();
    const [good, bad, fine] = [await world.accept(), await world.accept(), await world.accept()] as const;
    await world.redis.set(keys.document(bad), 'nonsense');
    const planner = world.planner();
    const outcomes = await Promise.allSettled([good, bad, fine].map((runId) => planner.plan({ runId })));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await world.redis.hget(keys.run(bad), 'state')).toBe('accepted');
    for (const runId of [good, fine]) expect(await world.redis.exists(keys.job(QUEUES.finish, runId))).toBe(1);
  });

  it('makes the tree also when the scripts were forgotten between two plans', async () => {
    const world = await setup();
    const planner = world.planner();
    await planner.plan({ runId: await world.accept() });
    await world.redis.script('FLUSH');
    const runId = await world.accept();
    await until('a plan', () => planner.plan({ runId }).catch(() => undefined));
    expect(await world.redis.exists(keys.job(QUEUES.finish, runId))).toBe(1);
    expect(await world.redis.hget(keys.run(runId), 'state')).toBe('running');
  });

  it('is not repeated without its fence when the connection breaks in the middle of it', async () => {
    const world = await setup();
    const proxy = await startRedisProxy(world.server.socket);
    cleanups.push(() => proxy.close());
    let lost: Promise<void> = Promise.resolve();
    const planner = world.planner(world.open(proxy.socket), (name) => {
      if (name === 'plan.checked') lost = proxy.loseNextReply();
    });
    await planner.plan({ runId: await world.accept() }).catch(() => {});
    const runId = await world.accept();
    const outcome = planner.plan({ runId }).catch(() => 'rejected');
    await lost;
    // the tree was made; it lives its life while the planner does not know, and all of it is gone when it comes back
    await until('the tree', async () => (await world.redis.hget(keys.run(runId), 'state')) === 'running');
    await world.redis.hset(keys.run(runId), { state: 'cancelled', end: '1' });
    await world.redis.del(...(await world.jobKeys(runId)));
    await world.redis.del(keys.delayed, `${prefix}:task:prioritized`, `${prefix}:task:wait`);
    expect(['rejected', 'ended']).toContain(await outcome);
    expect(await world.jobKeys(runId)).toEqual([]);
    expect(await world.redis.hget(keys.run(runId), 'state')).toBe('cancelled');
    // and it works again afterwards
    const after = await world.accept();
    await until('a plan', () => planner.plan({ runId: after }).catch(() => undefined));
    expect(await world.redis.hget(keys.run(after), 'state')).toBe('running');
  });

  it('adds nothing when the planner was frozen: 30 runs, in their middle or after their end', async () => {
    const world = await setup();
    const ok: Script = async (dyno) => {
      await dyno.output(10);
      return dyno.accept();
    };
    const engine = await startTestEngine(world.server, { ok });
    cleanups.push(() => engine.stop());
    const { proxy, begin } = await frozen(world);
    const live = world.planner();
    for (let n = 0; n < 30; n += 1) {
      const runId = await world.accept([{ cmd: 'ok' }, { parallel: [{ cmd: 'ok' }, { cmd: 'ok' }, { cmd: 'ok' }] }, { cmd: 'ok' }]);
      await world.redis.hset(keys.run(runId), { resource: engine.resource });
      const zombie = await begin(runId);
      await live.plan({ runId });
      if (n % 2 === 0) await until('the second step', () => engine.cloud.postsOf(runId).length >= 2);
      else await engine.ended(runId);
      proxy.release();
      expect(await zombie.outcome, `run ${n}`).toEqual(['redis_unavailable: FenceLost']);
      expect((await engine.ended(runId)).state).toBe('succeeded');
      const launched = engine.cloud.postsOf(runId).map((post) => `${post.taskId}/${post.attempt}`);
      expect(launched).toHaveLength(5);
      expect(new Set(launched).size).toBe(5);
      await until('nothing left', async () => (await world.jobKeys(runId)).length === 0);
    }
    expect(await world.redis.zcard(keys.delayed)).toBe(0);
    expect(await world.tasks.getWaitingChildrenCount()).toBe(0);
  });
});
