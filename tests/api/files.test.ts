// Files, tasks, the resource and its feed through the API, with an engine that works and a store that is real.
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shardKeys } from '../../src/queues/keys.ts';
import { createSessions } from '../../src/queues/sessions.ts';
import type { FileHistory, ResourceView } from '../../src/schema/api-views.ts';
import type { LedgerView, SetAsideList } from '../../src/schema/ledger-view.ts';
import { root, runStore, type TestStore } from '../store/running-store.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { eventsOf } from '../support/server-events.ts';
import { createBucket } from '../support/store-bucket.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';

let server: TestRedis;
let store: TestStore;
let engine: TestEngine;
let web: TestWeb;

beforeAll(async () => {
  server = await startRedis();
  store = await runStore();
  engine = await startTestEngine(server, {
    ok: async (dyno) => {
      await dyno.output(5, { ld_state: 'done' }, { key: `out/${dyno.post.taskId}.txt` });
      return dyno.accept();
    },
    // its output starts the next workflow
    chains: async (dyno) => {
      await dyno.output(5, { ld_code: JSON.stringify({ run: [{ cmd: 'ok', timeout: 30 }] }) }, { key: 'out/chained.txt' });
      return dyno.accept();
    },
  });
  web = await openTestWeb(server, {
    resource: engine.resource,
    env: {
      AUTOFILES_S3_ENDPOINT: store.endpoint,
      AUTOFILES_ACCESS_KEY_ID: root.accessKeyId,
      AUTOFILES_SECRET_ACCESS_KEY: root.secretAccessKey,
    },
  });
  await createBucket(store, engine.bucket);
});

afterAll(async () => {
  await web?.close();
  await engine?.stop();
  await store?.close();
  await server?.stop();
});

const get = async <T>(path: string): Promise<T> => {
  const response = await web.call('GET', path);
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text) as T;
};

describe('a file', () => {
  it('tells which runs it started, what they made, and who made it', async () => {
    const key = 'in/a b/ü&?#%.txt';
    const first = engine.upload([{ cmd: 'ok', timeout: 30 }], key);
    await engine.ended(first);
    const second = engine.upload([{ cmd: 'ok', timeout: 30 }], key);
    await engine.ended(second);
    const file = await get<FileHistory>(`/v1/files/${key.split('/').map(encodeURIComponent).join('/')}`);
    expect(file.key).toBe(key);
    expect(file.started.map((run) => run.id)).toEqual([second, first]);
    expect(file.led_to.map(({ key: out }) => out).sort()).toEqual([`out/${first}.0.0.txt`, `out/${second}.0.0.txt`].sort());
    expect(file.made_by).toEqual([]);
    const output = await get<FileHistory>(`/v1/files/out/${first}.0.0.txt`);
    expect(output).toMatchObject({ started: [], made_by: [{ run: first, task: `${first}.0.0`, state: 'done' }] });
  });

  it('links one run to the next when an output starts a workflow', async () => {
    const first = engine.upload([{ cmd: 'chains', timeout: 30 }]);
    await engine.ended(first);
    const [made] =
      (await get<{ steps: { tasks: { output: { key: string; version_id: string } }[] }[] }>(`/v1/runs/${first}`)).steps[0]?.tasks ?? [];
    await engine.ended(engine.runIdOf('out/chained.txt', made?.output.version_id ?? ''));
    const file = await get<FileHistory>('/v1/files/out/chained.txt');
    expect(file.made_by.map(({ run }) => run)).toEqual([first]);
    expect(file.started).toHaveLength(1);
  });

  it('that nothing is known of, or that is another one’s, has no history', async () => {
    expect(await get('/v1/files/in/none')).toEqual({ key: 'in/none', started: [], led_to: [], made_by: [], set_aside: [] });
    const other = await engine.otherResource();
    const runId = engine.upload([{ cmd: 'ok', timeout: 30 }], 'in/others', other.bucket);
    await engine.ended(runId);
    expect(await get('/v1/files/in/others')).toEqual({ key: 'in/others', started: [], led_to: [], made_by: [], set_aside: [] });
  });
});

