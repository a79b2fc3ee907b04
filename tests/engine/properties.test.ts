// Whatever a workflow looks like, its tree runs every task as often as it must and in order.
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listRuns } from '../../src/queues/run-list.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';
import { type AnyWorkflow, anyWorkflow, endOf, expectFate, hangingWorkflow, scripts } from './any-workflow.ts';

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

/** Uploads a document as it is; answers with the id of its run. */
function upload(workflow: AnyWorkflow): string {
  const document = JSON.stringify(workflow);
  const parsed = parseWorkflow(document);
  if (!parsed.ok) throw new Error(`not valid: ${JSON.stringify(parsed.faults)}`);
  const key = `in/${randomUUID()}`;
  return engine.runIdOf(key, engine.cloud.put(key, document, { ld_run: 'true' }));
}

/** All of them at a time: none may be a hindrance to another one. */
async function expectFates(workflows: readonly AnyWorkflow[]): Promise<void> {
  const runIds = workflows.map(upload);
  for (const [n, workflow] of workflows.entries()) {
    const runId = runIds[n] ?? '';
    expectFate(workflow, await engine.ended(runId), engine.cloud.postsOf(runId));
    await until('no job left', async () => (await engine.leftovers(runId)).length === 0);
  }
}

describe.concurrent('any valid small workflow', () => {
  it('runs every task as often as it must and no more, in order, and leaves nothing behind', async () => {
    const several = fc.array(anyWorkflow, { minLength: 3, maxLength: 3 });
    await fc.assert(fc.asyncProperty(several, expectFates), { numRuns: 25, endOnFailure: true });
  });

  it('is ended by its own timeout where nothing else ends it', async () => {
    const many = fc.array(hangingWorkflow, { minLength: 8, maxLength: 8 });
    await fc.assert(fc.asyncProperty(many, expectFates), { numRuns: 2, endOnFailure: true });
  });

  it('ends in one state that all its tasks agree with when it is cancelled anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(anyWorkflow, fc.nat({ max: 40 }), async (workflow, entries) => {
        const runId = upload(workflow);
        await until('the place to cancel', async () => {
          const run = await engine.show(runId);
          return run !== undefined && (run.history.length > entries || run.ended_at !== null);
        });
        await engine.runs.cancel(runId, 'property');
        const run = await engine.ended(runId);
        const states = run.steps.flatMap((step) => step.tasks.map((one) => one.state));
        expect([endOf(workflow) === Infinity ? 'succeeded' : 'failed', 'cancelled']).toContain(run.state);
        if (run.state === 'succeeded') expect(new Set(states)).toEqual(new Set(['succeeded']));
        else if (run.state === 'failed') expect(states).toContain('failed');
        // cancelled before its tree was made, or with something left undone
        else if (run.history.length > 2) expect(states).toContain('skipped');
        const posts = engine.cloud.postsOf(runId).map((post) => `${post.taskId}/${post.attempt}`);
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
