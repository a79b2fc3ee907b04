// One run through the API while an engine works on it: shown, followed, cancelled, retried, alone and in bulk.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HistoryEntry, RunPage, RunView } from '../../src/schema/run-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { eventsOf } from '../support/server-events.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

let server: TestRedis;
let engine: TestEngine;
let web: TestWeb;

beforeAll(async () => {
  server = await startRedis();
  engine = await startTestEngine(server, {
    ok: async (dyno) => {
      await dyno.output(5);
      return dyno.accept();
    },
    silent: (dyno) => dyno.accept(),
    fails: (dyno) => {
      dyno.exit(5, 1);
      return dyno.accept();
    },
  });
  web = await openTestWeb(server, { resource: engine.resource });
});

afterAll(async () => {
  await web?.close();
  await engine?.stop();
  await server?.stop();
});

const task = (cmd: string, more: object = {}) => ({ cmd, timeout: 30, retries: 0, ...more });
const json = async <T>(response: Response): Promise<T> => (await response.json()) as T;
const get = async <T>(path: string): Promise<T> => await json<T>(await web.call('GET', path));
const idsIn = async (state: string) => (await get<RunPage>(`/v1/runs?state=${state}&limit=200`)).runs.map((run) => run.id);

describe('the list by state', () => {
  it('follows a run that waits to try again until it has failed', async () => {
    const runId = engine.upload([task('fails', { retries: 1, backoff: { type: 'fixed', delay: 2 } })]);
    await until('the run to be retrying', async () => (await idsIn('retrying')).includes(runId));
    expect(await idsIn('running')).toContain(runId);
    const [row] = (await get<RunPage>(`/v1/runs?state=retrying&q=${runId}`)).runs;
    expect(row).toMatchObject({ id: runId, state: 'running', retrying: 1 });
    await engine.ended(runId);
    expect(await idsIn('retrying')).not.toContain(runId);
    expect(await idsIn('running')).not.toContain(runId);
    expect(await idsIn('failed')).toContain(runId);
    const [failed] = (await get<RunPage>(`/v1/runs?state=failed&q=${runId}`)).runs;
    expect(failed).toMatchObject({ retrying: 0, tasks: 1, settled: 1, error: { code: 'exited_without_output' } });
  });

  it('forgets the waiting of a task that is cancelled in it', async () => {
    const runId = engine.upload([task('fails', { retries: 1, backoff: { type: 'fixed', delay: 60 } })]);
    await until('the run to be retrying', async () => (await idsIn('retrying')).includes(runId));
    await web.call('POST', `/v1/runs/${runId}/cancel`);
    expect((await engine.ended(runId)).state).toBe('cancelled');
    expect(await idsIn('retrying')).not.toContain(runId);
    expect(await idsIn('cancelled')).toContain(runId);
  });
});

describe('a run', () => {
  it('is shown whole, with its history from any place on and its workflow as it was written', async () => {
    const run = [task('ok', { name: 'first' }), { parallel: [task('ok'), task('ok')] }];
    const runId = engine.upload(run);
    await engine.ended(runId);
    const view = await get<RunView>(`/v1/runs/${runId}`);
    expect(view).toMatchObject({ id: runId, state: 'succeeded', tasks: 3, settled: 3 });
    expect(await get<HistoryEntry[]>(`/v1/runs/${runId}/history`)).toEqual(view.history);
    expect(await get<HistoryEntry[]>(`/v1/runs/${runId}/history?after=4`)).toEqual(view.history.slice(4));
    expect(await get(`/v1/runs/${runId}/workflow`)).toEqual({ run });
  });

  it('is not sent again to a reader who has it', async () => {
    const runId = engine.upload([task('ok')]);
    await engine.ended(runId);
    const first = await web.call('GET', `/v1/runs/${runId}`);
    const etag = first.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"[\w-]{22}"$/);
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const again = await web.call('GET', `/v1/runs/${runId}`, { headers: { 'if-none-match': known } });
      expect(again.status).toBe(304);
      expect(await again.text()).toBe('');
    }
    expect((await web.call('GET', `/v1/runs/${runId}`, { headers: { 'if-none-match': '"x"' } })).status).toBe(200);
  });

  it('of another resource is as good as none', async () => {
    const runId = seedId(randomUUID());
    await seedRuns(engine.redis, [{ runId, resource: randomUUID() }]);
    const paths = ['', '/history', '/workflow', '/events'].map((path) => ['GET', `/v1/runs/${runId}${path}`] as const);
    for (const [method, path] of [...paths, ['POST', `/v1/runs/${runId}/cancel`] as const, ['POST', `/v1/runs/${runId}/retry`] as const]) {
      const response = await web.call(method, path);
      expect(response.status, path).toBe(404);
      expect(await json<{ detail: string }>(response)).toMatchObject({
        title: 'not_found',
        detail: expect.stringContaining(`Found no run ${runId}`),
      });
    }
    const bulk = await json<{ results: unknown[] }>(await web.call('POST', '/v1/runs/bulk', { body: { action: 'cancel', ids: [runId] } }));
    expect(bulk.results).toEqual([{ id: runId, ok: false, error: { code: 'not_found', message: expect.stringContaining(runId) } }]);
    expect(await engine.show(runId)).toMatchObject({ state: 'accepted' });
  });
});