describe('the bucket', () => {
  it('is browsed folder by folder and page by page, and a link downloads without credentials', async () => {
    const s3 = store.s3();
    for (const key of ['in/x/1 +%.txt', 'in/x/2.txt', 'in/top.txt'])
      await s3.send(new PutObjectCommand({ Bucket: engine.bucket, Key: key, Body: key }));
    expect(await get('/v1/files?prefix=in/')).toMatchObject({ files: [{ key: 'in/top.txt', size: 10 }], folders: ['in/x/'], next: null });
    const first = await get<{ files: { key: string }[]; next: string }>('/v1/files?prefix=in/x/&limit=1');
    const second = await get<{ files: { key: string }[]; next: null }>(
      `/v1/files?prefix=in/x/&limit=1&cursor=${encodeURIComponent(first.next)}`,
    );
    expect([...first.files, ...second.files].map(({ key }) => key)).toEqual(['in/x/1 +%.txt', 'in/x/2.txt']);
    const reply = await web.call('POST', '/v1/files/link', { body: { key: 'in/x/1 +%.txt' } });
    const { url } = (await reply.json()) as { url: string };
    const download = await fetch(url);
    expect(await download.text()).toBe('in/x/1 +%.txt');
    expect(download.headers.get('content-disposition')).toBe('attachment');
    const head = await s3.send(new GetObjectCommand({ Bucket: engine.bucket, Key: 'in/top.txt' }));
    expect(await head.Body?.transformToString()).toBe('in/top.txt');
  });
});

describe('an upload form', () => {
  const workflow = { title: 'Größe', run: [{ cmd: 'ok', timeout: 30 }] };
  const send = async (form: { url: string; fields: Record<string, string> }, changes: Record<string, string> = {}) => {
    const data = new FormData();
    for (const [name, value] of Object.entries({ ...form.fields, ...changes })) data.append(name, value);
    data.append('file', new Blob(['body']), 'x');
    return (await fetch(form.url, { method: 'POST', body: data })).status;
  };

  it('uploads a file with the workflow that was chosen for it, and with no other', async () => {
    const reply = await web.call('POST', '/v1/uploads', { body: { key: 'in/form.txt', workflow } });
    expect(reply.status).toBe(201);
    const form = (await reply.json()) as { url: string; fields: Record<string, string> };
    expect(await send(form)).toBe(204);
    const { Metadata } = await store.s3().send(new GetObjectCommand({ Bucket: engine.bucket, Key: 'in/form.txt' }));
    expect(JSON.parse(Metadata?.['ld_code'] ?? '')).toEqual(workflow);
    expect(await send(form, { 'x-amz-meta-ld_code': '{"run":[{"cmd":"evil"}]}' })).toBe(403);
    expect(await send(form, { 'x-amz-meta-ld_run': 'true' })).toBe(403);
  });

  it('without a workflow can run nothing', async () => {
    const form = (await (await web.call('POST', '/v1/uploads', { body: { key: 'in/plain.txt' } })).json()) as Parameters<typeof send>[0];
    expect(await send(form, { 'x-amz-meta-ld_code': '{"run":[{"cmd":"evil"}]}' })).toBe(403);
    expect(await send(form)).toBe(204);
  });

  it('is not made for a workflow that is broken or too large, or a key that is ours', async () => {
    const wrong: [object, number, string][] = [
      [{ key: 'in/x', workflow: { run: [] } }, 422, 'workflow_invalid'],
      [{ key: 'in/x', workflow: { run: [{ cmd: 'x'.repeat(2_100) }] } }, 422, 'workflow_too_large'],
      [{ key: 'in/x', workflow, run: true }, 400, 'request_invalid'],
      [{ key: '.autofiles/runs/x' }, 400, 'request_invalid'],
    ];
    for (const [body, status, title] of wrong) {
      const response = await web.call('POST', '/v1/uploads', { body });
      expect(response.status).toBe(status);
      expect(await response.json()).toMatchObject({ title });
    }
  });
});

describe('a task', () => {
  it('is shown with its own history and the command that follows its log', async () => {
    const runId = engine.upload([
      { cmd: 'ok', timeout: 30 },
      { cmd: 'ok', timeout: 30 },
    ]);
    const run = await engine.ended(runId);
    const details = await get<{ history: unknown[] }>(`/v1/tasks/${runId}.1.0`);
    expect(details).toMatchObject({ step: 2, task: { id: `${runId}.1.0`, state: 'succeeded' }, run: { id: runId, state: 'succeeded' } });
    expect(details.history).toEqual(run.history.filter(({ task }) => task === `${runId}.1.0`));
    for (const id of [`${runId}.2.0`, `${runId}.0.1`, runId, 'x']) expect((await web.call('GET', `/v1/tasks/${id}`)).status).toBe(404);
  });
});

it('shows plan, usage, budget, credentials and ledger of the resource', async () => {
  const runId = engine.upload([{ cmd: 'ok', timeout: 30 }]);
  await engine.ended(runId);
  const view = await get<ResourceView>('/v1/resource');
  expect(view).toMatchObject({ id: engine.resource, bucket: engine.bucket, paused: false, commands: 'any' });
  expect(view.usage.runs_24h).toBeGreaterThan(0);
  expect(view.plan.limits.concurrency).toBeGreaterThan(0);
  expect(JSON.stringify(view)).not.toContain('secret');
  const ledger = await get<LedgerView>('/v1/ledger');
  expect(ledger).toMatchObject({ resource: engine.resource });
  expect(ledger.decisions['run']).toBeGreaterThan(0);
});

