// What the engine assumes of BullMQ beyond its documented API, held against the pinned version: how a parked job is rung,
// how a park and a tree are put into a MULTI of ours, and that a planner which lost its fence adds nothing.
import { randomUUID } from 'node:crypto';
import { type Job, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { connect } from '../../src/queues/connection.ts';
import { runIdOf } from '../../src/queues/identity.ts';
import { QUEUES, shardKeys, shardPrefix } from '../../src/queues/keys.ts';
import { createParking, openParks } from '../../src/queues/parking.ts';
import { createPlanner } from '../../src/queues/planner.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { queue } from '../../src/queues/scripts.ts';
import type { Failpoint } from '../../src/schema/failpoint.ts';
import { Failure } from '../../src/schema/failures.ts';
import { taskId } from '../../src/schema/ids.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const YEAR_MS = 31_536_000_000;
const keys = shardKeys(0);
const prefix = shardPrefix(0);
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function setup() {
  const server = await startRedis();
  cleanups.push(() => server.stop());
  const open = (socket = server.socket): Redis => {
    const redis = connect({ socket }, () => {});
    cleanups.push(async () => redis.disconnect());
    return redis;
  };
  const redis = open();
  const tasks = new Queue(QUEUES.task, { connection: redis, prefix });
  cleanups.push(() => tasks.close());
  const work = async (process: (job: Job, token: string) => Promise<unknown>, more: Record<string, unknown> = {}) => {
    const worker = new Worker(QUEUES.task, (job, token) => process(job, token ?? ''), { connection: redis, prefix, ...more });
    worker.on('error', () => {});
    cleanups.push(() => worker.close());
    await worker.waitUntilReady();
    return worker;
  };
  const runs = createRuns({ redis });
  const accept = async (steps: unknown[] = [{ cmd: 'a' }]) => {
    const trigger = { bucket: 'b', key: randomUUID(), versionId: randomUUID(), etag: 'e', size: 1 };
    const parsed = parseWorkflow(JSON.stringify({ run: steps }));
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults));
    const runId = runIdOf(trigger, 1);
    await runs.accept({ runId, resource: 'res', trigger, workflow: parsed.workflow, plan: parsed.plan, cap: 1e9, depth: 0 });
    return runId;
  };
  const planner = (connection = redis, failpoint: Failpoint = () => {}) => {
    const made = createPlanner({ shard: 0, connection, onError: () => {}, failpoint });
    cleanups.push(() => made.close());
    return made;
  };
  /** Keys of jobs in all queues, whatever their state. */
  const jobKeys = async (runId: string) => (await redis.keys(`${prefix}:*${runId}*`)).filter((key) => !key.includes(':run:'));
  return { server, redis, open, tasks, work, runs, accept, planner, jobKeys };
}

/** Waits until the worker blocks on the marker of an empty queue, which is how an idle one waits. */
async function idle(redis: Redis): Promise<void> {
  await until('a worker that blocks', async () => String(await redis.client('LIST')).includes('cmd=bzpopmin'));
}

describe('ringing a parked job', () => {
  it('wakes it on an idle worker though its delay is a year', async () => {
    const { redis, tasks, work, runs, accept } = await setup();
    const runId = await accept();
    const seen: string[] = [];
    await work(async (job) => seen.push(job.id ?? ''));
    await tasks.add('t', {}, { jobId: taskId(runId, 0, 0), delay: YEAR_MS, priority: 5 });
    await idle(redis);
    expect(seen).toEqual([]);
    expect(await runs.ring(runId, ['0.0'])).toBe(1);
    await until('the job', () => seen.length === 1);
    expect(seen).toEqual([taskId(runId, 0, 0)]);
    expect(await redis.zcard(keys.delayed)).toBe(0);
  });

  it('wakes hundreds that are rung at once, each exactly once', async () => {
    const { redis, tasks, work, runs, accept } = await setup();
    const runId = await accept();
    const seen: string[] = [];
    await work(async (job) => seen.push(job.id ?? ''), { concurrency: 20 });
    const all = Array.from({ length: 200 }, (_, i) => i);
    await tasks.addBulk(all.map((i) => ({ name: 't', data: {}, opts: { jobId: taskId(runId, 1, i), delay: YEAR_MS } })));
    await idle(redis);
    expect(
      await runs.ring(
        runId,
        all.map((i) => `1.${i}`),
      ),
    ).toBe(200);
    await until('all of them', () => seen.length >= 200);
    expect(new Set(seen).size).toBe(200);
    expect(seen).toHaveLength(200);
  });

  it('wakes it by any clock: a worker that is an hour behind runs it as well', async () => {
    const { redis, tasks, work, runs, accept } = await setup();
    const runId = await accept();
    const realNow = Date.now;
    Date.now = () => realNow() - 3_600_000;
    cleanups.push(async () => {
      Date.now = realNow;
    });
    const seen: string[] = [];
    await work(async (job) => seen.push(job.id ?? ''));
    await tasks.add('t', {}, { jobId: taskId(runId, 0, 0), delay: YEAR_MS });
    await idle(redis);
    await runs.ring(runId, ['0.0']);
    await until('the job', () => seen.length === 1);
  });

  it('leaves jobs alone that are not parked', async () => {
    const { redis, tasks, runs, accept } = await setup();
    const runId = await accept();
    await tasks.add('t', {}, { jobId: taskId(runId, 0, 0) });
    expect(await runs.ring(runId, ['0.0', '0.1'])).toBe(0);
    expect(await redis.zcard(keys.delayed)).toBe(0);
    expect(await tasks.getWaitingCount()).toBe(1);
  });
});

