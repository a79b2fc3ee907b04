// A launch that was granted and not made, or made and not counted, is lost to nobody.
import { Queue } from 'bullmq';
import { describe, expect, it } from 'vitest';
import { startBudgetAudit } from '../../src/processors/budget-audit.ts';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { ADDON_ACCOUNT } from '../../src/queues/budget.ts';
import { budgetKey, QUEUES, shardKeys, shardPrefix } from '../../src/queues/keys.ts';
import { createWatch } from '../../src/queues/watch.ts';
import { until } from '../support/until.ts';
import { cleanups, group, lone, PER_SECOND, setup, t } from './budgeted-engine.ts';

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
