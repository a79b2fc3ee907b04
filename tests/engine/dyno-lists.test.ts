// One tenant’s dyno list that does not come, or comes at a price, costs the others neither launches nor looks.
import { describe, expect, it } from 'vitest';
import { createDynoLists } from '../../src/processors/dyno-lists.ts';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { Failure } from '../../src/schema/failures.ts';
import { until } from '../support/until.ts';
import { DAY_MS, group, keys, log, SOON_LOST, start, task } from './troubled-tenants.ts';

describe('a dyno list that does not come', () => {
  it('takes nothing of the budget beyond the share of looks, however many launches wait for it', async () => {
    let lists = 0;
    const { engine, a, b, uploadTo } = await start(
      (platform, appOfA) => ({
        list: async (app, options) => {
          if (app !== appOfA()) return await platform.list(app, options);
          lists += 1;
          throw new Failure('heroku_unavailable', 'GET dynos: HTTP 503.');
        },
      }),
      { ...SOON_LOST, launchesPerHour: 36_000, pollMs: 3_600_000 },
    );
    uploadTo(a, group(20, 'unknown'));
    await until('looks for them', () => lists >= 3);
    const budget = createBudget({ redis: engine.redis, perHour: 36_000, log });
    const { calls, polls } = await budget.state(ADDON_ACCOUNT);
    expect(calls).toBe(0);
    expect(polls).toBe(lists);
    expect((await engine.ended(uploadTo(b, task('ok')))).state).toBe('succeeded');
  });

  /** A launch of unknown fate of an app whose list never comes, for the reason that `fails` has. */
  async function startUnknown() {
    const fails: { code: 'heroku_unavailable' | 'heroku_refused' } = { code: 'heroku_unavailable' };
    let lists = 0;
    const { engine, a, uploadTo } = await start(
      () => ({
        list: async () => {
          lists += 1;
          return await Promise.reject(new Failure(fails.code, 'GET dynos'));
        },
      }),
      { ...SOON_LOST, pollMs: 3_600_000 },
    );
    const run = uploadTo(a, task('unknown'));
    await until('a list', () => lists > 0);
    return {
      engine,
      run,
      fails,
      /** As if so many milliseconds more had passed since its launch. */
      age: async (ms: number) => {
        const field = (await engine.redis.hget(keys.run(run), 'i:0.0')) ?? '';
        await engine.redis.hset(
          keys.run(run),
          'i:0.0',
          field.replace(/\|(\d+)/, (_, at: string) => `|${Number(at) - ms}`),
        );
      },
      ring: async () => {
        const before = lists;
        await until('another list', async () => {
          await engine.runs.ring(run, ['0.0']);
          return lists > before;
        });
      },
    };
  }

  it('is waited for while Heroku does not answer, and no longer than the dyno may live where Heroku refuses it', async () => {
    const { engine, run, fails, age, ring } = await startUnknown();
    await age(3_600_000);
    await ring();
    expect((await engine.show(run))?.state).toBe('running');
    fails.code = 'heroku_refused';
    await ring();
    expect(await engine.ended(run)).toMatchObject({ state: 'failed', error: { code: 'launch_unknown' } });
  });

  it('is waited for a day at most where Heroku never answers', async () => {
    const { engine, run, age, ring } = await startUnknown();
    await age(DAY_MS - 60_000);
    await ring();
    expect((await engine.show(run))?.state).toBe('running');
    await age(60_000);
    // nobody need ask once more
    await engine.runs.ring(run, ['0.0']);
    expect(await engine.ended(run)).toMatchObject({ state: 'failed', error: { code: 'launch_unknown' } });
  });

  it('of an app that is gone shows no dyno', async () => {
    const { engine, a, uploadTo } = await start(
      () => ({ list: async () => await Promise.reject(new Failure('not_found', 'GET dynos: HTTP 404')) }),
      SOON_LOST,
    );
    expect(await engine.ended(uploadTo(a, task('unknown')))).toMatchObject({ state: 'failed', error: { code: 'launch_unknown' } });
  });

  it('is asked for once for all who look, and again for who needs one from later on', async () => {
    let now = 0;
    let allowed = true;
    const answers: PromiseWithResolvers<readonly []>[] = [];
    const lists = createDynoLists({
      list: async () => {
        const answer = Promise.withResolvers<readonly []>();
        answers.push(answer);
        return await answer.promise;
      },
      mayLook: async () => await Promise.resolve(allowed),
      charge: async () => await Promise.resolve(),
      monotonic: () => now,
    });
    const of = (age: number) => lists.of({ app: 'app', resource: 'r', age });
    const first = [of(0), of(0), of(500)];
    await until('the list', () => answers.length > 0);
    answers[0]?.resolve([]);
    expect(await Promise.all(first)).toEqual([[], [], []]);
    now = 1_000;
    expect(await of(1_000)).toEqual([]);
    expect(answers).toHaveLength(1);
    allowed = false;
    expect(await of(999)).toBeUndefined();
    allowed = true;
    const later = of(999);
    await until('the second list', () => answers.length === 2);
    answers[1]?.reject(new Failure('heroku_unavailable', 'HTTP 503'));
    await expect(later).rejects.toThrow('HTTP 503');
  });
});

