// Any valid small workflow, and beside it what must become of it: by what its commands do, not by how the engine does it.

import fc from 'fast-check';
import { expect } from 'vitest';
import type { RunView } from '../../src/schema/run-view.ts';
import type { Post, Script } from '../support/scripted-cloud.ts';

/** What the dyno of each command does. The first ones make a task succeed in its first attempt, each by another way. */
export const scripts: Record<string, Script> = {
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
    await dyno.answeredIn(10);
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
  flaky: async (dyno) => {
    if (dyno.post.attempt > 1) await dyno.output(5);
    else dyno.exit(5, 1);
    return dyno.accept();
  },
  flaky_twice: async (dyno) => {
    if (dyno.post.attempt > 2) await dyno.output(5);
    else dyno.exit(5, 1);
    return dyno.accept();
  },
  crash: (dyno) => {
    dyno.exit(5, 1);
    return dyno.accept();
  },
  never_up: (dyno) => {
    dyno.exit(5, 1, false);
    return dyno.accept();
  },
  refused: () => ({ outcome: 'refused', heal: false, status: 422, id: 'invalid_params', message: 'No such size.' }),
  silent: (dyno) => dyno.accept(),
};

/** Attempts that fail before one succeeds. */
const FAILS: Readonly<Record<string, number>> = { flaky: 1, flaky_twice: 2, crash: Infinity, never_up: Infinity, refused: Infinity };

export interface AnyTask {
  readonly cmd: string;
  readonly timeout: number;
  readonly retries?: number;
  readonly no_output?: true;
  readonly wait_for?: number;
}
type Step = AnyTask | { readonly parallel: readonly AnyTask[] };
/** A document of the customer's. */
export interface AnyWorkflow {
  readonly run: readonly Step[];
  readonly timeout?: number;
}

const BACKOFF = { type: 'fixed', delay: 0.02 } as const;
const timeout = 60;
const withOutput = fc.constantFrom('ok', 'instant', 'before_the_answer', 'exit_first').map((cmd): AnyTask => ({ cmd, timeout }));
const withoutOutput = fc.constantFrom('up', 'up_soon', 'gone').map((cmd): AnyTask => ({ cmd, timeout, no_output: true }));
const healing = fc
  .constantFrom({ cmd: 'flaky', retries: 1 }, { cmd: 'flaky', retries: 3 }, { cmd: 'flaky_twice', retries: 2 })
  .map((task): AnyTask => ({ ...task, timeout, ...{ backoff: BACKOFF } }));
const doomed = fc
  .constantFrom<Pick<AnyTask, 'cmd' | 'retries' | 'no_output'>>(
    { cmd: 'crash', retries: 0 },
    { cmd: 'crash', retries: 2 },
    { cmd: 'flaky', retries: 0 },
    { cmd: 'flaky_twice', retries: 1 },
    { cmd: 'never_up', retries: 1, no_output: true },
    // refused for good: its retries are of no use
    { cmd: 'refused', retries: 2 },
  )
  .map((task): AnyTask => ({ ...task, timeout, ...{ backoff: BACKOFF } }));
const task = fc.oneof({ weight: 9, arbitrary: withOutput }, { weight: 3, arbitrary: withoutOutput }, { weight: 1, arbitrary: healing });
const group = fc.array(task, { minLength: 1, maxLength: 6 }).map((parallel) => ({ parallel }));
const sound = fc.array(fc.oneof(task, group), { minLength: 1, maxLength: 6 });
/** A place in a workflow, as parts of its steps and of a step's tasks. */
const place = fc.tuple(fc.nat({ max: 99 }), fc.nat({ max: 99 }));
const tasksOf = (step: Step): readonly AnyTask[] => ('parallel' in step ? step.parallel : [step]);

/** The workflow with another task at that place. */
function change(run: readonly Step[], [s, i]: readonly [number, number], how: (task: AnyTask) => AnyTask): readonly Step[] {
  return run.map((step, k) => {
    if (k !== s % run.length) return step;
    if (!('parallel' in step)) return how(step);
    return { parallel: step.parallel.map((one, n) => (n === i % step.parallel.length ? how(one) : one)) };
  });
}

const failing = fc
  .tuple(sound, fc.array(fc.tuple(place, doomed), { minLength: 1, maxLength: 3 }))
  .map(([run, changes]) => changes.reduce((steps, [at, other]) => change(steps, at, () => other), run as readonly Step[]));
const waiting = fc.tuple(sound, place).map(([run, at]) => change(run, at, (one) => ({ ...one, wait_for: 1 })));
const hanging = fc.tuple(sound, place).map(([run, at]) => change(run, at, () => ({ cmd: 'silent', timeout })));

