// The launch budget on a real Redis: never more calls than the account has, the resources in turn, no more dynos than the plan
// allows, nothing lost when a grant is.
import { Queue } from 'bullmq';
import { afterEach, describe, expect, it } from 'vitest';
import { startBudgetAudit } from '../../src/processors/budget-audit.ts';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { connect } from '../../src/queues/connection.ts';
import { budgetKey, QUEUES, shardKeys, shardPrefix } from '../../src/queues/keys.ts';
import { treeOf } from '../../src/queues/tree.ts';
import { readRun } from '../../src/queues/views.ts';
import { createWatch } from '../../src/queues/watch.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { startRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const scripts: Record<string, Script> = {
  ok: async ({ output, exit, accept }) => {
    await output(20);
    exit(40);
    return accept();
  },
  slow: async ({ output, exit, accept }) => {
    await output(250);
    exit(300);
    return accept();
  },
};
const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, ...more });
const group = (cmd: string, count: number) => ({ parallel: Array.from({ length: count }, () => t(cmd)) });
const PER_SECOND = 3600;

async function setup(overrides: Partial<EngineOptions> = {}, more: Record<string, Script> = {}) {
  const server = await startRedis();
  cleanups.push(() => server.stop());
  const engine = await startTestEngine(server, { ...scripts, ...more }, overrides);
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const budget = createBudget({ redis: engine.redis, perHour: overrides.launchesPerHour ?? 1_000_000_000, log });
  cleanups.push(() => engine.stop());
  return { ...engine, budget };
}

/**
 * A budget without an engine, which would hand out the grants of every account; five launches are saved up, and no other token comes while a test
 * lasts, however slow it is: one `comes` when the test says so.
 */
async function lone() {
  const server = await startRedis();
  const redis = connect(server.cluster === undefined ? { socket: server.socket } : { cluster: server.cluster }, () => {});
  cleanups.push(server.stop, async () => await Promise.resolve(redis.disconnect()));
  const budget = createBudget({ redis, perHour: 1, log: { debug() {}, info() {}, warn() {}, error() {} } });
  const of = (task: string) => ({ account: 'lone', resource: 'r', task, concurrency: 0 });
  const comes = async () => await redis.hset(budgetKey('lone'), 'level', 1);
  return { redis, budget, of, comes };
}

/** Most of the times that lie within any window of `ms`. */
function mostWithin(times: readonly number[], ms: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return Math.max(...sorted.map((start) => sorted.filter((at) => at >= start && at < start + ms).length));
}

