// What a plan limits of the runs of its resource.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPlanLimits } from '../../src/processors/plan-limits.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { PLANS } from '../../src/schema/plans.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { eventOf } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { openTestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

let redis: TestRedis;
let engine: TestEngine;

beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, {
    ok: async (dyno) => {
      await dyno.output(5);
      return dyno.accept();
    },
  });
});
afterAll(async () => {
  await engine.stop();
  await redis.stop();
});

it('a task that asks for longer than its plan allows is a rejected run that says so', async () => {
  const free = await engine.otherResource('free');
  const task = (timeout: number) => ({ cmd: 'ok', timeout });
  const allowed = PLANS.free.max_timeout_s;
  const runId = engine.upload([task(allowed), { parallel: [task(allowed), task(allowed + 1)] }], 'in/long', free.bucket);
  const run = await engine.ended(runId);
  expect(run.state).toBe('rejected');
  expect(run.error?.message).toBe(`Step 2, task 2: found a timeout of ${allowed + 1} s, expected at most ${allowed} on the plan free.`);
  expect((await engine.ended(engine.upload([task(allowed)], 'in/short', free.bucket))).state).toBe('succeeded');
});

it('a file past the runs that a plan has in a day starts none and is shown; an event that comes again and another resource are not concerned', async () => {
  const free = await engine.otherResource('free');
  const index = shardKeys(0).index(free.id);
  const before = Array.from({ length: PLANS.free.runs_per_day - 1 }, () => [Date.now(), randomUUID()]).flat();
  await engine.redis.zadd(index, ...before);
  engine.cloud.copies = 3;
  const last = engine.upload([{ cmd: 'ok' }], 'in/last', free.bucket);
  expect((await engine.ended(last)).state).toBe('succeeded');
  const over = engine.upload([{ cmd: 'ok' }], 'in/over', free.bucket);
  const shown = await until('it to be set aside', async () => (await engine.quarantine(free.id)).find(({ key }) => key === 'in/over'));
  expect(shown.reason).toBe("the plan's runs of the day (UTC) are used up: a larger plan has more");
  await until('every event decided', () => engine.cloud.undeleted === 0);
  expect((await engine.quarantine(free.id)).map(({ key }) => key)).not.toContain('in/last');
  expect(await engine.show(over)).toBeUndefined();
  expect(engine.cloud.postsOf(last)).toHaveLength(1);
  engine.cloud.copies = 1;
  expect((await engine.ended(engine.upload([{ cmd: 'ok' }]))).state).toBe('succeeded');
});

it('a retry past the runs of the day, or longer than the plan allows, is refused; the call that was the last of the day still names its run', async () => {
  const free = await engine.otherResource('free');
  const web = await openTestWeb(redis, { resource: free.id });
  try {
    const ended = engine.upload([{ cmd: 'ok' }], 'in/again', free.bucket);
    await engine.ended(ended);
    const index = shardKeys(0).index(free.id);
    await engine.redis.zadd(index, ...Array.from({ length: PLANS.free.runs_per_day - 2 }, () => [Date.now(), randomUUID()]).flat());
    const retry = async (key: string, body: object = { mode: 'run' }, by = web) => {
      const answer = await by.call('POST', `/v1/runs/${ended}/retry`, { body, headers: { 'idempotency-key': key } });
      return { status: answer.status, body: await answer.json() };
    };
    const workflow = { run: [{ cmd: 'ok', timeout: PLANS.free.max_timeout_s + 1 }] };
    expect(await retry('long', { mode: 'run', workflow })).toMatchObject({
      status: 422,
      body: { title: 'workflow_invalid', detail: expect.stringContaining(`expected at most ${PLANS.free.max_timeout_s} on the plan free`) },
    });
    const last = await retry('last');
    expect(last.status).toBe(202);
    expect((await engine.ended((last.body as { id: string }).id)).state).toBe('succeeded');
    for (const key of ['over', 'over'])
      expect(await retry(key)).toMatchObject({
        status: 409,
        body: {
          title: 'conflict',
          detail: expect.stringContaining(`has ${PLANS.free.runs_per_day} runs a day (UTC), and they are used up`),
        },
      });
    // by a process that did not count it
    const other = await openTestWeb(redis, { resource: free.id });
    try {
      expect(await retry('last', { mode: 'run' }, other)).toEqual(last);
    } finally {
      await other.close();
    }
    expect(await engine.redis.zcard(index)).toBe(PLANS.free.runs_per_day);
  } finally {
    await web.close();
  }
});

