// A launch that was not answered is looked for: adopted when it is there, and called lost only when it is not.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';
import { all, alone, appeared, at, dynoOf, find, SOON_LOST, scripts, seen, t, unknown } from './outputless-engine.ts';

let redis: TestRedis;
let engine: TestEngine;
beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, scripts);
});
afterAll(async () => {
  await engine.stop();
  await redis.stop();
});

describe.concurrent('a launch of unknown fate', () => {
  it('without retries fails the task as launch_unknown and is never sent again', async () => {
    const runId = engine.upload([t('absent', { timeout: 1 }), t('ok')]);
    const run = await engine.ended(runId, 40_000);
    expect([run.state, run.error?.code]).toEqual(['failed', 'launch_unknown']);
    expect(engine.cloud.postsOf(runId)).toHaveLength(1);
    // not before the POST could have been answered, and the list shown it
    expect(at(find(run, 'failed')) - at(find(run, 'intent'))).toBeGreaterThanOrEqual(11_000 + engine.options.adoptMarginMs);
  });

  it('is none when not a byte of it was sent: the same attempt is launched when time has healed that', async () => {
    let tries = 0;
    engine.cloud.scripts['unreachable'] = async (dyno) => {
      tries += 1;
      if (tries === 1) return { outcome: 'unknown', cause: 'ECONNREFUSED', unsent: true };
      await dyno.output(5);
      return dyno.accept();
    };
    const run = await engine.ended(engine.upload([t('unreachable')]));
    expect(run.state).toBe('succeeded');
    expect(engine.cloud.postsOf(run.id).map((post) => post.attempt)).toEqual([1, 1]);
    expect([all(run, 'refused').length, all(run, 'lost').length, all(run, 'launched').length]).toEqual([1, 0, 1]);
  });

  it('with retries becomes a new attempt that uses up none of them', async () => {
    await alone(SOON_LOST, async (own) => {
      const runId = own.upload([t('absent_first', { retries: 1 })]);
      const run = await own.ended(runId);
      expect(run.state).toBe('succeeded');
      expect(own.cloud.postsOf(runId).map((post) => post.attempt)).toEqual([1, 2]);
      expect([all(run, 'lost').length, all(run, 'retry').length]).toEqual([1, 0]);
    });
  });

  it('is given up after three new attempts', async () => {
    await alone(SOON_LOST, async (own) => {
      const runId = own.upload([t('absent', { retries: 20 })]);
      const run = await own.ended(runId);
      expect([run.state, run.error?.code]).toEqual(['failed', 'launch_unknown']);
      expect(own.cloud.postsOf(runId).map((post) => post.attempt)).toEqual([1, 2, 3, 4]);
      expect(all(run, 'lost')).toHaveLength(3);
    });
  });

  it('of an attempt that was given up is stopped when it appears after all', async () => {
    await alone(SOON_LOST, async (own) => {
      const runId = own.upload([t('absent_first', { retries: 1, wait_for: 2 })]);
      await seen(own, runId, 'lost');
      const late = appeared(`${runId}.0.0`, 1);
      own.cloud.dynos.set(late.id, late);
      await until('the stop', () => own.cloud.stopped.includes(late.id));
      expect((await own.ended(runId)).state).toBe('succeeded');
      expect(own.cloud.stopped).toEqual([late.id]);
    });
  });

  it('is adopted when the list shows it, once', async () => {
    const runId = engine.upload([t('arrived')]);
    const run = await engine.ended(runId);
    expect(run.state).toBe('succeeded');
    expect(engine.cloud.postsOf(runId)).toHaveLength(1);
    expect(engine.cloud.stopped).not.toContain(dynoOf(engine, `${runId}.0.0`)?.id);
  });

  it('is neither adopted nor sent again while two dynos name it, and adopted when one is left', async () => {
    await alone(SOON_LOST, async (own) => {
      own.cloud.scripts['hidden'] = () => unknown;
      own.cloud.listDown = true;
      const runId = own.upload([t('hidden', { retries: 3 })]);
      await seen(own, runId, 'intent');
      const [ours, copy] = [appeared(`${runId}.0.0`, 1), { ...appeared(`${runId}.0.0`, 1), id: 'copied', name: 'run.1' }];
      own.cloud.dynos.set(ours.id, ours).set(copy.id, copy);
      own.cloud.listDown = false;
      const before = own.cloud.lists;
      await until('many looks', async () => {
        await own.runs.ring(runId, ['0.0']);
        return own.cloud.lists > before + 20;
      });
      const run = await own.show(runId);
      expect(run?.history.map(({ what }) => what)).not.toEqual(expect.arrayContaining([expect.stringMatching(/adopted|lost/)]));
      expect(own.cloud.stopped).toEqual([]);
      own.cloud.dynos.delete(copy.id);
      await seen(own, runId, 'adopted');
      own.cloud.put(`out/${runId}.0.0`, 'x', { ld_task_id: `${runId}.0.0` });
      expect((await own.ended(runId)).state).toBe('succeeded');
      expect(own.cloud.posts).toHaveLength(1);
    });
  });

  it('is neither lost nor poisoned while the list cannot be read, however often its task wakes', async () => {
    await alone(SOON_LOST, async (own) => {
      own.cloud.listDown = true;
      own.cloud.scripts['hidden'] = (dyno) => {
        dyno.accept('up');
        return unknown;
      };
      const runId = own.upload([t('hidden')]);
      await seen(own, runId, 'intent');
      // every ring is an activation that asks for the list in vain
      const before = own.cloud.lists;
      await until('many activations', async () => {
        await own.runs.ring(runId, ['0.0']);
        return own.cloud.lists > before + 60;
      });
      expect((await own.show(runId))?.state).toBe('running');
      own.cloud.listDown = false;
      await seen(own, runId, 'adopted');
      own.cloud.put(`out/${runId}.0.0`, 'x', { ld_task_id: `${runId}.0.0` });
      expect((await own.ended(runId)).state).toBe('succeeded');
      expect(own.cloud.posts).toHaveLength(1);
    });
  });
});