/** Any but those that hang. Seconds are long in a test: what waits for one comes rarely. */
export const anyWorkflow: fc.Arbitrary<AnyWorkflow> = fc.oneof(
  { weight: 9, arbitrary: sound.map((run): AnyWorkflow => ({ run })) },
  { weight: 9, arbitrary: failing.map((run): AnyWorkflow => ({ run })) },
  { weight: 1, arbitrary: waiting.map((run): AnyWorkflow => ({ run })) },
);

/** One that its own timeout alone brings to an end. */
export const hangingWorkflow: fc.Arbitrary<AnyWorkflow> = hanging.map((run) => ({ run, timeout: 1 }));

/** What becomes of a task that nothing else keeps from it. */
function fateOf({ cmd, retries = 0 }: AnyTask): { readonly attempts: number; readonly state: 'succeeded' | 'failed' } {
  if (cmd === 'refused') return { attempts: 1, state: 'failed' };
  const fails = FAILS[cmd] ?? 0;
  return fails <= retries ? { attempts: fails + 1, state: 'succeeded' } : { attempts: retries + 1, state: 'failed' };
}

/** The first step that cannot succeed; Infinity where all can. */
export function endOf({ run }: AnyWorkflow): number {
  const end = run.findIndex((step) => tasksOf(step).some((one) => one.cmd === 'silent' || fateOf(one).state === 'failed'));
  return end < 0 ? Infinity : end;
}

/** Fails unless the run has become what its workflow says: which tasks ran how often, in which order, and how it ended. */
export function expectFate(workflow: AnyWorkflow, run: RunView, posts: readonly Post[]): void {
  const why = JSON.stringify({ workflow, history: run.history });
  const end = endOf(workflow);
  expect(run.state, why).toBe(end === Infinity ? 'succeeded' : 'failed');
  const timedOut = workflow.timeout !== undefined;
  if (timedOut) expect(run.error?.code, why).toBe('run_timed_out');
  const attemptsOf = (id: string) => posts.filter(({ taskId }) => taskId === id).map(({ attempt }) => attempt);
  const entries = (what: string, k: number) => run.history.filter((one) => one.what === what && one.task?.startsWith(`${run.id}.${k}.`));
  for (const [k, step] of workflow.run.entries()) {
    const outcomes = tasksOf(step).map((one, i) => {
      const id = `${run.id}.${k}.${i}`;
      const { attempts, state } = fateOf(one);
      const found = { attempts: attemptsOf(id), state: run.steps[k]?.tasks[i]?.state };
      // each attempt once and in order, none too many, whatever else happened
      expect(found.attempts, why).toEqual(Array.from({ length: found.attempts.length }, (_, n) => n + 1));
      expect(found.attempts.length, why).toBeLessThanOrEqual(attempts);
      expect(run.history.filter((entry) => entry.what === 'intent' && entry.task === id).length, why).toBe(found.attempts.length);
      const whole = found.attempts.length === attempts && found.state === state;
      if (k < end && !timedOut) expect(found, why).toEqual({ attempts: Array.from({ length: attempts }, (_, n) => n + 1), state });
      if (k > end) expect(found, why).toEqual({ attempts: [], state: 'skipped' });
      // one that was under way ends by itself, and none is begun or repeated any more
      if (k === end && !whole) expect(['skipped', ...(found.attempts.length < attempts ? ['failed'] : [])], why).toContain(found.state);
      return { whole, state };
    });
    // whatever kept the others, somebody came to the end that the run came to
    if (k === end && !timedOut) expect(outcomes.filter(({ whole, state }) => whole && state === 'failed').length, why).toBeGreaterThan(0);
    const begun = entries('intent', k);
    if (k === 0 || begun.length === 0) continue;
    const before = tasksOf(workflow.run[k - 1] ?? { parallel: [] });
    const settled = entries('succeeded', k - 1);
    expect(settled, why).toHaveLength(before.length);
    expect(Math.min(...begun.map(({ n }) => n)), why).toBeGreaterThan(Math.max(...settled.map(({ n }) => n)));
    for (const [i, { wait_for = 0, no_output }] of before.entries()) {
      const done = run.history.find(({ what, task: of }) => what === (no_output ? 'up' : 'output') && of === `${run.id}.${k - 1}.${i}`);
      if (wait_for === 0) continue;
      for (const { at } of begun) expect(Date.parse(at) - Date.parse(done?.at ?? ''), why).toBeGreaterThanOrEqual(wait_for * 1000);
    }
  }
  // the record's own order agrees with the order in which the platform was asked
  const asked = posts.map(({ taskId }) => Number(taskId.split('.')[1]));
  expect(asked, why).toEqual([...asked].sort((a, b) => a - b));
}