describe('the feed of the resource', () => {
  const take = async (response: Response, until: (data: { id: string; state: string }) => boolean) => {
    const seen: { id: string; event: string; data: { id: string; state: string } }[] = [];
    for await (const { id, event, data } of eventsOf(response)) {
      seen.push({ id, event, data: JSON.parse(data) });
      if (event === 'run' && until(JSON.parse(data))) break;
    }
    return seen;
  };

  it('tells the states that runs come into as it happens, and goes on where a client was cut off', async () => {
    const stop = new AbortController();
    const open = await web.call('GET', '/v1/events', { signal: stop.signal });
    const reader = eventsOf(open);
    expect((await reader.next()).value).toMatchObject({ event: 'open' });
    const runId = engine.upload([{ cmd: 'ok', timeout: 30 }]);
    const states: string[] = [];
    const ids: string[] = [];
    for await (const { id, data } of reader) {
      const run = JSON.parse(data) as { id: string; state: string };
      if (run.id !== runId) continue;
      states.push(run.state);
      ids.push(id);
      if (run.state === 'succeeded') break;
    }
    stop.abort();
    expect(states).toEqual(['accepted', 'running', 'succeeded']);
    const again = await web.call('GET', '/v1/events', { headers: { 'last-event-id': ids[0] ?? '' } });
    const seen = await take(again, (run) => run.id === runId && run.state === 'succeeded');
    expect(seen.filter(({ event }) => event === 'run').map(({ data }) => data.state)).toEqual(['running', 'succeeded']);
  });

  it('says when events are forgotten, and refuses an id that is none of its own', async () => {
    const runId = engine.upload([{ cmd: 'ok', timeout: 30 }]);
    await engine.ended(runId);
    const again = await web.call('GET', '/v1/events', { headers: { 'last-event-id': '1-1' } });
    const seen = await take(again, (run) => run.id === runId && run.state === 'succeeded');
    expect(seen.map(({ event }) => event)).toContain('reset');
    expect((await web.call('GET', '/v1/events', { headers: { 'last-event-id': 'x' } })).status).toBe(400);
  });
});

describe('what was set aside', () => {
  const page = async (path: string) => {
    const cookie = await createSessions({ redis: engine.redis }).begin({ resource: engine.resource, by: 'sso', name: 'owner@example.com' });
    return await (await web.call('GET', path, { token: undefined, headers: { cookie: `autofiles=${cookie}` } })).text();
  };

  it('is listed with its reason, newest first, and shown by the overview and the file’s page', async () => {
    const key = 'in/too <many>.txt';
    await store.s3().send(new PutObjectCommand({ Bucket: engine.bucket, Key: key, Body: 'x', Metadata: { ld_code: '{"run":[]}' } }));
    const link = `/files/object?key=${encodeURIComponent(key)}`;
    expect(await page(link)).toContain('It carries <code>ld_code</code>; its event has not arrived yet');
    const note = { bucket: engine.bucket, version_id: 'v1' };
    await engine.runs.decide(0, engine.resource, 'quarantined', { ...note, key, reason: 'the day has had its 1,000 runs' });
    await engine.runs.decide(0, engine.resource, 'quarantined', { reason: 'no event', body: 'x' });
    await engine.runs.decide(0, 'another', 'quarantined', { ...note, key, reason: 'of another tenant' });
    const later = JSON.stringify({ ...note, key: 'in/other', reason: 'the bucket is not versioned' });
    await engine.redis.zadd(shardKeys(0).quarantine(engine.resource), Date.now() + 1_000, later);
    const { set_aside: listed } = await get<SetAsideList>('/v1/ledger/quarantined');
    expect(listed.map((one) => [one.key, one.version_id, one.reason])).toEqual([
      ['in/other', 'v1', 'the bucket is not versioned'],
      [key, 'v1', 'the day has had its 1,000 runs'],
    ]);
    const file = await get<FileHistory>(`/v1/files/${key.split('/').map(encodeURIComponent).join('/')}`);
    expect(file.set_aside).toEqual([listed[1]]);
    const own = await page(link);
    expect(own).toContain('the day has had its 1,000 runs');
    expect(own).not.toContain('the bucket is not versioned');
    const overview = await page('/');
    expect(overview).toContain('in/too &lt;many&gt;.txt');
    expect(overview).toContain('the bucket is not versioned');
  });

  it('does not hide an output of a run that is not known any more', async () => {
    const gone = 'r0-00000000000000000000.0.0';
    await store.s3().send(new PutObjectCommand({ Bucket: engine.bucket, Key: 'out/gone', Body: 'x', Metadata: { ld_task_id: gone } }));
    expect(await page('/files/object?key=out%2Fgone')).toContain(
      `<span class="mono">${gone}</span>, whose run is not known, or not any more`,
    );
  });
});
