// Resources take turns in launching, and hold as many dynos as their plan allows.
import { describe, expect, it } from 'vitest';
import { ADDON_ACCOUNT } from '../../src/queues/budget.ts';
import { budgetKey } from '../../src/queues/keys.ts';
import { treeOf } from '../../src/queues/tree.ts';
import { readRun } from '../../src/queues/views.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { until } from '../support/until.ts';
import { group, lone, PER_SECOND, setup, t } from './budgeted-engine.ts';

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
