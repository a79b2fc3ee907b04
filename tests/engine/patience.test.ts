// How long an attempt may be refused for reasons that time heals: ten minutes of being refused, not of waiting for its turn.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { refOf } from '../../src/queues/run-record.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';

const MINUTE_MS = 60_000;
let server: TestRedis;
let redis: ReturnType<typeof connect>;

beforeAll(async () => {
  server = await startRedis();
  redis = connect(server.cluster === undefined ? { socket: server.socket } : { cluster: server.cluster }, () => {});
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

/** A run of one task, without retries if nothing else is said, as its first activation finds it. */
async function running(retries = 0) {
  const runs = createRuns({ redis });
  const resource = randomUUID();
  const runId = `r0-${randomUUID().replaceAll('-', '').slice(0, 20)}`;
  const parsed = parseWorkflow(JSON.stringify({ run: [{ cmd: 'x', retries }] }));
  const ref = refOf(`${runId}.0.0`);
  if (!parsed.ok || ref === undefined) throw new Error('the workflow is valid');
  const { workflow, plan } = parsed;
  const task = plan.steps[0]?.tasks[0];
  if (task === undefined) throw new Error('the plan has a task');
  const trigger = { bucket: 'b', key: 'k', versionId: 'v', etag: 'e', size: 1 };
  await runs.accept({ runId, resource, trigger, workflow, plan, cap: 1000, depth: 0 });
  const record = shardKeys(0).run(runId);
  await redis.hset(record, 'state', 'running');
  const enter = (budget: '' | 'granted' | 'queued' | 'held', verdict?: 'extend') =>
    runs.enter({
      ref,
      task,
      resource,
      token: randomUUID(),
      first: true,
      adoptAfter: MINUTE_MS,
      grace: MINUTE_MS,
      budget,
      held: MINUTE_MS,
      ...(verdict === undefined ? {} : { verdict }),
    });
  const refused = (kind: 'heal' | 'held' | 'final' | 'lost', attempt = 1) =>
    runs.refused({ ref, resource, attempt, kind, delay: 0, retries: task.retries, code: 'launch_refused', detail: 'no' });
  /** As if what the task's times say had happened so much earlier. */
  const ago = async (ms: number) => {
    for (const field of ['r:0.0', 'q:0.0']) if ((await redis.hexists(record, field)) === 1) await redis.hincrby(record, field, -ms);
  };
  const phase = () => redis.hget(record, 'p:0.0');
  const deliver = () => runs.deliver(ref.id, resource, { key: 'out/x', version_id: 'o', etag: 'e', size: 1 });
  const entries = async () =>
    (await redis.lrange(shardKeys(0).history(runId), 0, -1)).map((entry) => (JSON.parse(entry) as [number, string])[1]);
  return { runs, ref, deliver, enter, refused, ago, phase, record, entries };
}

it('fails a task that was refused for ten minutes', async () => {
  const { enter, refused, ago, phase } = await running();
  for (const expected of ['backoff', 'failed']) {
    expect((await enter('granted')).action).toBe('launch');
    await refused('heal');
    expect(await phase()).toBe(expected);
    await ago(11 * MINUTE_MS);
  }
});

it('does not count the time for which a launch waits for its turn', async () => {
  const { enter, refused, ago, phase } = await running();
  await enter('granted');
  await refused('heal');
  await ago(MINUTE_MS);
  expect((await enter('queued')).detail).toBe('throttle');
  await ago(60 * MINUTE_MS);
  expect((await enter('granted')).action).toBe('launch');
  await refused('heal');
  expect(await phase()).toBe('backoff');
  // a minute of it was no waiting
  await ago(9.5 * MINUTE_MS);
  await enter('granted');
  await refused('heal');
  expect(await phase()).toBe('failed');
});

it('does not count the time for which the customer’s own account has no calls left', async () => {
  const { enter, refused, ago, phase } = await running();
  const launchAndBe = async (kind: 'heal' | 'held') => {
    expect((await enter('granted')).action).toBe('launch');
    await refused(kind);
    return await phase();
  };
  for (let n = 0; n < 3; n += 1) {
    expect(await launchAndBe('held')).toBe('backoff');
    await ago(60 * MINUTE_MS);
  }
  expect(await launchAndBe('heal')).toBe('backoff');
  await ago(MINUTE_MS);
  expect(await launchAndBe('held')).toBe('backoff');
  await ago(60 * MINUTE_MS);
  expect(await launchAndBe('heal')).toBe('backoff');
  // of which a minute was no waiting
  await ago(9.5 * MINUTE_MS);
  expect(await launchAndBe('heal')).toBe('failed');
});

it('does not count it either when a pause of the account begins after a refusal', async () => {
  const { enter, refused, ago, phase, record } = await running();
  await enter('granted');
  await refused('heal');
  await ago(MINUTE_MS);
  expect(await enter('held')).toMatchObject({ action: 'park', ms: MINUTE_MS });
  await ago(60 * MINUTE_MS);
  await redis.hset(record, 'dl:0.0', 0);
  expect((await enter('granted')).action).toBe('launch');
  await refused('heal');
  expect(await phase()).toBe('backoff');
});

it('lists so many refusals of a task and no more, and of a launch that comes after them its intent with it', async () => {
  const { runs, ref, enter, refused, entries, record } = await running();
  for (let n = 0; n < 1_000; n += 1) {
    await enter('queued');
    expect((await enter('granted')).action).toBe('launch');
    await refused('held');
  }
  const listed = await entries();
  expect(listed.filter((what) => what === 'refused')).toHaveLength(50);
  expect(listed.filter((what) => what === 'intent')).toHaveLength(50);
  expect(listed.length).toBeLessThan(110);
  await enter('granted');
  const dyno = { id: randomUUID(), name: 'run.1' };
  const resource = (await redis.hget(record, 'resource')) ?? '';
  await runs.launched({ ref, resource, attempt: 1, timeout: 60, noOutput: false, dyno, up: false, adopted: false });
  expect((await entries()).slice(listed.length)).toEqual(['intent', 'launched']);
});

it('takes no grant while it is put off, and one when it is due', async () => {
  const { runs, ref, enter, refused, record } = await running();
  await enter('granted');
  await refused('heal');
  await redis.hset(record, 'dl:0.0', Date.now() + MINUTE_MS);
  expect(await runs.granted(ref)).toBe(false);
  await redis.hset(record, 'dl:0.0', Date.now() - MINUTE_MS);
  expect(await runs.granted(ref)).toBe(true);
});

it('says once that a launch which waits for its turn waits for the customer’s own account', async () => {
  const { enter, phase, record, entries } = await running();
  for (let n = 0; n < 100; n += 1) {
    expect((await enter('queued')).detail).toBe('throttle');
    expect(await enter('held')).toMatchObject({ action: 'park', ms: MINUTE_MS });
    expect(await phase()).toBe('backoff');
    expect(await redis.hget(record, 'bo')).toBe('1');
    await redis.hset(record, 'dl:0.0', 0);
    // as a park leaves it
    await redis.hdel(record, 'c:0.0');
  }
  expect((await entries()).slice(-2)).toEqual(['queued', 'refused']);
  expect((await enter('granted')).action).toBe('launch');
  expect(await redis.hget(record, 'bo')).toBe('0');
});

it('asks ever more rarely, up to five graces, how a dyno ended of which nobody can tell', async () => {
  const { enter, record } = await running();
  await enter('granted');
  const now = Date.now();
  await redis.hset(record, { 'p:0.0': 'await', 'dl:0.0': now + 600 * MINUTE_MS });
  for (const [since, minutes] of [
    [1, 1],
    [3, 3],
    [20, 5],
  ] as const) {
    // the grace is a minute, and has passed since it was extended last
    await redis.hset(record, 'x:0.0', `${now - MINUTE_MS}|${now - since * MINUTE_MS}|gone`);
    expect((await enter('')).action).toBe('check');
    // as a park leaves it
    await redis.hdel(record, 'c:0.0');
    const { action, ms } = await enter('', 'extend');
    expect([action, Math.round(ms / MINUTE_MS)]).toEqual(['park', minutes]);
  }
});

it('parks a launch that waited for its turn on what stands, so that nothing rings it at once', async () => {
  const { runs, ref, enter } = await running();
  await enter('queued');
  expect(await runs.granted(ref)).toBe(true);
  const decision = await enter('granted');
  expect(decision.action).toBe('launch');
  // the last part of what a decision saw is the grant
  expect(decision.seen.endsWith('|')).toBe(true);
});

it.each(['final', 'heal', 'held'] as const)('lets an output that came before its next launch was refused (%s) decide', async (kind) => {
  const { enter, refused, deliver, ago, record } = await running(1);
  expect((await enter('granted')).attempt).toBe(1);
  await refused('lost');
  const second = await enter('granted');
  expect([second.action, second.attempt]).toEqual(['launch', 2]);
  await refused('heal', 2);
  // it is refused for too long, and had its retry
  await ago(11 * MINUTE_MS);
  await redis.hset(record, { 'dl:0.0': 0, 'u:0.0': 1 });
  expect((await enter('granted')).attempt).toBe(2);
  expect(await deliver()).toBe('ok');
  await refused(kind, 2);
  const decision = await enter('');
  expect([decision.action, decision.detail]).toEqual(['settled', 'succeeded']);
  expect(await redis.hget(record, 'bo')).toBe('0');
});
