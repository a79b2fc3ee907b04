// A run that has left Redis is shown, and runs again, from the archive; what stands there is read like a stranger's.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { shardKeys } from '../../src/queues/keys.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

const keys = shardKeys(0);
let redis: TestRedis;
let engine: TestEngine;
let web: TestWeb;
let broken = true;

beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(
    redis,
    {
      ok: async (dyno) => {
        await dyno.output(5, { ld_state: 'fine' });
        return dyno.accept();
      },
      fragile: async (dyno) => {
        if (broken) dyno.exit(5, 1);
        else await dyno.output(5);
        return dyno.accept();
      },
    },
    { retention: () => retention, retentionMs: 50 },
  );
  web = await openTestWeb(redis, {
    resource: engine.resource,
    store: engine.cloud.store,
    env: { AUTOFILES_ARCHIVE_BUCKET: ARCHIVE_BUCKET },
  });
});
afterAll(async () => {
  await web?.close();
  await engine?.stop();
  await redis?.stop();
});

let retention = Number.MAX_SAFE_INTEGER;
const task = (cmd: string) => ({ cmd, timeout: 30, retries: 0 });
const workflow = [task('ok'), { parallel: [task('ok'), task('fragile')] }, task('ok')];
const get = async (path: string) => await web.call('GET', path);
const retry = async (id: string, body: unknown) => await web.call('POST', `/v1/runs/${id}/retry`, { body });

/** A failed run that has left Redis, and how it was shown before. */
async function retiredRun(): Promise<RunView> {
  broken = true;
  retention = Number.MAX_SAFE_INTEGER;
  const runId = engine.upload(workflow);
  const run = await engine.ended(runId);
  expect(run.state).toBe('failed');
  const shown: unknown = await (await get(`/v1/runs/${runId}`)).json();
  retention = 0;
  await until('it to be retired', async () => (await engine.redis.hget(keys.run(runId), 'stub')) !== null);
  retention = Number.MAX_SAFE_INTEGER;
  broken = false;
  // as the API showed it
  return shown as RunView;
}

it('is shown as before, with its history and its workflow, to its own resource alone', async () => {
  const run = await retiredRun();
  expect(await (await get(`/v1/runs/${run.id}`)).json()).toEqual(run);
  expect(await (await get(`/v1/runs/${run.id}/history?after=2`)).json()).toEqual(run.history.slice(2));
  expect(await (await get(`/v1/runs/${run.id}/workflow`)).json()).toEqual({ run: workflow });
  const stranger = await openTestWeb(redis, { store: engine.cloud.store, env: { AUTOFILES_ARCHIVE_BUCKET: ARCHIVE_BUCKET } });
  expect((await stranger.call('GET', `/v1/runs/${run.id}`)).status).toBe(404);
  await stranger.close();
});

it.each([
  ['as a whole', { mode: 'run' }, 4],
  ['from a step on', { mode: 'from', step: 2 }, 3],
  ['only what did not succeed', { mode: 'failed' }, 2],
  ['with an edited workflow', { mode: 'run', workflow: { run: [task('ok')] } }, 1],
])('runs again after its retention has passed, %s', async (_name, order, launches) => {
  const run = await retiredRun();
  const response = await retry(run.id, order);
  expect(response.status).toBe(202);
  const { id } = (await response.json()) as { id: string };
  const again = await engine.ended(id);
  expect(again.state, JSON.stringify(again.history)).toBe('succeeded');
  expect(again.again).toEqual({ of: run.id, how: order.mode });
  expect(engine.cloud.postsOf(id)).toHaveLength(launches);
});

it('runs one task of it again, which finds the outputs that the step before it had', async () => {
  const run = await retiredRun();
  const task = run.steps[1]?.tasks[1]?.id ?? '';
  const { id } = (await (await retry(run.id, { mode: 'task', task })).json()) as { id: string };
  const again = await engine.ended(id);
  expect(again.state).toBe('succeeded');
  expect(again.steps[0]?.tasks[0]?.output).toEqual(run.steps[0]?.tasks[0]?.output);
  expect(engine.cloud.postsOf(id).map(({ taskId }) => taskId)).toEqual([`${id}.1.1`]);
});

it('is not run under its id once more when the order that started it comes again after its retention', async () => {
  const { id: of } = await retiredRun();
  const order = async (body: unknown) =>
    await web.call('POST', `/v1/runs/${of}/retry`, { body, headers: { 'idempotency-key': 'of last month' } });
  const { id } = (await (await order({ mode: 'failed' })).json()) as { id: string };
  await engine.ended(id);
  const posts = engine.cloud.postsOf(id).length;
  retention = 0;
  await until('it to be retired', async () => (await engine.redis.hget(keys.run(id), 'stub')) !== null);
  retention = Number.MAX_SAFE_INTEGER;
  // as weeks later
  await engine.redis.del(keys.run(id));
  const again = await order({ mode: 'failed' });
  expect([again.status, await again.json()]).toEqual([202, { id }]);
  expect((await order({ mode: 'run' })).status).toBe(409);
  expect(await engine.redis.exists(keys.run(id))).toBe(0);
  expect(engine.cloud.postsOf(id)).toHaveLength(posts);
});

it('keeps the state that it has when somebody cancels it after its retention, and one that is nowhere is not found', async () => {
  const { id } = await retiredRun();
  // as weeks later
  await engine.redis.del(keys.run(id));
  const cancelled = await web.call('POST', `/v1/runs/${id}/cancel`);
  expect([cancelled.status, await cancelled.json()]).toEqual([200, { id, state: 'failed' }]);
  const bulk = await web.call('POST', '/v1/runs/bulk', { body: { action: 'cancel', ids: [id] } });
  expect(await bulk.json()).toEqual({ results: [{ id, ok: true, state: 'failed' }] });
  engine.cloud.objects.delete(`${ARCHIVE_BUCKET}/runs/${id}.json`);
  expect((await web.call('POST', `/v1/runs/${id}/cancel`)).status).toBe(404);
});

it.each([
  ['no JSON', () => 'x'],
  // the id is random and may begin with whatever would be put there
  ['the record of another run', (text: string) => text.replace(/"id":"r0-(.)/, (_, first) => `"id":"r0-${first === '0' ? '1' : '0'}`)],
  ['a run that has not ended', (text: string) => text.replace('"state":"failed"', '"state":"running"')],
  ['an output that is none', (text: string) => text.replace(/"o:0\.0":"[^|]*\|/, '"o:0.0":"1|[')],
  ['a field of no record', (text: string) => text.replace('"record":{', '"record":{"__proto__":"x",')],
  ['a history that is none', (text: string) => text.replace('"history":[[', '"history":[["x",')],
  ['brackets without end', () => `{"record":${'['.repeat(100_000)}`],
])('is neither shown nor run when the archive holds %s', async (_name, spoil) => {
  const run = await retiredRun();
  const name = `${ARCHIVE_BUCKET}/runs/${run.id}.json`;
  const kept = engine.cloud.objects.get(name);
  if (kept === undefined) throw new Error('not archived');
  const spoiled = spoil(kept.body);
  expect(spoiled).not.toBe(kept.body);
  engine.cloud.objects.set(name, { ...kept, body: spoiled });
  const posts = engine.cloud.posts.length;
  expect((await get(`/v1/runs/${run.id}`)).status).toBe(500);
  const response = await retry(run.id, { mode: 'run' });
  expect(response.status).toBe(500);
  expect(JSON.stringify(await response.json())).toContain('cannot be trusted');
  expect(engine.cloud.posts.length).toBe(posts);
});