describe('the account', () => {
  it('gets no more calls in any second than its rate and what it may save up', async () => {
    const own = await setup({ launchesPerHour: 20 * PER_SECOND });
    const runId = own.upload([group('ok', 70)]);
    expect((await own.ended(runId)).state).toBe('succeeded');
    const posts = own.cloud.postsOf(runId).map(({ at }) => at);
    expect(posts).toHaveLength(70);
    // 20 saved up and 20 that come in a second; a grant may be used half a second after it was given
    expect(mostWithin(posts, 1000)).toBeLessThanOrEqual(20 + 20 + 10);
    expect((await own.budget.state(ADDON_ACCOUNT)).launches).toBe(70);
  });

  it('is left alone after a 429, and what was refused is launched afterwards, once', async () => {
    let refused = 0;
    const own = await setup(
      {},
      {
        busy: (dyno) => {
          refused += 1;
          if (refused > 1) return scripts['ok']?.(dyno) ?? dyno.accept();
          return {
            outcome: 'refused',
            heal: true,
            status: 429,
            id: 'rate_limit',
            message: 'Your account reached the API limit.',
            retryAfter: 1,
          };
        },
      },
    );
    const runId = own.upload([t('busy', { retries: 0 })]);
    const run = await own.ended(runId);
    expect(run.state).toBe('succeeded');
    const [first, second] = own.cloud.postsOf(runId);
    expect([first?.attempt, second?.attempt]).toEqual([1, 1]);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(1000);
    expect((await own.budget.state(ADDON_ACCOUNT)).throttled).toBe(1);
  });

  it('fails an attempt that is refused for ten minutes, so that every run ends', async () => {
    const own = await setup(
      {},
      { busy: () => ({ outcome: 'refused', heal: true, status: 503, id: 'capacity', message: 'No capacity.', retryAfter: 0 }) },
    );
    const runId = own.upload([t('busy', { retries: 0 })]);
    await until('a refusal', async () => (await own.redis.hexists(shardKeys(0).run(runId), 'r:0.0')) === 1);
    // as if the first refusal lay ten minutes back
    await own.redis.hset(shardKeys(0).run(runId), 'r:0.0', Date.now() - 600_001);
    const run = await own.ended(runId);
    expect(run.error).toMatchObject({ code: 'launch_refused', message: expect.stringContaining('No capacity') });
  });

  it('has no more calls than the platform says are left, and none more for its saying so again', async () => {
    let tell: (remaining: number) => void = () => {};
    // five saved up, and no other comes while the test lasts; a look at a dyno list would take one
    const own = await setup({
      launchesPerHour: 1,
      pollMs: 3_600_000,
      onRateLimit: (listener) => {
        tell = listener;
      },
    });
    const state = () => own.budget.state(ADDON_ACCOUNT);
    const heard = async (remaining: number) => {
      tell(remaining);
      await until(`${remaining} to be heard`, async () => (await state()).remaining === remaining);
    };
    await own.budget.pause(ADDON_ACCOUNT, own.resource);
    const runId = own.upload([group('ok', 50)]);
    const waiting = async () => (await own.budget.outlook(ADDON_ACCOUNT, own.resource, [])).waiting;
    await until('all to wait', async () => (await waiting()) === 50);
    await heard(3);
    await own.budget.resume(ADDON_ACCOUNT, own.resource);
    // they are granted together, and the first have their outputs after the last has been sent
    const succeeded = async (count: number) =>
      await until(`${count} outputs`, async () => {
        const tasks = (await own.show(runId))?.steps[0]?.tasks ?? [];
        return tasks.filter((task) => task.state === 'succeeded').length >= count;
      });
    await succeeded(3);
    expect([own.cloud.postsOf(runId).length, (await state()).launches, await waiting()]).toEqual([3, 3, 47]);
    // what it may save up is more than that: more may come back, and is counted here when it does
    await heard(4);
    const { tokens, launches } = await state();
    expect(tokens + launches).toBeLessThan(4);
    await own.redis.hset(budgetKey(ADDON_ACCOUNT), 'level', 1);
    await succeeded(4);
    expect([own.cloud.postsOf(runId).length, (await state()).launches, await waiting()]).toEqual([4, 4, 46]);
    await own.runs.cancel(runId, 'test');
  });

  it('gives looks at dyno lists a fifth of its calls at most', async () => {
    const own = await setup({ launchesPerHour: 10 * PER_SECOND });
    const answers = [];
    for (let i = 0; i < 50; i += 1) answers.push(await own.budget.mayPoll('other'));
    expect(answers.filter(Boolean).length).toBeLessThanOrEqual(3);
    expect((await own.budget.state('other')).polls).toBe(answers.filter(Boolean).length);
  });
});

