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

const t = (cmd: string) => ({ cmd, timeout: 60 });
const WORKFLOWS = [
  [t('ok'), { parallel: [t('ok'), t('early'), t('ok')] }, t('early')],
  [{ parallel: [t('early'), t('ok')] }, t('ok')],
  [t('ok')],
];

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
        // no wait of the test: Heroku takes this long to answer the launch, while the dyno's output is on its way
        await new Promise((resolve) => setTimeout(resolve, 5));
        return dyno.accept('up');
      },
    },
    { graceMs: 5_000 },
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
  const runIds = WORKFLOWS.map((run, n) => {
    const key = `in/${n}-${Math.random()}`;
    return engine.runIdOf(key, write(engine.cloud, key, JSON.stringify({ run }), { ld_run: 'true' }));
  });
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
  expect(undisturbed.map(({ state }) => state)).toEqual(['succeeded', 'succeeded', 'succeeded']);
  const treatment = fc.array(fc.nat({ max: 60 }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(fc.array(treatment, { minLength: 5, maxLength: 12 }), async (how) => {
      expect(await outcome(how)).toEqual(undisturbed);
    }),
    { numRuns: 25, endOnFailure: true },
  );
});
