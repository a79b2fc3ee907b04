// The four retry verbs on a failed run with a group.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { shardKeys } from '../../src/queues/keys.ts';
import { createPlanner, type Planner } from '../../src/queues/planner.ts';
import { replay, type Selection } from '../../src/queues/replay.ts';
import { redoRun } from '../../src/queues/store-epoch.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

let redis: TestRedis;
let engine: TestEngine;
let planner: Planner;
let broken = true;

beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, {
    ok: async (dyno) => {
      await dyno.output(5, { ld_state: `made by ${dyno.post.taskId}` });
      return dyno.accept();
    },
    silent: (dyno) => dyno.accept(),
    fragile: async (dyno) => {
      if (broken) dyno.exit(5, 1);
      else await dyno.output(5);
      return dyno.accept();
    },
  });
  planner = createPlanner({ shard: 0, connection: engine.redis, onError: () => {}, failpoint: () => {} });
});
afterAll(async () => {
  await planner.close();
  await engine.stop();
  await redis.stop();
});

const task = (cmd: string) => ({ cmd, timeout: 10, retries: 0 });
const workflow = [task('ok'), { parallel: [task('ok'), task('fragile'), task('ok')] }, task('ok')];

async function failedRun(): Promise<string> {
  broken = true;
  const runId = engine.upload(workflow);
  expect((await engine.ended(runId)).state).toBe('failed');
  broken = false;
  return runId;
}

async function again(runId: string, selection: Selection, edited?: unknown) {
  const order = { runId, selection, nonce: randomUUID(), cap: 1000, ...(edited === undefined ? {} : { workflow: JSON.stringify(edited) }) };
  const next = await replay({ redis: engine.redis, runs: engine.runs }, order);
  await planner.plan({ runId: next });
  const run = await engine.ended(next);
  const launched = engine.cloud.postsOf(next).map((post) => post.taskId.slice(next.length + 1));
  return { run, launched: launched.sort() };
}

it('runs the whole of it again', async () => {
  const runId = await failedRun();
  const { run, launched } = await again(runId, { mode: 'run' });
  expect(run.state).toBe('succeeded');
  expect(launched).toEqual(['0.0', '1.0', '1.1', '1.2', '2.0']);
  expect(run.again).toEqual({ of: runId, how: 'run' });
});

it('runs it again from a step on, with the outputs of the step before', async () => {
  const runId = await failedRun();
  const { run, launched } = await again(runId, { mode: 'from', step: 1 });
  expect(run.state).toBe('succeeded');
  expect(launched).toEqual(['1.0', '1.1', '1.2', '2.0']);
  const lineD: unknown = JSON.parse(engine.cloud.postsOf(run.id)[0]?.order.env['line_D'] ?? '{}');
  expect(lineD).toMatchObject({ outputs: [{ state: `made by ${runId}.0.0` }] });
});