describe('resources', () => {
  it('take turns: one task of a second one does not wait for the backlog of the first', async () => {
    const own = await setup({ launchesPerHour: 20 * PER_SECOND });
    const other = await own.otherResource();
    for (const one of [own.resource, other.id]) await own.budget.pause(ADDON_ACCOUNT, one);
    const big = own.upload([group('ok', 100)]);
    const single = own.upload([t('ok')], 'in/single', other.bucket);
    const waiting = async (one: string) => (await own.budget.outlook(ADDON_ACCOUNT, one, [])).waiting;
    await until('both to wait', async () => (await waiting(own.resource)) === 100 && (await waiting(other.id)) === 1);
    for (const one of [own.resource, other.id]) await own.budget.resume(ADDON_ACCOUNT, one);
    await until('the single one', () => own.cloud.postsOf(single).length === 1);
    // what was saved up may go to the first before the second is resumed; from then on they take turns
    expect(own.cloud.posts.findIndex((post) => post.taskId.startsWith(single))).toBeLessThan(20 + 10);
    await own.runs.cancel(big, 'test');
  });

  it('ask for their first launches one after the other: a single task goes before all but the first of a group, or of runs that came together', async () => {
    const own = await setup();
    const parsed = parseWorkflow(JSON.stringify({ run: [group('ok', 200)] }));
    if (!parsed.ok) throw new Error('not valid');
    const come = (launches: number) => own.budget.outstanding('busy', launches);
    const priorities = [come(200), come(200)].map((outstanding) =>
      treeOf('r0-x', 'busy', parsed.plan, outstanding).children?.map((job) => job.opts?.priority),
    );
    const alone = 10 + own.budget.outstanding('other', 1);
    expect(priorities.flat()).toEqual(Array.from({ length: 400 }, (_, i) => alone + i));
  });

  it('run no more dynos at a time than their plan allows, and say so', async () => {
    let running = 0;
    let most = 0;
    const own = await setup(
      {},
      {
        counted: async ({ output, exit, accept }) => {
          running += 1;
          most = Math.max(most, running);
          // long enough for a slow machine to launch what is allowed beside it
          await output(400);
          setTimeout(() => {
            running -= 1;
          }, 400);
          exit(450);
          return accept();
        },
      },
    );
    const other = await own.otherResource('free');
    const runId = own.upload([group('counted', 17)], 'in/x', other.bucket);
    const waiting = await until('a task that waits', async () => {
      const view = await readRun(own.redis, runId, own.budget);
      return view?.steps[0]?.tasks.find((task) => task.waiting?.why === 'concurrency')?.waiting;
    });
    expect(waiting).toMatchObject({ message: 'waits: the plan allows 5 dynos at a time' });
    expect((await own.ended(runId)).state).toBe('succeeded');
    expect(most).toBe(5);
    expect(own.cloud.postsOf(runId)).toHaveLength(17);
  });

  it('launch what waits as soon as a larger plan allows it, with nothing of theirs ending', async () => {
    const own = await setup({}, { stays: (dyno) => dyno.accept('up') });
    const other = await own.otherResource('free');
    const runId = own.upload([group('stays', 17)], 'in/x', other.bucket);
    await until('all others to wait', async () => {
      const { why, waiting } = await own.budget.outlook(ADDON_ACCOUNT, other.id, []);
      return why === 'concurrency' && waiting === 12;
    });
    // what was granted may not have been sent yet
    await until('what its plan allows', () => own.cloud.postsOf(runId).length === 5);
    expect((await own.resources.change(other.id, { set: { plan: 'basic' } })).done).toBe(true);
    await until('the rest of them', () => own.cloud.postsOf(runId).length === 17, 10_000);
    await own.runs.cancel(runId, 'test');
  });

  it('are not overtaken by their own new files when a larger plan is noticed', async () => {
    const { budget, of, redis } = await lone();
    const ask = async (task: string, concurrency: number) => (await budget.request({ ...of(task), concurrency })).answer;
    expect([await ask('r0-x.0.0', 1), await ask('r0-x.0.1', 1)]).toEqual(['granted', 'queued']);
    expect(await ask('r0-y.0.0', 10)).toBe('queued');
    expect(await redis.zscore(`${budgetKey('lone')}:ring`, 'r')).not.toBeNull();
    expect((await budget.grant('lone')).grants.map(({ task }) => task)).toEqual(['r0-x.0.1', 'r0-y.0.0']);
  });

  it('are not overtaken either when a worker of an earlier version noted the larger plan and no more', async () => {
    const { budget, of, redis } = await lone();
    const ask = async (task: string, concurrency: number) => (await budget.request({ ...of(task), concurrency })).answer;
    expect([await ask('r0-x.0.0', 1), await ask('r0-x.0.1', 1)]).toEqual(['granted', 'queued']);
    await redis.hset(`${budgetKey('lone')}:limits`, 'r', 10);
    expect(await ask('r0-y.0.0', 10)).toBe('queued');
    expect((await budget.grant('lone')).grants.map(({ task }) => task)).toEqual(['r0-x.0.1', 'r0-y.0.0']);
  });

  it('tell about when a launch will come that waits for the budget', async () => {
    const own = await setup({ launchesPerHour: 3600 });
    const runId = own.upload([group('ok', 30)]);
    const seconds = await until('the last one to wait', async () => {
      const view = await readRun(own.redis, runId, own.budget);
      const times = (view?.steps[0]?.tasks ?? []).flatMap((task) => task.waiting?.seconds ?? []);
      return times.length >= 20 ? Math.max(...times) : undefined;
    });
    expect(seconds).toBeGreaterThan(15);
    expect(seconds).toBeLessThanOrEqual(30);
    const waiting = (await readRun(own.redis, runId, own.budget))?.steps[0]?.tasks.find(
      // one that has just been granted its launch waits for its job alone
      (task) => typeof task.waiting?.seconds === 'number',
    )?.waiting;
    expect(waiting?.message).toMatch(/^starts in about \d+ s: launch budget$/);
    await own.runs.cancel(runId, 'test');
    expect((await own.ended(runId)).state).toBe('cancelled');
    await until('an empty list', async () => (await own.budget.outlook(ADDON_ACCOUNT, own.resource, [])).waiting === 0);
  });

  it('launch nothing while they are paused, and go on when they are resumed', async () => {
    const own = await setup();
    const other = await own.otherResource();
    expect(await own.budget.pause(ADDON_ACCOUNT, own.resource)).toBe(true);
    expect(await own.budget.pause(ADDON_ACCOUNT, own.resource)).toBe(false);
    const held = own.upload([t('ok'), group('ok', 3)]);
    const free = own.upload([t('ok')], 'in/free', other.bucket);
    expect((await own.ended(free)).state).toBe('succeeded');
    const waiting = await until('the held task', async () => (await readRun(own.redis, held, own.budget))?.steps[0]?.tasks[0]?.waiting);
    expect(waiting).toMatchObject({ why: 'paused' });
    expect(own.cloud.postsOf(held)).toHaveLength(0);
    expect(await own.budget.resume(ADDON_ACCOUNT, own.resource)).toBe(true);
    expect((await own.ended(held)).state).toBe('succeeded');
    expect(own.cloud.postsOf(held)).toHaveLength(4);
  });
});

