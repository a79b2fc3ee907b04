// Every shape and every branch of a task's life, one run each, against a real Redis: the cases of the prototype
// (shared/reference/bullmq-branches.md) and those that the design adds.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refOf } from '../../src/queues/run-record.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import type { Post, Script } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const heals = new Map<string, number>();
/** Writes the output of a task's first attempt. */
const firstOutputs = new Map<string, () => Promise<void>>();

/** What the dyno of each command does. */
const scripts: Record<string, Script> = {
  ok: async (dyno) => {
    await dyno.output(5 + Math.random() * 30);
    return dyno.accept();
  },
  instant: async (dyno) => {
    await dyno.output(0);
    await dyno.answeredIn(15);
    return dyno.accept();
  },
  silent: (dyno) => dyno.accept(),
  flaky: async (dyno) => {
    if (dyno.post.attempt > 1) await dyno.output(10);
    return dyno.accept();
  },
  late: async (dyno) => {
    // written by the first dyno once the second is launched, however late that is
    if (dyno.post.attempt === 1) firstOutputs.set(dyno.post.taskId, () => dyno.output(10));
    else await firstOutputs.get(dyno.post.taskId)?.();
    return dyno.accept();
  },
  crash: (dyno) => {
    dyno.exit(20, 3);
    return dyno.accept();
  },
  crash_once: async (dyno) => {
    if (dyno.post.attempt === 1) dyno.exit(20, 1);
    else await dyno.output(10);
    return dyno.accept();
  },
  exit_then_output: async (dyno) => {
    // the event comes long after the exit and the grace; only the queue that is not drained tells that it will
    await dyno.output(0, {}, { key: `odd/${dyno.post.taskId}`, eventDelay: 900 });
    dyno.exit(10, 1);
    return dyno.accept();
  },
  up: (dyno) => dyno.accept('up'),
  up_later: (dyno) => {
    const answer = dyno.accept('starting');
    dyno.exit(60, 0);
    return answer;
  },
  refused: () => ({ outcome: 'refused', heal: false, status: 422, id: 'invalid_params', message: 'No such size.' }),
  busy: async (dyno) => {
    const tries = (heals.get(dyno.post.taskId) ?? 0) + 1;
    heals.set(dyno.post.taskId, tries);
    if (tries < 3) return { outcome: 'refused', heal: true, status: 429, id: 'rate_limit', message: 'Slow down.', retryAfter: 0.05 };
    await dyno.output(5);
    return dyno.accept();
  },
  unknown_found: async (dyno) => {
    dyno.accept('up');
    await dyno.output(150);
    return { outcome: 'unknown', cause: 'reset' };
  },
  unknown_lost: async (dyno) => {
    if (dyno.post.attempt === 1) return { outcome: 'unknown', cause: 'reset' };
    await dyno.output(5);
    return dyno.accept();
  },
};

interface Case {
  readonly run: unknown[];
  readonly state: RunView['state'];
  readonly posts?: number;
  readonly error?: string;
}

const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 2, backoff: { type: 'fixed', delay: 0.05 }, ...more });
const group = (n: number, cmd: string, more: Record<string, unknown> = {}) => ({ parallel: Array.from({ length: n }, () => t(cmd, more)) });
const chain = (n: number, cmd: string) => Array.from({ length: n }, () => t(cmd));

