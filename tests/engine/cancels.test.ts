// A cancel stops what runs, skips the rest and leaves nothing behind, whatever it meets.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shardKeys } from '../../src/queues/keys.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';
import { all, alone, appeared, dynoOf, fixed, group, scripts, seen, stateOf, t } from './outputless-engine.ts';

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

describe.concurrent('a cancel', () => {
  it('before the tree is made ends the run there and then', async () => {
    let armed = true;
    const failpoint = (name: string) => {
      if (name === 'events.accepted' && armed) throw new Error('crashed before the tree');
    };
    await alone({ failpoint, sweepMs: 60_000 }, async (own) => {
      const runId = own.upload([t('ok'), t('ok')]);
      await seen(own, runId, 'accepted', null);
      expect(await own.runs.cancel(runId, 'somebody')).toBe('cancelled');
      // not sooner: its message comes again until then, and each time would make the tree
      armed = false;
      await until('the message to come again', () => own.cloud.undeleted === 0);
      const run = await own.ended(runId);
      expect(run.state).toBe('cancelled');
      expect(run.history.map((entry) => entry.what)).toEqual(['accepted', 'cancelled']);
      expect(own.cloud.posts).toEqual([]);
      expect(await own.leftovers(runId)).toEqual([]);
    });
  });

  it('stops what runs, skips the rest and launches nothing more', async () => {
    const many = Array.from({ length: 30 }, () => t('ok'));
    const runId = engine.upload([group(t('silent'), t('silent')), group(...many), group(t('ok'), t('ok')), t('ok')]);
    await seen(engine, runId, 'launched', '0.0');
    await seen(engine, runId, 'launched', '0.1');
    const dynos = ['0.0', '0.1'].map((task) => dynoOf(engine, `${runId}.${task}`)?.id);
    await engine.runs.cancel(runId, 'somebody');
    const run = await engine.ended(runId);
    expect(run.state).toBe('cancelled');
    expect(run.steps.flatMap((step) => step.tasks.map((task) => task.state))).toEqual(Array.from({ length: 35 }, () => 'skipped'));
    expect(engine.cloud.postsOf(runId)).toHaveLength(2);
    for (const id of dynos) await until(`the stop of ${id}`, () => engine.cloud.stopped.includes(id ?? ''));
    expect(run.history.find((entry) => entry.what === 'cancelling')?.detail).toBe('somebody');
    await until('no job left', async () => (await engine.leftovers(runId)).length === 0);
  });

  it('ends a backoff', async () => {
    const runId = engine.upload([t('exit3', { retries: 3, ...fixed(3600) })]);
    await seen(engine, runId, 'retry');
    await engine.runs.cancel(runId, 'test');
    expect((await engine.ended(runId)).state).toBe('cancelled');
    expect(engine.cloud.postsOf(runId)).toHaveLength(1);
  });

  it('of a failing run stops what it still awaits; the run ends failed', async () => {
    const runId = engine.upload([group(t('exit3'), t('silent', { timeout: 3600 })), t('ok')]);
    await seen(engine, runId, 'failing');
    const dyno = dynoOf(engine, `${runId}.0.1`)?.id ?? '';
    await engine.runs.cancel(runId, 'test');
    const run = await engine.ended(runId);
    expect([run.state, run.error?.code, stateOf(run, 0, 1)]).toEqual(['failed', 'exited_without_output', 'skipped']);
    await until('the stop', () => engine.cloud.stopped.includes(dyno));
  });

  it('that races with the last output is decided once', async () => {
    const ids = Array.from({ length: 30 }, () => engine.upload([t('silent')]));
    for (const runId of ids) await seen(engine, runId, 'launched');
    for (const [i, runId] of ids.entries()) {
      const output = () => engine.cloud.put(`out/${runId}.0.0`, 'x', { ld_task_id: `${runId}.0.0` });
      if (i % 2 === 0) output();
      void engine.runs.cancel(runId, 'test');
      if (i % 2 === 1) output();
    }
    const states = new Set<string>();
    for (const runId of ids) {
      const { state } = await engine.ended(runId);
      states.add(state);
      await until('no job left', async () => (await engine.leftovers(runId)).length === 0);
      const run = await engine.ended(runId);
      expect(run.state).toBe(state);
      expect(stateOf(run)).toBe(state === 'cancelled' ? 'skipped' : 'succeeded');
      expect(run.history.filter((entry) => entry.task === null && ['succeeded', 'cancelled'].includes(entry.what))).toHaveLength(1);
      expect([...all(run, 'succeeded'), ...all(run, 'skipped')]).toHaveLength(1);
    }
    for (const state of states) expect(['succeeded', 'cancelled']).toContain(state);
  });

  it('after the end answers with the end and changes nothing', async () => {
    const runId = engine.upload([t('ok')]);
    const run = await engine.ended(runId);
    expect(await engine.runs.cancel(runId, 'late')).toBe('ended:succeeded');
    expect(await engine.show(runId)).toEqual(run);
    expect(await engine.runs.cancel(`r0-${'0'.repeat(20)}`, 'nobody')).toBe('gone');
  });

  it('of a launch of unknown fate stops the dyno when it appears after all', async () => {
    const runId = engine.upload([t('absent')]);
    await seen(engine, runId, 'intent');
    await until('the adoption', async () => (await engine.redis.hlen(shardKeys(0).watch(engine.resource))) > 0);
    await engine.runs.cancel(runId, 'test');
    expect((await engine.ended(runId)).state).toBe('cancelled');
    const late = appeared(`${runId}.0.0`, 1);
    engine.cloud.dynos.set(late.id, late);
    await until('the stop', () => engine.cloud.stopped.includes(late.id));
  });
});
