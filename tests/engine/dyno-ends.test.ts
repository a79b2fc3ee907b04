// What a task is said to have come to when its dyno was up, or ended.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shardKeys } from '../../src/queues/keys.ts';
import { parseTaskId } from '../../src/schema/ids.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';
import { alone, dynoIdOf, dynoOf, fixed, scripts, seen, t } from './outputless-engine.ts';

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

describe.concurrent('dynos', () => {
  it('that live on after their output, or without one, are left alone', async () => {
    const runId = engine.upload([t('ok'), t('up', { no_output: true }), t('up_soon', { no_output: true })]);
    expect((await engine.ended(runId)).state).toBe('succeeded');
    const ids = ['0.0', '1.0', '2.0'].map((task) => dynoOf(engine, `${runId}.${task}`)?.id);
    for (const id of ids) {
      expect(id).toBeDefined();
      expect(engine.cloud.stopped).not.toContain(id);
    }
  });

  it('whose task timed out are stopped, those that ended by themselves are not', async () => {
    // on the engine that all share, dynos of the tests beside this one are stopped meanwhile
    await alone({}, async (own) => {
      const [slow, quick] = [own.upload([t('silent', { timeout: 1, retries: 1, ...fixed(0.05) })]), own.upload([t('exit3')])];
      await seen(own, slow, 'launched');
      const first = dynoIdOf(own, `${slow}.0.0`);
      const run = await own.ended(slow);
      expect(run.error?.code).toBe('timed_out');
      await until('the stop of the first', () => own.cloud.stopped.includes(first));
      await until('the stop of both', () => dynoOf(own, `${slow}.0.0`, 2) === undefined);
      const before = own.cloud.stopped.length;
      await own.ended(quick);
      expect(own.cloud.stopped.slice(before)).toEqual([]);
    });
  });

  it('that never come up fail a task without output at its deadline', async () => {
    const run = await engine.ended(engine.upload([t('never_up', { no_output: true, timeout: 1 })]));
    expect([run.error?.code, run.error?.message]).toEqual(['timed_out', 'not up within 1 s']);
  });

  it('whose end cannot be read yet are no success: they are asked again, and the log decides', async () => {
    await alone({}, async (own) => {
      own.cloud.endsDown = true;
      const id = own.upload([t('crash_early', { no_output: true })]);
      await until('a second look', () => own.cloud.refusedEnds >= 2);
      own.cloud.endsDown = false;
      const run = await own.ended(id);
      expect([run.error?.code, run.error?.message]).toEqual(['dyno_crashed', 'exited 1 before it was up']);
    });
  });

  it('whose crash Heroku told of are no success where their log may not be read', async () => {
    await alone({}, async (own) => {
      own.cloud.endsRefused = true;
      const id = own.upload([t('never_up', { no_output: true })]);
      await seen(own, id, 'launched');
      const task = `${id}.0.0`;
      const parts = parseTaskId(task);
      if (parts === undefined) throw new Error('no task');
      const ref = { id: task, ...parts };
      const dynoId = dynoIdOf(own, task);
      await own.runs.observe({ ref, resource: own.resource, attempt: 1, kind: 'crashed', dynoId, noOutput: true });
      const run = await own.ended(id);
      expect([run.error?.code, run.error?.message]).toEqual(['dyno_crashed', 'crashed before it was up']);
    });
  });

  it('whose end cannot be read at all fail a task without output at its deadline, and say so', async () => {
    await alone({}, async (own) => {
      own.cloud.endsDown = true;
      const run = await own.ended(own.upload([t('crash_early', { no_output: true, timeout: 2 })]));
      expect([run.error?.code, run.error?.message]).toEqual([
        'timed_out',
        'gone, and its log could not be read within 2 s to see whether it was up',
      ]);
    });
  });

  it('that are up are looked at once more before a task without output times out', async () => {
    // nobody polls: the last look alone sees it
    await alone({ pollMs: 3_600_000 }, async (own) => {
      const run = await own.ended(own.upload([t('up_soon', { no_output: true, timeout: 1 })]));
      expect(run.state, JSON.stringify(run.history)).toBe('succeeded');
    });
  });

  it("of an app that cannot be reached keep nobody else's from being watched and stopped", async () => {
    await alone({}, async (own) => {
      const others = await Promise.all([own.otherResource(), own.otherResource(), own.otherResource()]);
      for (const other of others) {
        own.cloud.brokenApps.add(other.app);
        own.upload([t('silent')], 'in/waits', other.bucket);
        own.upload([t('silent', { timeout: 1 })], 'in/times-out', other.bucket);
      }
      await until('their timeouts', async () => (await own.redis.zcard(shardKeys(0).stops)) === others.length);
      const [slow, quick] = [own.upload([t('silent', { timeout: 1 })]), own.upload([t('exit3')])];
      await seen(own, slow, 'launched');
      const dyno = dynoIdOf(own, `${slow}.0.0`);
      expect((await own.ended(quick)).error?.message).toBe('exited 3 without output');
      await until('the stop', () => own.cloud.stopped.includes(dyno));
      // and theirs are stopped as soon as it can be done
      own.cloud.brokenApps.clear();
      await until('their stops', async () => (await own.redis.zcard(shardKeys(0).stops)) === 0);
    });
  });
});
