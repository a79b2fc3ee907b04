// What one tenant's app does not answer, or refuses, keeps nobody else's launches and stops waiting, and ends.
import { afterEach, describe, expect, it } from 'vitest';
import type { DynoPlatform, LaunchOutcome } from '../../src/clients/ports.ts';
import { createDynoLists } from '../../src/processors/dyno-lists.ts';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const keys = shardKeys(0);
const task = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 600, retries: 0, ...more });
const group = (n: number, cmd: string) => ({ parallel: Array.from({ length: n }, () => task(cmd)) });
const unknown: LaunchOutcome = { outcome: 'unknown', cause: 'HTTP 503' };
/** Makes launches of unknown fate count as lost 400 ms after their intent, where the list says so. */
const SOON_LOST = { adoptMarginMs: -10_600 };
const DAY_MS = 86_400_000;
const log = { debug() {}, info() {}, warn() {}, error() {} };

/** An engine with two tenants, of whom A is in trouble: what `change` says of the platform. */
async function start(
  change: (platform: DynoPlatform, appOfA: () => string) => Partial<DynoPlatform>,
  overrides: Partial<EngineOptions> = {},
) {
  const server = await startRedis();
  ends.push(server.stop);
  let late: Parameters<Script>[0] | undefined;
  let refusals = 0;
  const engine = await startTestEngine(
    server,
    {
      live: (dyno) => dyno.accept('up'),
      ok: async (dyno) => {
        await dyno.output(5);
        return dyno.accept('up');
      },
      crash: (dyno) => {
        dyno.exit(5, 3);
        return dyno.accept();
      },
      unknown: (dyno) => {
        if (dyno.post.attempt > 1) return dyno.accept('up');
        late = dyno;
        return unknown;
      },
      throttled: () => ({ outcome: 'refused', heal: true, status: 429, id: 'rate_limit', message: 'no calls left' }),
      again_and_again: () => ({
        outcome: 'refused',
        heal: true,
        status: 429,
        id: 'rate_limit',
        message: 'no calls left',
        retryAfter: 0.1,
      }),
      for_long: () => {
        refusals += 1;
        const retryAfter = refusals === 1 ? 1 : 60;
        return { outcome: 'refused', heal: true, status: 429, id: 'rate_limit', message: 'no calls left', retryAfter };
      },
    },
    overrides,
  );
  ends.push(async () => await engine.stop());
  const [a, b] = [await engine.otherResource(), await engine.otherResource()];
  Object.assign(
    engine.cloud.platform,
    change({ ...engine.cloud.platform }, () => a.app),
  );
  const uploadTo = (one: typeof a, ...run: unknown[]) => engine.upload(run, undefined, one.bucket);
  const postsOf = (one: typeof a) => engine.cloud.posts.filter(({ order }) => order.env['LD_S3_BUCKET'] === one.bucket);
  return { server, engine, a, b, uploadTo, postsOf, appears: () => late?.accept('up') };
}

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
