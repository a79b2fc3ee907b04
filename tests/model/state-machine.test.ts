// The real scripts on a real Redis against the model of DESIGN §4: whatever happens in whatever order, each transition
// answers as the model does, and the record stands as the model's.
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../src/queues/connection.ts';
import { runIdOf } from '../../src/queues/identity.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { refOf, type TaskRef } from '../../src/queues/run-record.ts';
import { createRuns, type Runs } from '../../src/queues/runs.ts';
import { taskId } from '../../src/schema/ids.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import type { TaskPlan } from '../../src/schema/workflow.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import * as model from './run-model.ts';

/** Sequences; a long run sets more. */
const RUNS = Number(process.env['AUTOFILES_MODEL_RUNS'] ?? 150);
const HOUR_MS = 3_600_000;
const BACKOFF = { type: 'fixed', delay: 30 };
const STEPS = [
  {
    parallel: [
      { cmd: 'a', timeout: 60, retries: 1, backoff: BACKOFF, wait_for: 60 },
      { cmd: 'b', timeout: 60, retries: 0 },
    ],
  },
  {
    parallel: [
      { cmd: 'c', timeout: 60, retries: 2, backoff: BACKOFF },
      { cmd: 'd', no_output: true, timeout: 60, retries: 1, backoff: BACKOFF },
    ],
  },
];

type Op =
  | { op: 'enter'; task: number; token: string; verdict: boolean }
  | { op: 'deliver'; task: number; version: string; own: boolean }
  | { op: 'launched'; task: number; stale: boolean; up: boolean }
  | { op: 'refused'; task: number; stale: boolean; kind: 'heal' | 'final' | 'lost' }
  | { op: 'observe'; task: number; stale: boolean; kind: 'up' | 'gone' }
  | { op: 'plan' | 'cancel' | 'finish' | 'pass' | 'again' };

const task = fc.nat({ max: 3 });
const enter = fc.record({ op: fc.constant('enter' as const), task, token: fc.constantFrom('A', 'A', 'A', 'B'), verdict: fc.boolean() });
const stale = fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 12, arbitrary: enter },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('deliver' as const), task, version: fc.constantFrom('v1', 'v2'), own: fc.boolean() }),
  },
  { weight: 6, arbitrary: fc.record({ op: fc.constant('launched' as const), task, stale, up: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('refused' as const),
      task,
      stale,
      kind: fc.constantFrom('heal' as const, 'final' as const, 'lost' as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('observe' as const), task, stale, kind: fc.constantFrom('up' as const, 'gone' as const) }),
  },
  { weight: 4, arbitrary: fc.constant({ op: 'pass' as const }) },
  { weight: 3, arbitrary: fc.constant({ op: 'finish' as const }) },
  { weight: 1, arbitrary: fc.constantFrom({ op: 'cancel' as const }, { op: 'again' as const }, { op: 'plan' as const }) },
);

let server: TestRedis;
let redis: Redis;
let runs: Runs;
beforeAll(async () => {
  server = await startRedis();
  redis = connect({ socket: server.socket }, () => {});
  runs = createRuns({ redis });
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const parsed = parseWorkflow(JSON.stringify({ run: STEPS }));
if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults));
const { workflow, plan } = parsed;
const planned: readonly { readonly step: number; readonly index: number; readonly plan: TaskPlan }[] = plan.steps.flatMap((step, k) =>
  step.tasks.map((one, index) => ({ step: k, index, plan: one })),
);

/** One real run and its model, side by side. */
async function begin() {
  const resource: string = randomUUID();
  const trigger = { bucket: 'b', key: randomUUID(), versionId: 'v', etag: 'e', size: 1 };
  const runId = runIdOf(trigger, 1);
  const accept = () => runs.accept({ runId, resource, trigger, workflow, plan, cap: 1_000_000, depth: 0 });
  expect(await accept()).toBe('new');
  const expected = model.newRun(
    planned.map(({ step, index, plan: one }) => ({ step, index, retries: one.retries, noOutput: one.no_output, cools: one.wait_for > 0 })),
  );
  return { runId, resource, accept, expected, key: shardKeys(0).run(runId) };
}
type Side = Awaited<ReturnType<typeof begin>>;

/** Moves the record an hour into the past, which is as if an hour had passed. */
async function pass(key: string): Promise<void> {
  const record = await redis.hgetall(key);
  for (const [field, value] of Object.entries(record)) {
    const kind = field.split(':')[0] ?? '';
    if (['dl', 'r'].includes(kind)) await redis.hset(key, field, Number(value) - HOUR_MS);
    if (['o', 'x'].includes(kind))
      await redis.hset(
        key,
        field,
        value.replace(/^\d+/, (ms) => String(Number(ms) - HOUR_MS)),
      );
    if (kind === 'i')
      await redis.hset(
        key,
        field,
        value.replace(/\|(\d+)/, (_, ms: string) => `|${Number(ms) - HOUR_MS}`),
      );
  }
}

