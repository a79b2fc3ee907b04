// What an output leads to: whatever comes twice, late or from the wrong bucket, it is decided once.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readMarker } from '../../src/schema/command.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';
import { alone, done, gates, launchedTask, scripts, t, whats, workflow } from './events-engine.ts';

let redis: TestRedis;
let engine: TestEngine;
beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, scripts);
});
beforeEach(() => {
  engine.cloud.copies = 1;
  engine.cloud.delay = 0;
});
afterAll(async () => {
  await engine.stop();
  await redis.stop();
});

describe('an output', () => {
  it('that comes before the next launch is sent keeps it from being sent', async () => {
    await alone({}, async ({ engine: own }) => {
      let heard = false;
      const { platform } = own.options;
      await own.replaceEngine({
        platform: {
          ...platform,
          launch: async (app, order, how) => {
            const { taskId, attempt } = readMarker(order.command) ?? { taskId: '', attempt: 0 };
            if (attempt === 1) return await platform.launch(app, order, how);
            await own.runs.deliver(taskId, own.resource, { key: 'out/x', version_id: 'o', etag: 'e', size: 1 });
            // well before the launch would be too late
            heard = await until('word of it', () => how.mayStill?.() === false, 600).catch(() => false);
            return { outcome: 'unknown', unsent: true, cause: 'it came too late' };
          },
        },
      });
      const runId = own.upload([t('silent', { timeout: 1, retries: 1, backoff: { type: 'fixed', delay: 0.05 } })]);
      expect((await own.ended(runId)).state).toBe('succeeded');
      expect(heard).toBe(true);
    });
  });

  it('counts when it comes before the launch call has returned', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    gates.set('gated', promise);
    const runId = engine.upload([t('gated')]);
    const before = await until('the output', async () => {
      const run = await engine.show(runId);
      return run?.history.some((entry) => entry.what === 'output') ? run : undefined;
    });
    expect(whats(before)).not.toContain('launched');
    resolve();
    const run = await engine.ended(runId);
    expect(run.state).toBe('succeeded');
    expect(engine.cloud.postsOf(runId)).toHaveLength(1);
    await until('the dyno in the record', async () => (await engine.show(runId))?.steps[0]?.tasks[0]?.dyno ?? undefined);
    expect(engine.cloud.stopped).toEqual([]);
  });

  it('that comes after the end changes nothing but is listed', async () => {
    const runId = engine.upload([t('ok')]);
    const ended = await engine.ended(runId);
    const versionId = engine.cloud.put('late.txt', 'late', { ld_task_id: `${runId}.0.0`, ld_state: 'too late' });
    await done(engine);
    const run = await engine.show(runId);
    expect(run?.history.slice(0, ended.history.length)).toEqual(ended.history);
    expect(run?.history.slice(ended.history.length).map(({ what, task }) => ({ what, task }))).toEqual([
      { what: 'late_output', task: `${runId}.0.0` },
    ]);
    expect(run?.history.at(-1)?.detail).toContain(versionId);
    expect({ ...run, history: [] }).toEqual({ ...ended, history: [] });
  });

  it('of a running task that comes second is listed, and the first one stays its output', async () => {
    const runId = engine.upload([t('silent', { wait_for: 1 })]);
    await launchedTask(engine, `${runId}.0.0`);
    const first = engine.cloud.put('first', 'x', { ld_task_id: `${runId}.0.0` });
    await done(engine);
    engine.cloud.put('second', 'x', { ld_task_id: `${runId}.0.0` });
    await engine.ended(runId);
    // it may be recorded after the end
    await done(engine);
    const run = await engine.show(runId);
    expect(run?.state).toBe('succeeded');
    expect(run?.steps[0]?.tasks[0]?.output).toMatchObject({ key: 'first', version_id: first });
    expect(run?.history.filter(({ what }) => what === 'late_output')).toHaveLength(1);
  });

  it('is not listed without end: an endless writer fills no history', async () => {
    const runId = engine.upload([t('ok')]);
    await engine.ended(runId);
    for (let n = 0; n < 50; n += 1) engine.cloud.put('again', 'x', { ld_task_id: `${runId}.0.0` });
    await done(engine);
    const run = await engine.show(runId);
    expect(run?.history.filter((entry) => entry.what === 'late_output')).toHaveLength(20);
  });

  it('for a task that was never launched is refused and shown', async () => {
    const runId = engine.upload([t('silent'), t('silent')]);
    await launchedTask(engine, `${runId}.0.0`);
    engine.cloud.put('early', 'x', { ld_task_id: `${runId}.1.0` });
    await done(engine);
    const early = await engine.show(runId);
    expect(early?.history.at(-1)).toMatchObject({ what: 'refused_output', task: `${runId}.1.0` });
    expect(await engine.quarantine()).toContainEqual(
      expect.objectContaining({ reason: expect.stringContaining('never launched'), key: 'early' }),
    );
    // it is no proof later either: the task has its own launch and waits for an output of its own
    engine.cloud.put('first', 'x', { ld_task_id: `${runId}.0.0` });
    await launchedTask(engine, `${runId}.1.0`);
    const second = engine.cloud.put('own', 'x', { ld_task_id: `${runId}.1.0` });
    const run = await engine.ended(runId);
    expect(run.steps[1]?.tasks[0]?.output?.version_id).toBe(second);
  });

  it('for a task that was skipped without a launch is refused and shown, too', async () => {
    const runId = engine.upload([t('silent'), t('silent')]);
    await launchedTask(engine, `${runId}.0.0`);
    await engine.runs.cancel(runId, 'test');
    await engine.ended(runId);
    engine.cloud.put('skipped', 'x', { ld_task_id: `${runId}.1.0` });
    await done(engine);
    expect((await engine.show(runId))?.history.at(-1)).toMatchObject({ what: 'refused_output', task: `${runId}.1.0` });
  });

  it("in another resource's bucket is foreign: set aside there, without a trace in the run it names", async () => {
    const other = await engine.otherResource();
    const runId = engine.upload([t('silent')]);
    await launchedTask(engine, `${runId}.0.0`);
    const before = await engine.show(runId);
    const mine = await engine.quarantine();
    engine.cloud.put('theft', 'x', { ld_task_id: `${runId}.0.0` }, other.bucket);
    await done(engine);
    expect(await engine.show(runId)).toEqual(before);
    expect(await engine.quarantine()).toEqual(mine);
    expect(await engine.quarantine(other.id)).toEqual([expect.objectContaining({ key: 'theft', bucket: other.bucket })]);
    engine.cloud.put('own', 'x', { ld_task_id: `${runId}.0.0` });
    expect((await engine.ended(runId)).state).toBe('succeeded');
  });

  it('that names no task at all is set aside with what is wrong', async () => {
    engine.cloud.put('nonsense', 'x', { ld_task_id: 'my task' });
    engine.cloud.put('unknown', 'x', { ld_task_id: `r0-${'0'.repeat(20)}.0.0` });
    await done(engine);
    const set = await engine.quarantine();
    expect(set).toContainEqual(expect.objectContaining({ key: 'nonsense', reason: expect.stringContaining('"my task"') }));
    expect(set).toContainEqual(expect.objectContaining({ key: 'unknown', reason: expect.stringContaining('no task of this bucket') }));
  });

  it('that also starts a run is delivered first and then accepted, one generation deeper', async () => {
    const runId = engine.upload([t('silent')]);
    await launchedTask(engine, `${runId}.0.0`);
    const versionId = engine.cloud.put('both.json', workflow(t('ok')), { ld_task_id: `${runId}.0.0`, ld_run: 'true' });
    const nextId = engine.runIdOf('both.json', versionId);
    const [first, next] = [await engine.ended(runId), await engine.ended(nextId)];
    expect([first.state, next.state]).toEqual(['succeeded', 'succeeded']);
    expect(first.steps[0]?.tasks[0]?.output?.version_id).toBe(versionId);
    const output = first.history.find((entry) => entry.what === 'output');
    expect(Date.parse(output?.at ?? '')).toBeLessThanOrEqual(Date.parse(next.created_at));
    expect(await engine.runs.depth(runId)).toBe(0);
    expect(await engine.runs.depth(nextId)).toBe(1);
  });
});