describe('a park', () => {
  const parkOnce = async (how: {
    seen?: (truth: string) => string;
    retry?: boolean;
    before?: (redis: Redis, id: string, runId: string, parks: Redis) => Promise<unknown>;
    ms?: number;
  }) => {
    const world = await setup();
    const { redis, tasks, work, runs, accept } = world;
    const runId = await accept([{ cmd: 'a', timeout: 30 }]);
    await redis.hset(keys.run(runId), { state: 'running' });
    const parks = openParks(redis, () => {});
    cleanups.push(async () => parks.disconnect());
    const parking = createParking({ shard: 0, connection: redis, parks, onError: () => {}, failpoint: () => {} });
    cleanups.push(() => parking.close());
    const id = taskId(runId, 0, 0);
    const activations: number[] = [];
    const thrown: string[] = [];
    // `enter` tells what a decision sees; its second activation is left hanging so that the state can be looked at
    const task = { name: '', cmd: 'a', machine: 'basic', timeout: 30, options: {}, no_output: false, wait_for: 0, retries: 0 };
    const backoff = { type: 'fixed', delay: 1, max: 1 } as const;
    await work(
      async (job, token) => {
        activations.push(Date.now());
        if (activations.length > 1) return;
        const decision = await runs.enter({
          ref: { id, runId, step: 0, index: 0 },
          task: { ...task, backoff },
          resource: 'res',
          token: 'own',
          first: true,
          adoptAfter: 1000,
          budget: 'granted',
          grace: 0,
        });
        const seen = how.seen?.(decision.seen) ?? decision.seen;
        await how.before?.(redis, id, runId, parks);
        const common = { job, token, runId, task: '0.0', now: decision.now, retry: how.retry ?? false };
        await parking.park({ ...common, ms: how.ms ?? 60_000, seen }).catch((error: unknown) => {
          thrown.push(error instanceof Error ? error.name : String(error));
          throw error;
        });
      },
      { stalledInterval: 60_000 },
    );
    const start = Date.now();
    await tasks.add('t', {}, { jobId: id, priority: 10, attempts: 1_000_000 });
    await until('the park', () => thrown.length > 0);
    return { ...world, runId, id, activations, thrown, start };
  };

  it('puts the job into the delayed set until its time, without lock, slot or attempt', async () => {
    const { redis, tasks, id, activations, thrown, start } = await parkOnce({});
    expect(thrown).toEqual(['DelayedError']);
    const score = Number(await redis.zscore(keys.delayed, id)) / 4096;
    expect(score).toBeGreaterThanOrEqual(start + 60_000);
    expect(score).toBeLessThanOrEqual(Date.now() + 60_000);
    expect(await redis.exists(`${keys.job(QUEUES.task, id)}:lock`)).toBe(0);
    await until('an empty active list', async () => (await tasks.getActiveCount()) === 0);
    const job = await tasks.getJob(id);
    expect(job?.attemptsMade).toBe(0);
    expect(job?.priority).toBe(0);
    // its options are written short, and BullMQ reads of them what it read before
    expect(job?.opts).toEqual({ attempts: 1_000_000, backoff: { type: 'fixed', delay: 1000 }, ignoreDependencyOnFailure: true });
    expect(activations).toHaveLength(1);
  });

  it("moves BullMQ's attempt counter only when it is a retry", async () => {
    const { tasks, id } = await parkOnce({ retry: true });
    expect((await tasks.getJob(id))?.attemptsMade).toBe(1);
  });

  it('holds for a year when it has no deadline', async () => {
    const { redis, id, start } = await parkOnce({ ms: -1 });
    expect(Number(await redis.zscore(keys.delayed, id)) / 4096).toBeGreaterThanOrEqual(start + YEAR_MS);
  });

  it('rings at once when the record is not what the decision saw', async () => {
    const { activations } = await parkOnce({ seen: () => 'something else' });
    await until('the second activation', () => activations.length === 2);
  });

  it('is undone when the record changes between the decision and the park', async () => {
    const { activations } = await parkOnce({ before: (redis, _id, runId) => redis.hset(keys.run(runId), { cancel: '1' }) });
    await until('the second activation', () => activations.length === 2);
  });

  it('is not made by an activation that lost its lock: the job stays where its new owner has it', async () => {
    const { redis, tasks, id, thrown } = await parkOnce({
      before: (redis, job) => redis.set(`${keys.job(QUEUES.task, job)}:lock`, 'another worker'),
    });
    expect(thrown).toEqual(['DelayedError']);
    expect(await redis.zscore(keys.delayed, id)).toBeNull();
    expect(await redis.lrange(`${prefix}:task:active`, 0, -1)).toEqual([id]);
    expect(await redis.get(`${keys.job(QUEUES.task, id)}:lock`)).toBe('another worker');
    await redis.del(`${keys.job(QUEUES.task, id)}:lock`);
    await tasks.obliterate({ force: true });
  });

  it('is rechecked even when Redis has forgotten all scripts', async () => {
    const { activations } = await parkOnce({
      seen: () => 'something else',
      before: async (redis, _id, runId, parks) => {
        // this connection has used the script in a MULTI before, and takes it for known from now on
        const multi = parks.multi();
        queue(multi, 'recheck', [keys.run(runId), keys.history(runId), keys.delayed, keys.marker], [runId, keys.channel, '0.9', '']);
        await multi.exec();
        await redis.script('FLUSH');
      },
    });
    await until('the second activation', () => activations.length === 2);
  });
});

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
