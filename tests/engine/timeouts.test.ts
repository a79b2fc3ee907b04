// How a task's waiting ends when no output comes: deadline, exit and grace, retries, launches of unknown fate, cancelling.
// Times are read from the run's own history, which is behaviour: never early, and decided within six seconds.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QUEUES, resourceKey, shardKeys } from '../../src/queues/keys.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';
import { all, alone, at, dynoOf, find, fixed, gates, group, scripts, seen, stateOf, t, VERDICT_MS } from './outputless-engine.ts';

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

describe.concurrent('a task without its output', () => {
  it('times out at its deadline, not before, and within six seconds', async () => {
    const runs = await Promise.all([1, 2].map((timeout) => engine.ended(engine.upload([t('silent', { timeout })]))));
    for (const [i, run] of runs.entries()) {
      const waited = at(find(run, 'failed')) - at(find(run, 'launched'));
      expect(run.error).toMatchObject({ code: 'timed_out' });
      expect(waited).toBeGreaterThanOrEqual((i + 1) * 1000);
      expect(waited).toBeLessThanOrEqual((i + 1) * 1000 + VERDICT_MS);
      expect(engine.cloud.postsOf(run.id)).toHaveLength(1);
    }
  });

  it('fails with its exit status after the grace when it ends early', async () => {
    const run = await engine.ended(engine.upload([t('exit3')]));
    expect(run.error).toEqual({ code: 'exited_without_output', message: 'exited 3 without output' });
    expect(at(find(run, 'failed')) - at(find(run, 'exited'))).toBeGreaterThanOrEqual(engine.options.graceMs);
    expect(at(find(run, 'failed')) - at(find(run, 'launched'))).toBeLessThan(30_000);
  });

  it('succeeds when the output comes within the grace after its exit, and not when it never does', async () => {
    await alone({ graceUntilDrained: false, graceMs: 2000 }, async (own) => {
      const [late, never] = [own.upload([t('late_event')]), own.upload([t('exit3')])];
      const run = await own.ended(late);
      expect(run.state).toBe('succeeded');
      expect(at(find(run, 'output'))).toBeGreaterThan(at(find(run, 'exited')));
      const failed = await own.ended(never);
      expect(at(find(failed, 'failed')) - at(find(failed, 'exited'))).toBeGreaterThanOrEqual(2000);
    });
  });

  it('never waits past the deadline for a grace', async () => {
    await alone({ graceUntilDrained: false, graceMs: 60_000 }, async (own) => {
      const run = await own.ended(own.upload([t('exit3', { timeout: 1 })]));
      expect(at(find(run, 'failed')) - at(find(run, 'launched'))).toBeLessThanOrEqual(1000 + VERDICT_MS);
    });
  });

  it('succeeds by the object itself when its event was lost: at the end of the grace, and at the deadline', async () => {
    const [ended, silent] = [engine.upload([t('exit_without_event')]), engine.upload([t('lost_event', { timeout: 1 })])];
    for (const runId of [ended, silent]) {
      const run = await engine.ended(runId);
      expect(run.state, JSON.stringify(run.history)).toBe('succeeded');
      expect(run.steps[0]?.tasks[0]?.output).toMatchObject({ key: `out/${runId}.0.0` });
    }
    expect((await engine.ended(ended)).steps[0]?.tasks[0]?.output?.state).toBe('there');
  });

  it("does not take another task's object for its own", async () => {
    const runId = engine.upload([t('silent', { timeout: 1 })]);
    engine.cloud.putSilently(`out/${runId}.0.0`, 'x', { ld_task_id: `${runId}.0.1` });
    expect((await engine.ended(runId)).error?.code).toBe('timed_out');
  });

  it('is not given up before its deadline because S3 does not answer the last look', async () => {
    await alone({}, async (own) => {
      own.cloud.headsDown = true;
      const runId = own.upload([t('exit_without_event')]);
      own.cloud.headsDown = false;
      await seen(own, runId, 'exited');
      own.cloud.headsDown = true;
      const before = own.cloud.heads;
      await until('looks that S3 did not answer', () => own.cloud.heads >= before + 3);
      expect((await own.show(runId))?.state).toBe('running');
      own.cloud.headsDown = false;
      expect((await own.ended(runId)).state).toBe('succeeded');
    });
  });
});