describe('what is lost on the way', () => {
  it('a grant that nobody uses comes back with its token and its place', async () => {
    const { budget, of, comes } = await lone();
    const answers = [];
    for (let i = 0; i < 8; i += 1) answers.push((await budget.request(of(`r0-x.0.${i}`))).answer);
    expect(answers).toEqual(['granted', 'granted', 'granted', 'granted', 'granted', 'queued', 'queued', 'queued']);
    await comes();
    const first = await until('a grant', async () => (await budget.grant('lone')).grants[0]);
    expect(first.task).toBe('r0-x.0.5');
    const again = await until('the same grant again', async () =>
      (await budget.grant('lone')).grants.find(({ task }) => task === 'r0-x.0.5'),
    );
    expect(again).toEqual({ task: 'r0-x.0.5', resource: 'r' });
    expect((await budget.request(of('r0-x.0.5'))).answer).toBe('granted');
    expect((await budget.state('lone')).returned).toBeGreaterThanOrEqual(1);
  });

  it('a grant that was given again and used is not given back by who gave it first, and is late', async () => {
    const { budget, of, redis, comes } = await lone();
    for (let i = 0; i < 6; i += 1) await budget.request(of(`r0-x.0.${i}`));
    await comes();
    const task = 'r0-x.0.5';
    const grant = () => until('a grant', async () => (await budget.grant('lone')).grants.find((one) => one.task === task));
    await grant();
    await grant();
    expect((await budget.request(of(task))).answer).toBe('granted');
    const { returned } = await budget.state('lone');
    // the answer to the first ring came that late
    await budget.release(of(task), true, 'grant');
    expect((await budget.state('lone')).returned).toBe(returned);
    expect(await redis.zscore(`${budgetKey('lone')}:held:r`, task)).not.toBeNull();
  });

  it('a task that lost its place in the list is rung by the sweep and asks again', async () => {
    const own = await setup();
    await own.budget.pause(ADDON_ACCOUNT, own.resource);
    const runId = own.upload([t('ok')]);
    await until('the queued task', async () => (await own.budget.outlook(ADDON_ACCOUNT, own.resource, [])).waiting === 1);
    await own.redis.del(`${budgetKey(ADDON_ACCOUNT)}:wait:${own.resource}`);
    await own.budget.resume(ADDON_ACCOUNT, own.resource);
    expect((await own.ended(runId, 30_000)).state).toBe('succeeded');
  });

  it('a launch that is held for a task which does not launch is let go', async () => {
    const own = await setup();
    const other = await own.otherResource('free');
    const held = `${budgetKey(ADDON_ACCOUNT)}:held:${other.id}`;
    await own.redis.zadd(held, 1, 'r0-a.0.0', 2, 'r0-b.0.0', 3, 'r0-c.0.0', 4, 'r0-d.0.0', 5, 'r0-e.0.0');
    const runId = own.upload([t('ok')], 'in/x', other.bucket);
    expect((await own.ended(runId, 30_000)).state).toBe('succeeded');
    expect(await own.redis.zcard(held)).toBeLessThan(5);
  });

  it('a launch that is made while the audit looks counts: it saw it wait, or hold an earlier one', async () => {
    const { budget, of, redis, comes } = await lone();
    // another node of a cluster may have the clock that is asked without a key
    redis.time = async () => [Math.floor(Date.now() / 1000) + 40, 0];
    const held = `${budgetKey('lone')}:held:r`;
    const [waits, anew] = ['r0-x.0.5', 'r0-y.0.0'];
    // of a launch long ago, which is made again meanwhile
    await budget.request(of(anew));
    await redis.zadd(held, 1, anew);
    for (let i = 0; i < 4; i += 1) await budget.request(of(`r0-x.0.${i}`));
    expect((await budget.request(of(waits))).answer).toBe('queued');
    const launch = async () => {
      await budget.release(of(anew), true);
      expect((await budget.request(of(anew))).answer).toBe('queued');
      for (const task of [waits, anew]) {
        await comes();
        await until('its grant', async () => (await budget.grant('lone')).grants.some((one) => one.task === task));
        expect((await budget.request(of(task))).answer).toBe('granted');
      }
    };
    const looked = Promise.withResolvers<void>();
    const audit = startBudgetAudit({
      budget,
      // what the record says of both when they were launched while it was asked, and of one that it does not find
      runs: {
        launchesOf: async () => {
          await launch().then(looked.resolve, looked.reject);
          return new Map([[waits, 'holds']]);
        },
      },
      watch: createWatch({ redis, shard: 0 }),
      allowances: { of: async () => ({ account: 'lone', concurrency: 0, commands: 'any' }) },
      everyMs: 60_000,
      nudgeGrants() {},
      log: { debug() {}, info() {}, warn() {}, error() {} },
    });
    await looked.promise;
    // when its turn has ended
    await audit.stop();
    expect(await redis.zmscore(held, waits, anew)).toEqual([expect.any(String), expect.any(String)]);
  });

  /** Two tasks one after the other; the job of the first is removed by hand while its launch is held back, and that of the second begins before its time. */
  async function begunBeforeItsTime(overrides: Partial<EngineOptions>) {
    const own = await setup(overrides);
    const keys = shardKeys(0);
    await own.budget.pause(ADDON_ACCOUNT, own.resource);
    const runId = own.upload([t('ok'), t('ok')]);
    const tasks = new Queue(QUEUES.task, { connection: own.redis, prefix: shardPrefix(0) });
    cleanups.push(() => tasks.close());
    const isParked = async (task: string) => (await tasks.getJob(`${runId}.${task}`))?.isDelayed();
    await until(
      'the first to wait',
      async () => (await own.redis.hget(keys.run(runId), 'p:0.0')) === 'throttle' && (await isParked('0.0')),
    );
    await (await tasks.getJob(`${runId}.0.0`))?.remove({ removeChildren: false });
    await until('the second to come and to be parked', async () => await isParked('1.0'));
    const waiting = async () => (await own.budget.entries(ADDON_ACCOUNT, own.resource, { offset: 0, heldBefore: 0 })).waiting;
    return { ...own, runId, waiting };
  }

  it('a task whose job comes before the turn of its step keeps no place in the list: it would be granted launches that it does not use', async () => {
    const { runId, waiting } = await begunBeforeItsTime({ sweepMs: 600_000 });
    await until('its place to be free', async () => (await waiting()).length === 1);
    expect(await waiting()).toEqual([`${runId}.0.0`]);
  });

  it('a place of such a task that a worker left there is found by the audit', async () => {
    const { runId, waiting, budget, resource, ended } = await begunBeforeItsTime({ sweepMs: 200 });
    await budget.request({ account: ADDON_ACCOUNT, resource, task: `${runId}.1.0`, concurrency: 0 });
    await until('its place to be free', async () => !(await waiting()).includes(`${runId}.1.0`));
    await budget.resume(ADDON_ACCOUNT, resource);
    expect((await ended(runId)).state).toBe('succeeded');
  });

  it('the launch of a task whose job came back counts as before', async () => {
    const own = await setup(
      { graceMs: 60_000 },
      {
        ends: ({ exit, accept }) => {
          exit(20);
          return accept();
        },
      },
    );
    const runId = own.upload([t('ends')]);
    const task = `${runId}.0.0`;
    const keys = shardKeys(0);
    const parked = async () => (await own.redis.zscore(keys.delayed, task)) !== null;
    await until('the end of its dyno', async () => (await own.redis.hexists(keys.run(runId), 'x:0.0')) === 1 && (await parked()));
    const held = async () => await own.redis.zscore(`${budgetKey(ADDON_ACCOUNT)}:held:${own.resource}`, task);
    const since = await held();
    expect(since).not.toBeNull();
    await own.redis.del(keys.job('task', task));
    await own.redis.zrem(keys.delayed, task);
    await until('its job again', parked, 20_000);
    expect(await held()).toBe(since);
    await own.runs.cancel(runId, 'test');
  });

  it('a worker that slept while another one launched its task neither takes nor gives back that launch', async () => {
    const { budget, of, redis } = await lone();
    const task = 'r0-x.0.0';
    const held = async () => Number(await redis.zscore(`${budgetKey('lone')}:held:r`, task));
    const slept = await budget.request(of(task), 0);
    const other = await budget.request(of(task), slept.slot);
    expect([slept.answer, other.answer]).toEqual(['granted', 'granted']);
    expect(await held()).toBe(other.slot);
    // it gives back what it got, and its attempt's end lets go of what was before
    await budget.release(of(task), true, [slept.slot, slept.slot]);
    await budget.release(of(task), false, [0, slept.slot]);
    // it asks without knowing of any launch, or knowing of the earlier one alone
    for (const knownAt of [0, slept.slot]) expect((await budget.request(of(task), knownAt)).answer).toBe('holds');
    expect(await held()).toBe(other.slot);
    expect((await budget.state('lone')).returned).toBe(0);
    // who died between its grant and its launch left one that stands in nobody's way
    expect((await budget.request(of(task), other.slot)).answer).toBe('granted');
  });

  it('nothing of a resource counts any more when its runs have ended', async () => {
    const own = await setup({ launchesPerHour: 50 * PER_SECOND });
    const runs = [own.upload([group('slow', 4), t('ok')]), own.upload([t('ok', { wait_for: 1 })]), own.upload([t('slow')])];
    const [, , third] = runs;
    await until('a launch', () => own.cloud.postsOf(third ?? '').length === 1);
    await own.runs.cancel(third ?? '', 'test');
    for (const runId of runs) await own.ended(runId);
    await until('nothing held', async () => {
      const { held, waiting } = await own.budget.outlook(ADDON_ACCOUNT, own.resource, []);
      return held === 0 && waiting === 0;
    });
  });
});

describe('a resource that allows Procfile commands alone', () => {
  it('runs process types without arguments, and refuses everything else with what is allowed', async () => {
    const own = await setup();
    own.cloud.processTypes = ['web', 'ok'];
    const other = await own.otherResource('test', 'procfile');
    const good = own.upload([t('ok')], 'in/good', other.bucket);
    const bad = own.upload([t('ok --all', { retries: 3 })], 'in/bad', other.bucket);
    expect((await own.ended(good)).state).toBe('succeeded');
    const run = await own.ended(bad);
    expect(run.error).toMatchObject({ code: 'launch_refused', message: expect.stringContaining('expected a process type of') });
    expect(run.error?.message).toContain('web, ok');
    expect(own.cloud.postsOf(bad)).toHaveLength(0);
  });
});
