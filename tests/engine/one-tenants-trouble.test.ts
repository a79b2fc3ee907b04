// What one tenant's app does not answer, or refuses, keeps nobody else's launches and stops waiting, and ends.
import { describe, expect, it } from 'vitest';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { Failure } from '../../src/schema/failures.ts';
import { until } from '../support/until.ts';
import { group, keys, log, start, task } from './troubled-tenants.ts';

describe('a customer’s own account without calls', () => {
  it('holds its resource back, and nobody else’s launches', async () => {
    const { engine, a, b, uploadTo, postsOf } = await start(() => ({}));
    await engine.resources.change(a.id, { set: { permission: 'customer' } });
    const held = uploadTo(a, task('throttled'));
    await until('its refusal', async () => (await engine.show(held))?.history.some(({ what }) => what === 'refused'));
    // the next one is not even asked for
    const next = uploadTo(a, task('ok'));
    await until('why it waits', async () =>
      (await engine.show(next))?.history.some(({ what, detail }) => what === 'refused' && detail.includes('no calls left')),
    );
    expect(postsOf(a)).toHaveLength(1);
    // neither is being refused: their attempts have ten minutes for that
    for (const run of [held, next]) expect(await engine.redis.hexists(keys.run(run), 'r:0.0')).toBe(0);
    expect((await engine.ended(uploadTo(b, task('ok')))).state).toBe('succeeded');
    expect(await engine.redis.hget('{afb}:budget:addon', 'blocked')).toBeNull();
  });
});

describe('tasks that wait for a customer’s own account', () => {
  it('are left alone by the sweep, however long that takes', async () => {
    let spread = 0;
    // the first is tried again a second after its pause, the others two seconds later
    const { engine, a, uploadTo, postsOf } = await start(() => ({}), { sweepMs: 100, random: () => (spread++ === 0 ? 0 : 0.5) });
    await engine.resources.change(a.id, { set: { permission: 'customer' } });
    const runs = [uploadTo(a, task('for_long'))];
    await until('its refusal', () => postsOf(a).length === 1);
    runs.push(uploadTo(a, task('for_long')));
    await until('both to know that it takes a minute', async () => {
      const due = await Promise.all(runs.map((run) => engine.redis.hget(keys.run(run), 'dl:0.0')));
      return due.every((at) => Number(at) > Date.now() + 40_000);
    });
    expect(postsOf(a)).toHaveLength(2);
  });
});

describe('tasks of an account that has no calls for long', () => {
  it('tell so once, however often they wait for their turn in vain', async () => {
    const { engine, a, uploadTo, postsOf } = await start(() => ({}), { launchesPerHour: 36_000, random: () => 0 });
    await engine.resources.change(a.id, { set: { permission: 'customer' } });
    const run = uploadTo(a, group(50, 'again_and_again'));
    // a few each time that a pause is over
    await until('calls after several pauses', () => postsOf(a).length >= 60, 40_000);
    // each once: accepted and so on for the run, waiting, asked for and refused for a task; asked for and refused for a call
    expect(await engine.redis.llen(keys.history(run))).toBeLessThan(10 + 50 * 4 + 2 * postsOf(a).length);
  }, 60_000);
});

it('a task that has asked for its launch and did not write yet that it waits keeps its place', async () => {
  const { engine, a, uploadTo } = await start(() => ({}));
  const budget = createBudget({ redis: engine.redis, perHour: 1_000_000_000, log });
  await budget.pause(ADDON_ACCOUNT, a.id);
  const run = uploadTo(a, task('ok'));
  await until('it waits', async () => (await engine.redis.hget(keys.run(run), 'p:0.0')) === 'throttle');
  const ref = { id: `${run}.0.0`, runId: run, step: 0, index: 0 };
  await engine.redis.hdel(keys.run(run), 'p:0.0');
  expect((await engine.runs.launchesOf([ref])).get(ref.id)).toBe('waits');
  await engine.redis.hset(keys.run(run), { 'p:0.0': 'backoff', 'dl:0.0': Date.now() + 60_000 });
  expect((await engine.runs.launchesOf([ref])).get(ref.id)).toBeUndefined();
  await engine.redis.hset(keys.run(run), 'dl:0.0', Date.now() - 1_000);
  expect((await engine.runs.launchesOf([ref])).get(ref.id)).toBe('waits');
});

it('an event that cannot be decided keeps nobody waiting for the verdict on a dyno that has ended', async () => {
  const { engine, a, b, uploadTo } = await start(() => ({}), { graceMs: 20, pollMs: 20 });
  const { head } = engine.cloud.store;
  engine.cloud.store.head = async (bucket, ...rest) => {
    if (bucket === a.bucket) throw new Failure('s3_unavailable', 'HEAD: HTTP 503.');
    return await head(bucket, ...rest);
  };
  uploadTo(a, task('ok'));
  const run = await engine.ended(uploadTo(b, task('crash')), 30_000);
  expect(run.state).toBe('failed');
  expect(run.steps[0]?.tasks[0]?.error?.code).toBe('exited_without_output');
  expect(await engine.cloud.queue.drained('')).toBe(false);
});
