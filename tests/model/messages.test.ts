// S3 and SQS promise neither order nor once: duplicating, reordering or delaying any set of messages leaves the runs that come
// of them as they would be without.
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RunView } from '../../src/schema/run-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { eventOf, type ScriptedCloud } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

/** How the messages of one object are treated: one delay in milliseconds for each copy. */
type Treatment = readonly number[];
const UNDISTURBED: Treatment = [0];

const RETRY = { retries: 1, backoff: { type: 'fixed', delay: 0.02 } };
const t = (cmd: string, more: object = {}) => ({ cmd, timeout: 60, ...more });
const WORKFLOWS = [
  [t('ok'), { parallel: [t('ok'), t('early'), t('ok')] }, t('early')],
  [{ parallel: [t('early'), t('ok')] }, t('ok')],
  [t('ok')],
  // its first dyno ends without an output
  [t('done'), t('crash_once', RETRY), t('ok')],
  // what was launched beside it is awaited, and nothing after it begins
  [t('ok'), { parallel: [t('crash', RETRY), t('early')] }, t('ok')],
];
/** Cancelled when its second step has been launched: its first one has its output, its second gets none. */
const CANCELLED = [t('ok'), t('silent'), t('ok')];

let redis: TestRedis;
let engine: TestEngine;
/** How the next objects' messages are treated, in turn. */
let treatments: readonly Treatment[] = [];
let turn = 0;

/** An object without its event, and then its messages as they are to come. */
function write(cloud: ScriptedCloud, key: string, body: string, metadata: Record<string, string>): string {
  const version = cloud.putSilently(key, body, metadata);
  const treatment = treatments[turn % Math.max(treatments.length, 1)] ?? UNDISTURBED;
  turn += 1;
  for (const delay of treatment) cloud.sendEvents([eventOf(cloud.bucket, key, version)], delay);
  return version;
}

beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(
    redis,
    {
      ok: (dyno) => {
        const answer = dyno.accept('up');
        write(engine.cloud, `out/${dyno.post.taskId}`, 'proof', { ld_task_id: dyno.post.taskId });
        return answer;
      },
      early: async (dyno) => {
        write(engine.cloud, `out/${dyno.post.taskId}`, 'proof', { ld_task_id: dyno.post.taskId });
        await dyno.answeredIn(5);
        return dyno.accept('up');
      },
      crash: (dyno) => {
        dyno.exit(5, 1);
        return dyno.accept();
      },
      crash_once: (dyno) => {
        const answer = dyno.accept('up');
        if (dyno.post.attempt === 1) dyno.exit(5, 1);
        else write(engine.cloud, `out/${dyno.post.taskId}`, 'proof', { ld_task_id: dyno.post.taskId });
        return answer;
      },
      done: (dyno) => {
        const answer = dyno.accept('up');
        // no usual name: that the output is there, its message alone tells
        write(engine.cloud, `odd/${dyno.post.taskId}`, 'proof', { ld_task_id: dyno.post.taskId });
        dyno.exit(5, 0);
        return answer;
      },
      silent: (dyno) => dyno.accept('up'),
    },
    // shorter than a message may be late: only the queue that is not drained tells that one is on its way
    { graceMs: 50 },
  );
});
afterAll(async () => {
  await engine.stop();
  await redis.stop();
});

/** Uploads all workflows at once and answers with what became of them, without ids and times. */
async function outcome(how: readonly Treatment[]) {
  treatments = how;
  turn = 0;
  const runIds = [...WORKFLOWS, CANCELLED].map((run, n) => {
    const key = `in/${n}-${Math.random()}`;
    return engine.runIdOf(key, write(engine.cloud, key, JSON.stringify({ run }), { ld_run: 'true' }));
  });
  const cancelled = runIds.at(-1) ?? '';
  await until('the second step', () => engine.cloud.postsOf(cancelled).length === 2);
  await engine.runs.cancel(cancelled, 'property');
  const runs: RunView[] = [];
  for (const runId of runIds) runs.push(await engine.ended(runId));
  await until('no message left', () => engine.cloud.undeleted === 0);
  return runs.map((run) => ({
    state: run.state,
    tasks: run.steps.map((step) => step.tasks.map(({ state, attempt, output }) => ({ state, attempt, hasOutput: output !== null }))),
    launches: engine.cloud
      .postsOf(run.id)
      .map(({ taskId, attempt }) => `${taskId.slice(run.id.length)}/${attempt}`)
      .sort(),
  }));
}

it('leaves the runs as they would be without', async () => {
  const undisturbed = await outcome([UNDISTURBED]);
  expect(undisturbed.map(({ state }) => state)).toEqual(['succeeded', 'succeeded', 'succeeded', 'succeeded', 'failed', 'cancelled']);
  expect(undisturbed.map(({ launches }) => launches.length)).toEqual([5, 3, 1, 4, 4, 2]);
  const delay = fc.oneof({ weight: 10, arbitrary: fc.nat({ max: 60 }) }, { weight: 1, arbitrary: fc.integer({ min: 120, max: 250 }) });
  const treatment = fc.array(delay, { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(fc.array(treatment, { minLength: 5, maxLength: 12 }), async (how) => {
      expect(await outcome(how)).toEqual(undisturbed);
    }),
    { numRuns: 16, endOnFailure: true },
  );
});