it('a list that hangs holds a few places among the activations of a worker, not all', async () => {
  const hanging = Promise.withResolvers<readonly []>();
  let lists = 0;
  const { engine, a, b, uploadTo } = await start(
    (platform, appOfA) => ({
      list: async (app, options) => {
        if (app !== appOfA()) return await platform.list(app, options);
        lists += 1;
        return await hanging.promise;
      },
    }),
    { ...SOON_LOST, taskConcurrency: 10, pollMs: 3_600_000 },
  );
  uploadTo(a, group(20, 'unknown'));
  await until('a list', () => lists > 0);
  try {
    for (let n = 0; n < 3; n += 1) expect((await engine.ended(uploadTo(b, task('ok'), task('ok')), 20_000)).state).toBe('succeeded');
  } finally {
    hanging.resolve([]);
  }
});

describe('the share of looks', () => {
  /** A platform that answers as `list` does, where looks at others use up their share. */
  const usedUp = (list: () => Promise<readonly []>) => {
    const seen = { now: 0, lists: 0, charged: 0 };
    const lists = createDynoLists({
      list: async () => {
        seen.lists += 1;
        return await list();
      },
      mayLook: async () => await Promise.resolve(false),
      charge: async () => {
        seen.charged += 1;
        await Promise.resolve();
      },
      monotonic: () => seen.now,
    });
    return { seen, of: (age: number) => lists.of({ app: 'app', resource: 'r', age }), look: (app = 'app') => lists.seen(app) };
  };

  it('pays once for a list that many need at the same time', async () => {
    const { seen, of } = usedUp(async () => await Promise.resolve([]));
    const answers = await Promise.all(Array.from({ length: 50 }, () => of(30_000)));
    expect(seen).toMatchObject({ lists: 1, charged: 1 });
    expect(answers).toContainEqual([]);
  });

  it('leaves no list of an app at which nobody looks any more', async () => {
    const { seen, of, look } = usedUp(async () => await Promise.resolve([]));
    await look();
    seen.now = 121_000;
    await look('another');
    await of(3_600_000);
    expect(seen.lists).toBe(3);
  });

  it('keeps nobody from a list for ever, also where looks at others use it up', async () => {
    const { seen, of } = usedUp(async () => await Promise.resolve([]));
    expect(await of(29_999)).toBeUndefined();
    expect(await of(30_000)).toEqual([]);
    expect(seen).toMatchObject({ lists: 1, charged: 1 });
    // that one serves all who have waited since
    seen.now = 20_000;
    expect(await of(30_000)).toEqual([]);
    expect(seen).toMatchObject({ lists: 1, charged: 1 });
  });

  it('is not needed for what a look at the whole app has seen', async () => {
    const { seen, of, look } = usedUp(async () => await Promise.resolve([]));
    seen.now = 1_000;
    await look();
    seen.now = 3_000;
    expect(await of(1_999)).toBeUndefined();
    expect(await of(2_000)).toEqual([]);
    expect(seen).toMatchObject({ lists: 1, charged: 0 });
  });

  it('is not gone past by an app whose list never comes: it is asked for ever more rarely', async () => {
    const { seen, of } = usedUp(async () => await Promise.reject(new Failure('heroku_unavailable', 'HTTP 503')));
    const HOUR_S = 3_600;
    for (let second = 0; second < HOUR_S; second += 1) {
      seen.now = second * 1_000;
      await expect(of(60_000)).rejects.toThrow('HTTP 503');
    }
    expect(seen.lists).toBe(seen.charged);
    // 1.5 + 3 + 6 + … + 48 s, then one in a minute
    expect(seen.lists).toBeLessThan(70);
    expect(seen.lists).toBeGreaterThan(50);
  });
});