const cases: Record<string, Case> = {
  'one task': { run: [t('ok')], state: 'succeeded', posts: 1 },
  'two tasks': { run: chain(2, 'ok'), state: 'succeeded', posts: 2 },
  'a group first': { run: [group(3, 'ok'), t('ok')], state: 'succeeded', posts: 4 },
  'a group last': { run: [t('ok'), group(3, 'ok')], state: 'succeeded', posts: 4 },
  'a group between': { run: [t('ok'), group(3, 'ok'), t('ok')], state: 'succeeded', posts: 5 },
  'two groups': { run: [group(3, 'ok'), group(4, 'ok')], state: 'succeeded', posts: 7 },
  'three groups of all kinds': {
    run: [group(2, 'ok'), group(4, 'instant'), group(3, 'up', { no_output: true })],
    state: 'succeeded',
    posts: 9,
  },
  'groups of one': { run: [group(1, 'ok'), group(1, 'ok'), group(1, 'ok')], state: 'succeeded', posts: 3 },
  'only a group': { run: [group(5, 'ok')], state: 'succeeded', posts: 5 },
  'twenty steps': { run: chain(20, 'ok'), state: 'succeeded', posts: 20 },
  'a hundred steps': { run: chain(100, 'instant'), state: 'succeeded', posts: 100 },
  'a group of 198': { run: [t('ok'), group(198, 'ok'), t('ok')], state: 'succeeded', posts: 200 },
  'two groups of 100': { run: [group(100, 'ok'), group(100, 'instant')], state: 'succeeded', posts: 200 },
  'outputs before the launch is answered': { run: [t('instant'), group(3, 'instant'), t('instant')], state: 'succeeded', posts: 5 },
  'no_output, up at once': { run: [t('up', { no_output: true }), t('ok')], state: 'succeeded', posts: 2 },
  'no_output, gone before it was seen up': { run: [t('up_later', { no_output: true }), t('ok')], state: 'succeeded', posts: 2 },
  'a leader that needs a second attempt': {
    run: [t('ok'), { parallel: [t('flaky', { timeout: 1 }), t('ok')] }, t('ok')],
    state: 'succeeded',
    posts: 5,
  },
  'a sibling that needs a second attempt': {
    run: [t('ok'), { parallel: [t('ok'), t('flaky', { timeout: 1 })] }, t('ok')],
    state: 'succeeded',
    posts: 5,
  },
  'a crash, then success': { run: [t('crash_once'), t('ok')], state: 'succeeded', posts: 3 },
  'an output whose event comes after the dyno has ended': { run: [t('exit_then_output'), t('ok')], state: 'succeeded', posts: 2 },
  'an output of the first attempt during the second': {
    run: [t('late', { timeout: 1, backoff: { type: 'fixed', delay: 0.05 } }), t('ok')],
    state: 'succeeded',
    posts: 3,
  },
  'a task that never writes': {
    run: [t('silent', { timeout: 1, retries: 1 }), group(3, 'ok'), group(2, 'ok')],
    state: 'failed',
    posts: 2,
    error: 'timed_out',
  },
  'a leader that fails': {
    run: [t('ok'), { parallel: [t('crash', { retries: 0 }), t('ok'), t('ok')] }, group(3, 'ok'), t('ok')],
    state: 'failed',
    error: 'exited_without_output',
  },
  'a sibling that fails': {
    run: [t('ok'), { parallel: [t('ok'), t('crash', { retries: 1 }), t('ok')] }, t('ok')],
    state: 'failed',
    posts: 5,
    error: 'exited_without_output',
  },
  'the last task fails': { run: [t('ok'), t('crash', { retries: 0 })], state: 'failed', posts: 2, error: 'exited_without_output' },
  'all of a group fail': { run: [group(3, 'crash', { retries: 0 }), group(190, 'ok')], state: 'failed', error: 'exited_without_output' },
  'a launch that is refused for good': { run: [t('refused'), t('ok')], state: 'failed', posts: 1, error: 'launch_refused' },
  'a launch that time heals': { run: [t('busy'), t('ok')], state: 'succeeded', posts: 4 },
  'an unanswered launch that arrived': { run: [t('unknown_found'), t('ok')], state: 'succeeded', posts: 2 },
};

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

/** What holds for every run whatever it is. */
async function expectSound(runId: string, run: RunView): Promise<void> {
  const posts = engine.cloud.postsOf(runId);
  expect(new Set(posts.map((post) => `${post.taskId}/${post.attempt}`)).size, 'attempts that were launched').toBe(
    posts.filter((post) => !heals.has(post.taskId)).length +
      [...new Set(posts.map((post) => post.taskId))].filter((id) => heals.has(id)).length,
  );
  expectNoStepEarly(run, posts);
  expect(
    run.history.filter((entry) => entry.what === run.state && entry.task === null),
    'ends',
  ).toHaveLength(1);
  for (const step of run.steps) for (const task of step.tasks) expect(['succeeded', 'failed', 'skipped']).toContain(task.state);
  await until(`no job of ${runId} left`, async () => (await engine.keys(`{af0}:task:${runId}.*`)).length === 0);
}

function expectNoStepEarly(run: RunView, posts: readonly Post[]): void {
  for (const [k] of run.steps.entries()) {
    if (k === 0) continue;
    const settledBefore = run.history.filter(
      (entry) => entry.task !== null && refOf(entry.task)?.step === k - 1 && ['succeeded', 'failed', 'skipped'].includes(entry.what),
    );
    const lastBefore = Math.max(...settledBefore.map((entry) => entry.n));
    const firstIntent = run.history.find((entry) => entry.what === 'intent' && entry.task !== null && refOf(entry.task)?.step === k);
    if (firstIntent !== undefined) expect(firstIntent.n, `first launch of step ${k}`).toBeGreaterThan(lastBefore);
  }
  // the record's own order agrees with the order in which the platform was asked
  const steps = posts.map((post) => refOf(post.taskId)?.step ?? -1);
  expect(steps, 'steps of the launches').toEqual([...steps].sort((a, b) => a - b));
}

describe('a run of', () => {
  for (const [name, one] of Object.entries(cases)) {
    it(name, async () => {
      const runId = engine.upload(one.run);
      const run = await engine.ended(runId, 40_000);
      expect(run.state, JSON.stringify(run.history.slice(-20))).toBe(one.state);
      if (one.posts !== undefined) expect(engine.cloud.postsOf(runId)).toHaveLength(one.posts);
      if (one.error !== undefined) expect(run.error?.code).toBe(one.error);
      await expectSound(runId, run);
    });
  }

  it('every kind at the same time, each as if it were alone', async () => {
    const started = Object.values(cases)
      .filter((one) => JSON.stringify(one.run).length < 3000)
      .flatMap((one) => [one, one, one])
      .map((one) => ({ one, runId: engine.upload(one.run) }));
    for (const { one, runId } of started) {
      const run = await engine.ended(runId, 60_000);
      expect(run.state, JSON.stringify(run.history.slice(-20))).toBe(one.state);
      await expectSound(runId, run);
    }
  });
});