describe.concurrent('retries', () => {
  it('are bounded and come no sooner than their backoff', async () => {
    const [a, b] = await Promise.all([
      engine.ended(engine.upload([t('exit3', { retries: 3, ...fixed(0.2) })])),
      engine.ended(engine.upload([t('exit3', { retries: 3, backoff: { type: 'exponential', delay: 0.1, max: 0.3 } })])),
    ]);
    for (const [run, delays] of [
      [a, [200, 200, 200]],
      [b, [100, 200, 300]],
    ] as const) {
      expect(engine.cloud.postsOf(run.id).map((post) => post.attempt)).toEqual([1, 2, 3, 4]);
      const retries = all(run, 'retry');
      const intents = all(run, 'intent');
      expect(retries).toHaveLength(3);
      for (const [i, delay] of delays.entries()) expect(at(intents[i + 1]) - at(retries[i])).toBeGreaterThanOrEqual(delay);
      expect(run.error?.code).toBe('exited_without_output');
    }
  });

  it('do not begin in a run that is failing, and what was launched is awaited', async () => {
    const run = await engine.ended(
      engine.upload([
        group(t('exit3'), t('fails_first', { retries: 3, timeout: 30, ...fixed(0.05) }), t('lost_event', { timeout: 2 })),
        t('ok'),
      ]),
    );
    expect(run.state).toBe('failed');
    expect([stateOf(run, 0, 0), stateOf(run, 0, 2), stateOf(run, 1, 0)]).toEqual(['failed', 'succeeded', 'skipped']);
    const failing = run.history.findIndex((entry) => entry.what === 'failing');
    expect(run.history.slice(failing).map((entry) => entry.what)).not.toContain('intent');
    expect(run.history.slice(failing).map((entry) => entry.what)).not.toContain('retry');
  });
});

describe.concurrent('wait_for', () => {
  it('passes between the output and the next step', async () => {
    const run = await engine.ended(engine.upload([group(t('ok', { wait_for: 1 }), t('ok', { wait_for: 2 })), t('ok')]));
    expect(run.state).toBe('succeeded');
    expect(at(find(run, 'succeeded', '0.0')) - at(find(run, 'output', '0.0'))).toBeGreaterThanOrEqual(1000);
    expect(at(find(run, 'succeeded', '0.1')) - at(find(run, 'output', '0.1'))).toBeGreaterThanOrEqual(2000);
    expect(at(find(run, 'intent', '1.0'))).toBeGreaterThanOrEqual(at(find(run, 'succeeded', '0.1')));
    expect(all(run, 'cooling', '0.0')).toHaveLength(1);
  });

  it('is measured from the output: what has passed when the launch is answered has passed', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const runId = engine.upload([t('gated', { wait_for: 1 })]);
    gates.set(`${runId}.0.0`, promise);
    const output = at(find(await seen(engine, runId, 'output'), 'output'));
    await until('a second after the output', () => Date.now() > output + 1100);
    resolve();
    const run = await engine.ended(runId);
    expect(run.state).toBe('succeeded');
    expect(all(run, 'cooling')).toEqual([]);
  });

  it('of no_output counts from up', async () => {
    const run = await engine.ended(engine.upload([t('up', { no_output: true, wait_for: 1 }), t('ok')]));
    expect(at(find(run, 'intent', '1.0')) - at(find(run, 'up'))).toBeGreaterThanOrEqual(1000);
  });

  it('is ended by a cancel; the task had succeeded and its dyno lives on', async () => {
    const runId = engine.upload([t('ok', { wait_for: 3600 }), t('ok')]);
    await seen(engine, runId, 'cooling');
    expect(await engine.runs.cancel(runId, 'test')).toBe('cancelling');
    const run = await engine.ended(runId);
    expect([run.state, stateOf(run, 0), stateOf(run, 1)]).toEqual(['cancelled', 'succeeded', 'skipped']);
    expect(engine.cloud.postsOf(runId)).toHaveLength(1);
    expect(engine.cloud.stopped).not.toContain(dynoOf(engine, `${runId}.0.0`)?.id);
    expect(dynoOf(engine, `${runId}.0.0`)).toBeDefined();
  });
});

describe.concurrent('a task that nothing can be done with', () => {
  it('is poisoned after five activations that got nowhere, and only its run fails', async () => {
    await alone({}, async (own) => {
      const other = await own.otherResource();
      const runId = own.upload([t('silent', { retries: 5 }), t('ok')], 'in/x', other.bucket);
      await seen(own, runId, 'launched');
      // what every activation of the next step needs is damaged
      await own.redis.hdel(resourceKey(other.id), 'app');
      own.cloud.put('out', 'x', { ld_task_id: `${runId}.0.0` }, other.bucket);
      const healthy = own.upload([t('ok'), t('exit3')]);
      const run = await own.ended(runId, 40_000);
      expect(run.state).toBe('failed');
      expect(run.error).toMatchObject({ code: 'poisoned', message: expect.stringContaining('5 activations') });
      expect(own.cloud.postsOf(runId)).toHaveLength(1);
      expect((await own.ended(healthy)).error?.code).toBe('exited_without_output');
    });
  });

  it('because its job was damaged is done as its record says', async () => {
    const runId = engine.upload([t('silent'), t('ok')]);
    await seen(engine, runId, 'launched');
    const job = shardKeys(0).job(QUEUES.task, `${runId}.0.0`);
    await engine.redis.hset(job, 'data', '{"edited":"by hand"}');
    await engine.redis.hset(shardKeys(0).job(QUEUES.task, `${runId}.1.0`), 'data', 'null');
    engine.cloud.put('out', 'x', { ld_task_id: `${runId}.0.0` });
    expect((await engine.ended(runId)).state).toBe('succeeded');
  });
});
