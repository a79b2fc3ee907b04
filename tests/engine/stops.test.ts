// Dynos that one tenant’s platform does not stop keep nobody else’s running.
import { describe, expect, it } from 'vitest';
import { Failure } from '../../src/schema/failures.ts';
import { until } from '../support/until.ts';
import { ends, group, keys, SOON_LOST, start, task } from './troubled-tenants.ts';

describe('stops', () => {
  it('of many dynos that are not answered keep nobody else’s waiting', async () => {
    const { engine, a, b, uploadTo } = await start((platform, appOfA) => ({
      stop: async (app, id, options = {}) => {
        if (app !== appOfA()) return await platform.stop(app, id, options);
        // until it is given up
        await new Promise((_, reject) => options.signal?.addEventListener('abort', () => reject(new Error('aborted'))));
      },
    }));
    const [many, one] = [uploadTo(a, group(200, 'live')), uploadTo(b, task('live'))];
    await until(
      'all launched',
      async () => (await engine.redis.hlen(keys.watch(a.id))) === 200 && (await engine.redis.hlen(keys.watch(b.id))) === 1,
      40_000,
    );
    await engine.runs.cancel(many, 'test');
    await until('all due', async () => (await engine.redis.zcard(keys.stops)) === 200, 40_000);
    await engine.runs.cancel(one, 'test');
    await until('the stop of the one', () => engine.cloud.stopped.length === 1);
  }, 120_000);

  it('that fail are paid for by all, and take nobody’s launches by being tried again and again', async () => {
    let tried = 0;
    const { engine, a, b, uploadTo } = await start(
      (platform, appOfA) => ({
        stop: async (app, ...call) => {
          if (app !== appOfA()) return await platform.stop(app, ...call);
          tried += 1;
          throw new Failure('heroku_unavailable', 'POST stop: HTTP 429.');
        },
      }),
      { launchesPerHour: 36_000 },
    );
    const run = uploadTo(a, group(20, 'live'));
    await until('its launches', async () => (await engine.redis.hlen(keys.watch(a.id))) === 20, 30_000);
    await engine.runs.cancel(run, 'test');
    await until('stops', async () => tried > 0 && (await engine.redis.zcard(keys.stops)) === 20);
    for (let n = 0; n < 10; n += 1) expect((await engine.ended(uploadTo(b, task('ok')), 10_000)).state).toBe('succeeded');
    // five at a time, then one after five seconds, ten and so on
    expect(tried).toBeLessThan(10);
  }, 60_000);

  it('that Heroku refused are tried again', async () => {
    let refused = 0;
    let ahead = 0;
    const { engine, a, uploadTo } = await start(
      (platform) => ({
        stop: async (...call) => {
          if (ahead > 0) return await platform.stop(...call);
          refused += 1;
          throw new Failure('heroku_refused', 'POST stop: HTTP 401 unauthorized');
        },
      }),
      { monotonic: () => performance.now() + ahead },
    );
    const run = uploadTo(a, task('live'));
    await until('its launch', async () => (await engine.redis.hlen(keys.watch(a.id))) === 1);
    await engine.runs.cancel(run, 'test');
    await until('a refusal', () => refused > 0);
    expect((await engine.ended(run)).state).toBe('cancelled');
    // the token is a new one when the next try is due
    ahead = 60_000;
    await until('the stop', () => engine.cloud.stopped.length === 1);
    await until('the end of the list', async () => (await engine.redis.zcard(keys.stops)) === 0);
    expect(refused).toBe(1);
  });

  it('do not keep a worker from ending within its deadline, with its last word', async () => {
    const { engine, a, uploadTo } = await start(() => ({ stop: () => new Promise(() => {}) }));
    const run = uploadTo(a, group(10, 'live'));
    await until('its launches', async () => (await engine.redis.hlen(keys.watch(a.id))) === 10);
    await engine.runs.cancel(run, 'test');
    await until('stops', async () => (await engine.redis.zcard(keys.stops)) === 10);
    const said = () => engine.cloud.objects.get('autofiles-archive/store.json')?.body;
    const before = said();
    await engine.stop();
    ends.pop();
    expect(said()).not.toBe(before);
  }, 30_000);
});

it('a dyno that appears after its attempt was given up is stopped also by a worker whose clock is ahead', async () => {
  let ahead = 0;
  const { engine, a, uploadTo, appears } = await start(() => ({}), { ...SOON_LOST, now: () => Date.now() + ahead });
  const run = uploadTo(a, task('unknown', { retries: 1, backoff: { type: 'fixed', delay: 0.05 } }));
  await until('the second attempt', () => engine.cloud.postsOf(run).length === 2);
  ahead = 120_000;
  await until('a look at the list after that', async () => {
    const before = engine.cloud.lists;
    await until('a list', () => engine.cloud.lists > before + 1);
    return true;
  });
  appears();
  await until('the stop of the first', () => engine.cloud.stopped.length === 1);
  expect(engine.cloud.dynos.size).toBe(1);
});
