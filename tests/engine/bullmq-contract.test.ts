// What the engine assumes of BullMQ beyond its documented API, held against the pinned version: how a parked job is rung,
// how a park and a tree are put into a MULTI of ours, and that a planner which lost its fence adds nothing.
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { QUEUES } from '../../src/queues/keys.ts';
import { createParking, openParks } from '../../src/queues/parking.ts';
import { queue } from '../../src/queues/scripts.ts';
import { taskId } from '../../src/schema/ids.ts';
import { until } from '../support/until.ts';
import { cleanups, keys, prefix, setup, YEAR_MS } from './bullmq-shard.ts';

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