/** Does one thing to both; answers with what each said. */
async function apply(side: Side, one: Op): Promise<readonly [string, string]> {
  const { expected, runId, resource, key } = side;
  const none = ['', ''] as const;
  if (one.op === 'plan') {
    // the planner's MULTI, which tests/engine holds, sets the record running with the tree
    if (expected.state === 'accepted') {
      expected.state = 'running';
      await redis.hset(key, 'state', 'running');
    }
    return none;
  }
  if (one.op === 'again') return [await side.accept(), expected.state];
  if (one.op === 'cancel') return [await runs.cancel(runId, 'me'), model.cancel(expected)];
  if (one.op === 'finish') return expected.state === 'accepted' ? none : [await runs.finish(runId), model.finish(expected)];
  if (one.op === 'pass') {
    await pass(key);
    model.pass(expected);
    return none;
  }
  if (!('task' in one)) throw new RangeError(`${one.op} is no transition of a task`);
  const of = planned[one.task];
  const twin = expected.tasks[one.task];
  const ref: TaskRef | undefined = of === undefined ? undefined : refOf(taskId(runId, of.step, of.index));
  if (of === undefined || twin === undefined || ref === undefined) throw new RangeError('no such task');
  const attempt = 'stale' in one && one.stale ? twin.attempt - 1 : twin.attempt;
  switch (one.op) {
    case 'enter': {
      const options = {
        ref,
        task: of.plan,
        resource,
        token: one.token,
        first: false,
        adoptAfter: 60_000,
        grace: 60_000,
        budget: 'granted' as const,
      };
      const verdict = twin.death ? 'exited_without_output' : 'timed_out';
      const decision = await runs.enter({ ...options, ...(one.verdict ? { verdict: { code: verdict, detail: '' } } : {}) });
      return [decision.action, model.enter(expected, twin, one.token, one.verdict)];
    }
    case 'deliver': {
      const output = { key: `out/${ref.id}`, version_id: one.version, etag: 'e', size: 1 };
      return [await runs.deliver(ref.id, one.own ? resource : randomUUID(), output), model.deliver(twin, one.version, one.own)];
    }
    case 'launched': {
      const dyno = { id: `${ref.id}/${attempt}`, name: 'run.1' };
      const more = { timeout: of.plan.timeout, noOutput: of.plan.no_output, up: one.up, adopted: false };
      return [await runs.launched({ ref, resource, attempt, dyno, ...more }), model.launched(twin, attempt, one.up)];
    }
    case 'refused': {
      const more = { delay: one.kind === 'lost' ? 1 : 30_000, retries: of.plan.retries, code: 'launch_refused' as const, detail: '' };
      await runs.refused({ ref, resource, attempt, kind: one.kind, ...more });
      model.refused(expected, twin, attempt, one.kind);
      return none;
    }
    case 'observe':
      await runs.observe({ ref, resource, attempt, kind: one.kind, dynoId: `${ref.id}/${attempt}`, noOutput: of.plan.no_output });
      model.observe(twin, attempt, one.kind);
      return none;
  }
}

/** The record in the model's words. */
async function recordOf({ key }: Side) {
  const record = await redis.hgetall(key);
  return {
    state: record['state'],
    cancelled: record['cancel'] !== undefined,
    failing: record['failing'] !== undefined,
    settled: [record['d0'] ?? '0', record['d1'] ?? '0'],
    ended: record['end'] !== undefined,
    tasks: planned.map(({ step, index }) => {
      const t = `${step}.${index}`;
      return { phase: record[`p:${t}`] ?? 'new', attempt: Number(record[`a:${t}`] ?? 1), output: record[`o:${t}`] !== undefined };
    }),
  };
}

function viewOf(run: model.ModelRun) {
  const settled = (step: number) =>
    String(run.tasks.filter((one) => one.step === step && ['succeeded', 'failed', 'skipped'].includes(one.phase)).length);
  return {
    state: run.state,
    cancelled: run.cancelled,
    failing: run.failing,
    settled: [settled(0), settled(1)],
    ended: run.state !== 'accepted' && run.state !== 'running',
    tasks: run.tasks.map(({ phase, attempt, output }) => ({ phase, attempt, output: output !== undefined })),
  };
}

it('answers and stands as the model says, whatever happens in whatever order', { timeout: 600_000 }, async () => {
  const ends: Record<string, number> = {};
  await fc.assert(
    fc.asyncProperty(fc.array(op, { minLength: 10, maxLength: 60, size: 'max' }), fc.boolean(), async (ops, plannedFirst) => {
      const side = await begin();
      const sequence: readonly Op[] = plannedFirst ? [{ op: 'plan' }, ...ops] : ops;
      for (const [n, one] of sequence.entries()) {
        const [said, expected] = await apply(side, one);
        expect(said, `step ${n}: ${JSON.stringify(one)}`).toBe(expected);
        expect(await recordOf(side), `after step ${n}: ${JSON.stringify(one)}`).toEqual(viewOf(side.expected));
      }
      ends[side.expected.state] = (ends[side.expected.state] ?? 0) + 1;
    }),
    { numRuns: RUNS, endOnFailure: false, interruptAfterTimeLimit: 500_000 },
  );
  // a model that is only ever compared at its beginning proves nothing
  for (const state of ['running', 'failed', 'cancelled']) expect(ends[state] ?? 0, JSON.stringify(ends)).toBeGreaterThan(0);
});
