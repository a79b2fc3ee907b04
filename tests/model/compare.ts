// The real scripts on a real Redis beside the model of DESIGN §4: whatever happens in whatever order, each transition answers
// as the model does, and the record stands as the model's. Without a test runner, so that seeded bugs are quick to try.
import { deepStrictEqual, strictEqual } from 'node:assert';
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { runIdOf } from '../../src/queues/identity.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { createPlanner, type Planner } from '../../src/queues/planner.ts';
import { refOf, type TaskRef } from '../../src/queues/run-record.ts';
import { createRuns, type Runs } from '../../src/queues/runs.ts';
import { taskId } from '../../src/schema/ids.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import type { TaskPlan } from '../../src/schema/workflow.ts';
import { BEGINNINGS, type Op } from './beginnings.ts';
import { planTwice } from './plan-twice.ts';
import * as model from './run-model.ts';

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
  { weight: 1, arbitrary: fc.constantFrom(...(['cancel', 'expire', 'again', 'plan'] as const).map((what) => ({ op: what }))) },
);

const parsed = parseWorkflow(JSON.stringify({ run: STEPS }));
if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults));
const { workflow, plan } = parsed;
const planned: readonly { readonly step: number; readonly index: number; readonly plan: TaskPlan }[] = plan.steps.flatMap((step, k) =>
  step.tasks.map((one, index) => ({ step: k, index, plan: one })),
);

interface Real {
  readonly redis: Redis;
  readonly runs: Runs;
  /** Two that may plan the same run at the same time. */
  readonly planners: readonly Planner[];
}

/** One real run and its model, side by side. */
async function begin({ redis, runs, planners }: Real) {
  const resource: string = randomUUID();
  const trigger = { bucket: 'b', key: randomUUID(), versionId: 'v', etag: 'e', size: 1 };
  const runId = runIdOf(trigger, 1);
  const accept = () => runs.accept({ runId, resource, trigger, workflow, plan, cap: 1_000_000, depth: 0 });
  strictEqual(await accept(), 'new');
  const expected = model.newRun(
    planned.map(({ step, index, plan: one }) => ({ step, index, retries: one.retries, noOutput: one.no_output, cools: one.wait_for > 0 })),
  );
  return { redis, runs, planners, runId, resource, accept, expected, key: shardKeys(0).run(runId) };
}
type Side = Awaited<ReturnType<typeof begin>>;

/** Moves the record an hour into the past, which is as if an hour had passed. */
async function pass({ redis, key }: Side): Promise<void> {
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
  const { runs, expected, runId, resource } = side;
  const none = ['', ''] as const;
  if (one.op === 'plan') {
    const tasks = planned.map(({ step, index }) => taskId(runId, step, index));
    return [await planTwice(side, tasks), model.plan(expected)];
  }
  if (one.op === 'again') return [await side.accept(), expected.state];
  if (one.op === 'cancel') return [await runs.cancel(runId, 'me'), model.cancel(expected)];
  if (one.op === 'expire') return [await runs.expire(runId, 1), model.expire(expected)];
  if (one.op === 'finish') return expected.state === 'accepted' ? none : [await runs.finish(runId), model.finish(expected)];
  if (one.op === 'pass') {
    await pass(side);
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
async function recordOf({ redis, key }: Side) {
  const record = await redis.hgetall(key);
  return {
    state: record['state'],
    cancelled: record['cancel'] !== undefined,
    failing: record['failing'] !== undefined,
    settled: [record['d0'] ?? '0', record['d1'] ?? '0'],
    ended: record['end'] !== undefined,
    tasks: planned.map(({ step, index }) => {
      const t = `${step}.${index}`;
      return {
        phase: record[`p:${t}`] ?? 'new',
        attempt: Number(record[`a:${t}`] ?? 1),
        output: record[`o:${t}`] !== undefined,
        dead: record[`x:${t}`] !== undefined,
      };
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
    tasks: run.tasks.map(({ phase, attempt, output, death }) => ({ phase, attempt, output: output !== undefined, dead: death })),
  };
}

/** Where two views differ, and what stands there: `tasks.0.attempt is 1, expected 2`. */
function differences(stands: object, meant: object, at = ''): string[] {
  const other: Readonly<Record<string, unknown>> = { ...meant };
  return Object.entries(stands).flatMap(([name, value]: [string, unknown]) => {
    const expected = other[name];
    if (value === expected) return [];
    if (value instanceof Object && expected instanceof Object) return differences(value, expected, `${at}${name}.`);
    return [`${at}${name} is ${String(value)}, expected ${String(expected)}`];
  });
}

/** Compares so many sequences; answers with how many ended in each state. Throws at the first difference, made small when `shrink` says so. */
export async function compareWithModel(
  redis: Redis,
  sequences: number,
  how: { shrink: boolean; seed?: number } = { shrink: true },
): Promise<Readonly<Record<string, number>>> {
  const runs = createRuns({ redis });
  const fail = (error: Error) => {
    throw error;
  };
  const planners = [0, 1].map(() => createPlanner({ shard: 0, connection: redis, onError: fail, failpoint: () => {} }));
  const ends: Record<string, number> = {};
  const beginning = fc.constantFrom(...Object.keys(BEGINNINGS));
  const checked = fc.assert(
    fc.asyncProperty(fc.array(op, { minLength: 10, maxLength: 60, size: 'max' }), beginning, async (ops, from) => {
      const side = await begin({ redis, runs, planners });
      for (const [n, one] of [...(BEGINNINGS[from] ?? []), ...ops].entries()) {
        const [said, expected] = await apply(side, one);
        strictEqual(said, expected, `step ${n}: ${JSON.stringify(one)} answers ${said}, expected ${expected}`);
        const [stands, meant] = [await recordOf(side), viewOf(side.expected)];
        deepStrictEqual(stands, meant, `after step ${n}: ${JSON.stringify(one)} ${differences(stands, meant).join(', ')}`);
      }
      ends[side.expected.state] = (ends[side.expected.state] ?? 0) + 1;
    }),
    { numRuns: sequences, endOnFailure: !how.shrink, ...(how.seed === undefined ? {} : { seed: how.seed }) },
  );
  await checked.finally(async () => await Promise.all(planners.map((planner) => planner.close())));
  return ends;
}