it('runs only what did not succeed again', async () => {
  const { run, launched } = await again(await failedRun(), { mode: 'failed' });
  expect(run.state).toBe('succeeded');
  expect(launched).toEqual(['1.1', '2.0']);
  expect(run.steps[0]?.tasks[0]?.output?.key).toMatch(/^out\//);
});

it('runs only one task again', async () => {
  const { run, launched } = await again(await failedRun(), { mode: 'task', step: 1, index: 1 });
  expect(run.state).toBe('succeeded');
  expect(launched).toEqual(['1.1']);
});

it('takes an edited workflow, and refuses one that does not fit what is kept', async () => {
  const runId = await failedRun();
  broken = true;
  const mended = { run: [workflow[0], { parallel: [task('ok'), task('ok'), task('ok')] }, workflow[2]] };
  expect((await again(runId, { mode: 'failed' }, mended)).run.state).toBe('succeeded');
  const misfit = { run: [workflow[0], { parallel: [task('ok'), task('ok')] }, workflow[2]] };
  await expect(again(runId, { mode: 'failed' }, misfit)).rejects.toThrow(/Step 2 is kept as it was and had 3 tasks, found 2/);
});

it('refuses an edited workflow in which a kept task would take the output of another one', async () => {
  const runId = await failedRun();
  const before = { run: [task('ok first'), ...workflow] };
  await expect(again(runId, { mode: 'failed' }, before)).rejects.toThrow(
    'Step 1, task 1 is kept as it was and ran "ok", found "ok first" in the edited workflow. Retry the whole run, or from that step on.',
  );
  const group = { run: [workflow[0], { parallel: [task('ok'), task('ok'), task('silent')] }, workflow[2]] };
  await expect(again(runId, { mode: 'failed' }, group)).rejects.toThrow('Step 2, task 3 is kept as it was and ran "ok", found "silent"');
  expect((await again(runId, { mode: 'run' }, before)).launched).toEqual(['0.0', '1.0', '2.0', '2.1', '2.2', '3.0']);
  // what did not succeed has no output that another task could take
  const later = { run: [workflow[0], workflow[1], task('ok later')] };
  expect((await again(runId, { mode: 'task', step: 1, index: 1 }, later)).launched).toEqual(['1.1']);
});

it('waits for what is left of a wait_for that a cancel has cut short', async () => {
  const waits = 4;
  const runId = engine.upload([{ ...task('ok'), wait_for: waits }, task('ok')]);
  await until('it cools', async () => (await engine.show(runId))?.steps[0]?.tasks[0]?.state === 'cooling');
  await engine.runs.cancel(runId, 'test');
  const { steps } = await engine.ended(runId);
  expect(steps.map((step) => step.tasks[0]?.state)).toEqual(['succeeded', 'skipped']);
  const { run, launched } = await again(runId, { mode: 'failed' });
  expect([run.state, launched]).toEqual(['succeeded', ['1.0']]);
  const output = Date.parse(steps[0]?.tasks[0]?.output?.at ?? '');
  expect(engine.cloud.postsOf(run.id)[0]?.at).toBeGreaterThanOrEqual(output + waits * 1000);
  // when it has passed it is not waited for again
  const third = await again(run.id, { mode: 'from', step: 1 });
  expect(third.run.history.map(({ what, task: of }) => [what, of])).not.toContainEqual(['succeeded', `${third.run.id}.0.0`]);
  expect(third.run.steps[0]?.tasks[0]?.state).toBe('succeeded');
});

it('counts what still cools as succeeded when the retry is cancelled before it begins', async () => {
  const runId = engine.upload([{ ...task('ok'), wait_for: 60 }, task('ok')]);
  await until('it cools', async () => (await engine.show(runId))?.steps[0]?.tasks[0]?.state === 'cooling');
  await engine.runs.cancel(runId, 'test');
  await engine.ended(runId);
  const order = { runId, selection: { mode: 'failed' } as const, nonce: randomUUID(), cap: 1000 };
  const next = await replay({ redis: engine.redis, runs: engine.runs }, order);
  expect(await engine.runs.cancel(next, 'test')).toBe('cancelled');
  expect((await engine.show(next))?.steps.map((step) => step.tasks[0]?.state)).toEqual(['succeeded', 'waiting']);
});

it('shows what a retry leaves out as it was: succeeded, or skipped and to be retried still', async () => {
  const { run } = await again(await failedRun(), { mode: 'task', step: 1, index: 1 });
  expect(run.steps.map((step) => step.tasks.map((one) => one.state))).toEqual([
    ['succeeded'],
    ['succeeded', 'succeeded', 'succeeded'],
    ['skipped'],
  ]);
  expect((await again(run.id, { mode: 'failed' })).launched).toEqual(['2.0']);
});

it('lets a cancel that comes too late lose, although the retry left something out', async () => {
  const { run } = await again(await failedRun(), { mode: 'task', step: 1, index: 1 });
  // as if the cancel had come after the last task's end and before the run's
  await engine.redis.hdel(shardKeys(0).run(run.id), 'end');
  await engine.redis.hset(shardKeys(0).run(run.id), 'state', 'running', 'cancel', Date.now());
  expect(await engine.runs.finish(run.id)).toBe('succeeded');
});

it('refuses another order with a nonce that has named one', async () => {
  const runId = await failedRun();
  const deps = { redis: engine.redis, runs: engine.runs };
  const order = (selection: Selection, edited?: string) =>
    replay(deps, { runId, selection, nonce: 'once', cap: 1000, ...(edited === undefined ? {} : { workflow: edited }) });
  const first = await order({ mode: 'failed' });
  expect(await order({ mode: 'failed' })).toBe(first);
  await expect(order({ mode: 'run' })).rejects.toThrow(`Run ${first} was started by another order`);
  await expect(order({ mode: 'failed' }, JSON.stringify({ run: workflow }))).rejects.toThrow('another order');
  // at the same time one of the two is told
  const both = await Promise.allSettled([
    replay(deps, { runId, selection: { mode: 'run' }, nonce: 'race', cap: 1000 }),
    replay(deps, { runId, selection: { mode: 'from', step: 1 }, nonce: 'race', cap: 1000 }),
  ]);
  expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
});

it('starts one new run however often the same call is repeated', async () => {
  const runId = await failedRun();
  const order = { runId, selection: { mode: 'run' } as const, nonce: 'the same', cap: 1000 };
  const deps = { redis: engine.redis, runs: engine.runs };
  const ids = await Promise.all([replay(deps, order), replay(deps, order), replay(deps, order)]);
  expect(new Set(ids).size).toBe(1);
});

it('a repeated call makes good the mark that the first one owed, of a loss that was found meanwhile', async () => {
  const runId = await failedRun();
  const order = { runId, selection: { mode: 'run' } as const, nonce: 'owed', repeatable: true, cap: 1000 };
  const found = [undefined, 2];
  const away = new Error('away');
  const deps = { redis: engine.redis, runs: engine.runs, lost: () => Promise.resolve(found.length > 0 ? found.shift() : 2) };
  await expect(replay({ ...deps, redo: () => Promise.reject(away) }, order)).rejects.toThrow(away);
  const next = await replay({ ...deps, redo: (id, epoch) => redoRun(engine.redis, id, epoch) }, order);
  expect(await engine.redis.hget(shardKeys(0).run(next), 'redo')).toBe('2');
});

it('past the cap of a minute is refused, and lists no file as set aside that had its run', async () => {
  const runId = await failedRun();
  const order = { runId, selection: { mode: 'run' } as const, nonce: 'capped', cap: 0 };
  await expect(replay({ redis: engine.redis, runs: engine.runs }, order)).rejects.toThrow('Too many runs');
  expect(await engine.quarantine()).toEqual([]);
  expect(await replay({ redis: engine.redis, runs: engine.runs }, { ...order, cap: 1_000 })).toMatch(/^r0-/);
});

it('refuses a run that has not ended, one that is not there, and a selection of nothing', async () => {
  const deps = { redis: engine.redis, runs: engine.runs };
  const order = (runId: string, selection: Selection) => replay(deps, { runId, selection, nonce: 'n', cap: 1000 });
  await expect(order('r0-00000000000000000000', { mode: 'run' })).rejects.toThrow('Found no run');
  const open = engine.upload([task('silent')]);
  await until('a run under way', async () => (await engine.show(open))?.state === 'running');
  await expect(order(open, { mode: 'run' })).rejects.toThrow('has not ended');
  await engine.runs.cancel(open, 'test');
  const runId = engine.upload([task('ok')]);
  await engine.ended(runId);
  await expect(order(runId, { mode: 'failed' })).rejects.toThrow('Nothing of run');
  await expect(order(runId, { mode: 'from', step: 7 })).rejects.toThrow('Nothing of run');
});