describe('the stream of a run', () => {
  it('shows what happens as it happens, and ends with the run', async () => {
    const runId = engine.upload([task('silent'), task('ok')]);
    await until('the run', async () => (await web.call('GET', `/v1/runs/${runId}`)).status === 200);
    const response = await web.call('GET', `/v1/runs/${runId}/events`);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const seen: string[] = [];
    for await (const event of eventsOf(response)) {
      seen.push(event.event);
      if (event.event === 'launched' && seen.filter((what) => what === 'launched').length === 1) {
        // what it waits for comes only now, so everything after it came over the open stream
        engine.cloud.put('out/late', 'proof', { ld_task_id: JSON.parse(event.data).task });
      }
    }
    expect(seen.slice(0, 3)).toEqual(['accepted', 'intent', 'launched']);
    expect(seen.slice(-2)).toEqual(['succeeded', 'end']);
  });

  it('goes on where a client was cut off', async () => {
    const runId = engine.upload([task('ok')]);
    const { history } = await engine.ended(runId);
    const collect = async (headers: Record<string, string>, query = '') => {
      const ids: string[] = [];
      const stream = await web.call('GET', `/v1/runs/${runId}/events${query}`, { headers });
      for await (const event of eventsOf(stream)) if (event.event !== 'end') ids.push(event.id);
      return ids;
    };
    const all = history.map(({ n }) => String(n));
    expect(await collect({})).toEqual(all);
    expect(await collect({ 'last-event-id': '2' })).toEqual(all.slice(2));
    expect(await collect({}, '?after=3')).toEqual(all.slice(3));
    expect(await collect({ 'last-event-id': '9999' })).toEqual([]);
    expect(await collect({ 'last-event-id': 'nonsense' })).toEqual(all);
  });
});

describe('bulk', () => {
  it('tells of every run what came of it, and starts nothing twice for one Idempotency-Key', async () => {
    const ended = engine.upload([task('fails')]);
    const running = engine.upload([task('silent')]);
    await engine.ended(ended);
    await until('the launch', async () => (await engine.show(running))?.history.some(({ what }) => what === 'launched'));
    const none = seedId('none');
    const body = { action: 'retry', mode: 'failed', ids: [ended, running, none, ended] };
    const send = async () =>
      await json<{ results: { id: string; ok: boolean; run?: string; error?: { code: string } }[] }>(
        await web.call('POST', '/v1/runs/bulk', { body, headers: { 'idempotency-key': 'once' } }),
      );
    const { results } = await send();
    expect(results.map(({ id, ok, error }) => [id, ok, error?.code])).toEqual([
      [ended, true, undefined],
      [running, false, 'conflict'],
      [none, false, 'not_found'],
    ]);
    const run = results[0]?.run ?? '';
    expect((await send()).results[0]?.run).toBe(run);
    expect((await engine.ended(run)).again).toEqual({ of: ended, how: 'failed' });
    const cancelled = await json<{ results: unknown[] }>(
      await web.call('POST', '/v1/runs/bulk', { body: { action: 'cancel', ids: [running, ended] } }),
    );
    expect(cancelled.results).toEqual([
      { id: running, ok: true, state: 'cancelling' },
      { id: ended, ok: true, state: 'failed' },
    ]);
    expect((await engine.ended(running)).history.find(({ what }) => what === 'cancelling')?.detail).toBe('local');
  });

  it('answers one Idempotency-Key with one run, and refuses it for another order', async () => {
    const runId = engine.upload([task('fails')]);
    await engine.ended(runId);
    const retry = (body: unknown, key: string) =>
      web.call('POST', `/v1/runs/${runId}/retry`, { body, headers: { 'idempotency-key': key } });
    const first = await json<{ id: string }>(await retry({ mode: 'failed' }, 'k'));
    expect(await json(await retry({ mode: 'failed' }, 'k'))).toEqual(first);
    const other = await retry({ mode: 'failed', workflow: { run: [task('ok')] } }, 'k');
    expect(other.status).toBe(409);
    expect(await json(other)).toMatchObject({
      title: 'conflict',
      detail: expect.stringContaining(`${first.id} was started by another order`),
    });
    for (const key of ['', 'k'.repeat(256)]) {
      const refused = await retry({ mode: 'failed' }, key);
      expect(refused.status).toBe(400);
      expect(await json(refused)).toMatchObject({
        detail: expect.stringContaining(`Idempotency-Key: found ${key.length} characters, expected 1`),
      });
    }
  });

  it('refuses a step or a task that the mode does not look at: nothing else than what was meant runs again', async () => {
    const runId = engine.upload([task('fails')]);
    await engine.ended(runId);
    const refused = async (body: unknown) => {
      const response = await web.call('POST', `/v1/runs/${runId}/retry`, { body });
      const { title, detail } = await json<{ title: string; detail: string }>(response);
      return [response.status, title, detail];
    };
    expect(await refused({ step: 1 })).toEqual([400, 'request_invalid', expect.stringContaining('Set mode to from, or leave step out.')]);
    const one = `${runId}.0.0`;
    expect(await refused({ task: one })).toEqual([400, 'request_invalid', expect.stringContaining('Set mode to task, or leave task out.')]);
    for (const body of [
      { mode: 'run', step: 1 },
      { mode: 'failed', task: one },
      { mode: 'from', step: 1, task: one },
    ])
      expect((await refused(body)).slice(0, 2)).toEqual([400, 'request_invalid']);
    expect((await web.call('POST', `/v1/runs/${runId}/retry`, { body: { mode: 'task', task: one } })).status).toBe(202);
  });

  it('refuses what it cannot read as a whole', async () => {
    const many = Array.from({ length: 101 }, (_, n) => seedId(String(n)));
    for (const body of [
      {},
      { action: 'retry' },
      { action: 'stop', ids: ['x'] },
      { action: 'cancel', ids: [] },
      { action: 'cancel', ids: many },
    ]) {
      expect((await web.call('POST', '/v1/runs/bulk', { body })).status).toBe(400);
    }
  });
});
