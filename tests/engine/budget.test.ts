// The launch budget on a real Redis: never more calls than the account has, the resources in turn, no more dynos than the plan
// allows, nothing lost when a grant is.
import { describe, expect, it } from 'vitest';
import { ADDON_ACCOUNT } from '../../src/queues/budget.ts';
import { budgetKey, shardKeys } from '../../src/queues/keys.ts';
import { until } from '../support/until.ts';
import { group, mostWithin, PER_SECOND, scripts, setup, t } from './budgeted-engine.ts';

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
