// Whatever a workflow looks like, its tree runs every task exactly once and in order.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listRuns } from '../../src/queues/run-list.ts';
import { taskId } from '../../src/schema/ids.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

/** Each makes a task succeed in its first attempt, by another way. */
const scripts: Record<string, Script> = {
  ok: async (dyno) => {
    await dyno.output(10);
    return dyno.accept();
  },
  instant: async (dyno) => {
    await dyno.output(0);
    return dyno.accept();
  },
  before_the_answer: async (dyno) => {
    await dyno.output(0);
    // no wait of the test: Heroku takes this long to answer the launch, while the dyno's output is on its way
    await new Promise((resolve) => setTimeout(resolve, 10));
    return dyno.accept('up');
  },
  exit_first: async (dyno) => {
    await dyno.output(0, {}, { eventDelay: 60 });
    dyno.exit(0, 1);
    return dyno.accept();
  },
  up: (dyno) => dyno.accept('up'),
  up_soon: (dyno) => {
    dyno.up(10);
    return dyno.accept();
  },
  gone: (dyno) => {
    const answer = dyno.accept();
    dyno.exit(5, 0);
    return answer;
  },
};

const withOutput = fc.constantFrom('ok', 'instant', 'before_the_answer', 'exit_first').map((cmd) => ({ cmd, timeout: 60 }));
const withoutOutput = fc.constantFrom('up', 'up_soon', 'gone').map((cmd) => ({ cmd, timeout: 60, no_output: true }));
const task = fc.oneof({ weight: 3, arbitrary: withOutput }, { weight: 1, arbitrary: withoutOutput });
const group = fc.array(task, { minLength: 1, maxLength: 6 }).map((parallel) => ({ parallel }));
const workflow = fc.array(fc.oneof(task, group), { minLength: 1, maxLength: 6 });

let redis: TestRedis;
let engine: TestEngine;
beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, scripts, { graceMs: 50 });
});
afterAll(async () => {
  await engine.stop();
  await redis.stop();
});

/** Places in the history where something happened to the tasks of a step. */
const placesOf = (run: RunView, step: number, what: string) =>
  run.history.filter((entry) => entry.what === what && entry.task?.startsWith(`${run.id}.${step}.`)).map((entry) => entry.n);

describe('any valid small workflow', () => {
  it('runs every task exactly once, in order, and leaves nothing behind', async () => {
    await fc.assert(
      fc.asyncProperty(workflow, async (steps) => {
        const parsed = parseWorkflow(JSON.stringify({ run: steps }));
        if (!parsed.ok) throw new Error(`not valid: ${JSON.stringify(parsed.faults)}`);
        const runId = engine.upload(steps);
        const run = await engine.ended(runId);
        expect(run.state).toBe('succeeded');
        const expected = parsed.plan.steps.flatMap((step, k) => step.tasks.map((_, i) => `${taskId(runId, k, i)}/1`));
        expect(
          engine.cloud
            .postsOf(runId)
            .map((post) => `${post.taskId}/${post.attempt}`)
            .sort(),
        ).toEqual(expected.sort());
        for (const [k, step] of parsed.plan.steps.entries()) {
          expect(placesOf(run, k, 'intent')).toHaveLength(step.tasks.length);
          expect(placesOf(run, k, 'succeeded')).toHaveLength(step.tasks.length);
          if (k > 0) expect(Math.min(...placesOf(run, k, 'intent'))).toBeGreaterThan(Math.max(...placesOf(run, k - 1, 'succeeded')));
        }
        // the record's own order agrees with the order in which the platform was asked
        const posted = engine.cloud.postsOf(runId).map((post) => Number(post.taskId.split('.')[1]));
        expect(posted).toEqual([...posted].sort((a, b) => a - b));
        await until('no job left', async () => (await engine.leftovers(runId)).length === 0);
      }),
      { numRuns: 30, endOnFailure: true },
    );
  });

  it('ends in one state that all its tasks agree with when it is cancelled anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(workflow, fc.nat({ max: 40 }), async (steps, entries) => {
        const runId = engine.upload(steps);
        await until('the place to cancel', async () => {
          const run = await engine.show(runId);
          return run !== undefined && (run.history.length > entries || run.ended_at !== null);
        });
        await engine.runs.cancel(runId, 'property');
        const run = await engine.ended(runId);
        const states = run.steps.flatMap((step) => step.tasks.map((one) => one.state));
        expect(['succeeded', 'cancelled']).toContain(run.state);
        if (run.state === 'succeeded') expect(new Set(states)).toEqual(new Set(['succeeded']));
        // cancelled before its tree was made, or with something left undone
        else if (run.history.length > 2) expect(states).toContain('skipped');
        const posts = engine.cloud.postsOf(runId).map((post) => post.taskId);
        expect(new Set(posts).size).toBe(posts.length);
        await until('no job left', async () => (await engine.leftovers(runId)).length === 0);
        expect(await engine.show(runId)).toMatchObject({ state: run.state, ended_at: run.ended_at });
      }),
      { numRuns: 30, endOnFailure: true },
    );
  });
});

describe('runs that are spread over shards', () => {
  it('are worked on by two engines as if by one', async () => {
    const server = await startRedis();
    const spread = await startTestEngine(server, scripts, { shards: 3, graceMs: 50 });
    try {
      await spread.anotherEngine();
      const shape = [{ cmd: 'ok' }, { parallel: [{ cmd: 'ok' }, { cmd: 'instant' }, { cmd: 'exit_first' }] }, { cmd: 'ok' }];
      const runIds = Array.from({ length: 40 }, () => spread.upload(shape));
      expect(new Set(runIds.map((runId) => runId.split('-')[0]))).toEqual(new Set(['r0', 'r1', 'r2']));
      for (const runId of runIds) {
        expect((await spread.ended(runId)).state).toBe('succeeded');
        const posts = spread.cloud.postsOf(runId).map((post) => `${post.taskId}/${post.attempt}`);
        expect(new Set(posts).size).toBe(posts.length);
        expect(posts).toHaveLength(5);
        await until('no job left', async () => (await spread.leftovers(runId)).length === 0);
      }
      const { runs: page } = await listRuns(spread.redis, 3, { resource: spread.resource, limit: 100 });
      expect(new Set(page.map((run) => run.id))).toEqual(new Set(runIds));
    } finally {
      await spread.stop();
      await server.stop();
    }
  });
});