it('an event that comes again takes none of the runs of a day from the files that come after it', async () => {
  const free = await engine.otherResource('free');
  const before = Array.from({ length: PLANS.free.runs_per_day - 3 }, () => [Date.now(), randomUUID()]).flat();
  await engine.redis.zadd(shardKeys(0).index(free.id), ...before);
  engine.cloud.copies = 3;
  const first = engine.upload([{ cmd: 'ok' }], 'in/a', free.bucket);
  expect((await engine.ended(first)).state).toBe('succeeded');
  await until('every event decided', () => engine.cloud.undeleted === 0);
  engine.cloud.copies = 1;
  // and once more, when it is recorded
  const { versionId } = engine.cloud.saved.find(({ key, bucket }) => key === 'in/a' && bucket === free.bucket) ?? {};
  engine.cloud.sendEvents([eventOf(free.bucket, 'in/a', versionId)]);
  await until('every event decided', () => engine.cloud.undeleted === 0);
  for (const key of ['in/b', 'in/c']) {
    const runId = engine.upload([{ cmd: 'ok' }], key, free.bucket);
    await until('every event decided', () => engine.cloud.undeleted === 0);
    expect(await engine.quarantine(free.id)).toEqual([]);
    expect((await engine.ended(runId)).state).toBe('succeeded');
  }
  const over = engine.upload([{ cmd: 'ok' }], 'in/d', free.bucket);
  await until('every event decided', () => engine.cloud.undeleted === 0);
  expect((await engine.quarantine(free.id)).map(({ key }) => key)).toEqual(['in/d']);
  expect(await engine.show(over)).toBeUndefined();
});

it('a file that was set aside on one day starts no run when its event comes again on the next', async () => {
  const free = await engine.otherResource('free');
  const index = shardKeys(0).index(free.id);
  await engine.redis.zadd(index, ...Array.from({ length: PLANS.free.runs_per_day }, () => [Date.now(), randomUUID()]).flat());
  const over = engine.upload([{ cmd: 'ok' }], 'in/yesterday', free.bucket);
  const shown = await until('it to be set aside', async () => (await engine.quarantine(free.id))[0]);
  // another day, and nothing that this process counted
  await engine.redis.del(index);
  await engine.replaceEngine({});
  const { versionId } = engine.cloud.saved.find(({ bucket }) => bucket === free.bucket) ?? {};
  engine.cloud.sendEvents([eventOf(free.bucket, 'in/yesterday', versionId)]);
  await until('every event decided', () => engine.cloud.undeleted === 0);
  expect(await engine.show(over)).toBeUndefined();
  expect(await engine.quarantine(free.id)).toEqual([shown]);
  expect((await engine.ended(engine.upload([{ cmd: 'ok' }], 'in/today', free.bucket))).state).toBe('succeeded');
});

describe('runs that begin at once', () => {
  const free = { id: 'r1', plan: 'free' };
  const begun = async (limits: ReturnType<typeof createPlanLimits>, runs: number) =>
    (await Promise.all(Array.from({ length: runs }, (_, n) => limits.begin(free, `run ${n}`)))).filter((fault) => fault === undefined)
      .length;

  it('share one count: the last run of the day is given once', async () => {
    const counts: PromiseWithResolvers<number>[] = [];
    const count = () => {
      const asked = Promise.withResolvers<number>();
      counts.push(asked);
      return asked.promise;
    };
    const limits = createPlanLimits({ count, now: () => 0 });
    const done = begun(limits, 50);
    for (const asked of counts) asked.resolve(PLANS.free.runs_per_day - 1);
    expect(await done).toBe(1);
  });

  it('that could not be counted are counted anew', async () => {
    let away = true;
    const limits = createPlanLimits({ count: () => (away ? Promise.reject(new Error('away')) : Promise.resolve(0)), now: () => 0 });
    await expect(limits.begin(free, 'run')).rejects.toThrow('away');
    away = false;
    expect(await limits.begin(free, 'run')).toBeUndefined();
  });

  it('count once however often they are tried, not at all when they began before, and leave room when they do not begin', async () => {
    const limits = createPlanLimits({ count: () => Promise.resolve(PLANS.free.runs_per_day - 1), now: () => 0 });
    expect(await limits.begin(free, 'before', () => Promise.resolve(true))).toBeUndefined();
    for (let tries = 0; tries < 3; tries += 1) expect(await limits.begin(free, 'one')).toBeUndefined();
    expect(await limits.begin(free, 'other')).toContain('used up');
    limits.leave(free, 'one');
    expect(await limits.begin(free, 'other')).toBeUndefined();
  });
});
