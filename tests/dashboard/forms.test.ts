// What the forms of the dashboard do without a script: orders that are sent twice, waiting that ends, and what comes back of one that is refused.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSessions } from '../../src/queues/sessions.ts';
import { createWebhooks } from '../../src/queues/webhooks.ts';
import { root, runStore, type TestStore } from '../store/running-store.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { createBucket } from '../support/store-bucket.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';

let server: TestRedis;
let store: TestStore;
let engine: TestEngine;
let web: TestWeb;
let cookie: string;
let csrf: string;

beforeAll(async () => {
  server = await startRedis();
  store = await runStore();
  engine = await startTestEngine(server, {
    ok: async (dyno) => {
      await dyno.output(5);
      return dyno.accept();
    },
    fails: (dyno) => {
      dyno.exit(5, 1);
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
  const secret = await createSessions({ redis: engine.redis }).begin({ resource: engine.resource, by: 'sso', name: 'owner@example.com' });
  cookie = `autofiles=${secret}`;
  csrf = createHash('sha256').update(`csrf\n${secret}`).digest('base64url');
});
afterAll(async () => {
  await web?.close();
  await engine?.stop();
  await store?.close();
  await server?.stop();
});

const get = async (path: string) => {
  const response = await web.call('GET', path, { token: undefined, headers: { cookie } });
  expect(response.status, path).toBe(200);
  return await response.text();
};
const post = async (path: string, fields: Readonly<Record<string, string>>, file?: File) => {
  const body = new FormData();
  for (const [name, value] of Object.entries({ csrf, ...fields })) body.append(name, value);
  if (file !== undefined) body.append('file', file);
  // as browsers send it: encoded first, so that its length is known
  const encoded = new Response(body);
  const bytes = await encoded.arrayBuffer();
  const headers = {
    cookie,
    host: '127.0.0.1',
    'content-type': encoded.headers.get('content-type') ?? '',
    'content-length': String(bytes.byteLength),
  };
  return await web.fetch(new Request(`http://127.0.0.1${path}`, { method: 'POST', body: bytes, headers }));
};
const nonceOf = (page: string) => /name="nonce" value="([^"]+)"/.exec(page)?.[1] ?? expect.fail('no nonce');
const task = (cmd: string) => ({ cmd, timeout: 30, retries: 0 });
/** A run that has ended, made of these commands. */
const ended = async (...commands: string[]) => {
  const id = engine.upload(commands.map(task));
  await engine.ended(id);
  return id;
};

describe('a retry', () => {
  const retry = async (id: string, fields: Readonly<Record<string, string>>) => {
    const answer = await post(`/runs/${id}/retry`, fields);
    expect(answer.status, await answer.clone().text()).toBe(303);
    return (answer.headers.get('location') ?? '').replace('/runs/', '');
  };

  it('that is sent twice from one page starts one run, and another one from another page', async () => {
    const id = await ended('fails');
    const page = await get(`/runs/${id}`);
    const order = { mode: 'failed', nonce: nonceOf(page) };
    const [first, second] = await Promise.all([retry(id, order), retry(id, order)]);
    expect(second).toBe(first);
    expect((await engine.ended(first)).again).toEqual({ of: id, how: 'failed' });
    expect(await retry(id, order)).toBe(first);
    expect(await retry(id, { ...order, nonce: nonceOf(await get(`/runs/${id}`)) })).not.toBe(first);
  });

  it('of another part, or with another workflow, is another one, from the same page too', async () => {
    const id = await ended('ok', 'fails');
    const nonce = nonceOf(await get(`/runs/${id}/again`));
    const edited = (cmd: string) => JSON.stringify({ run: [task('ok'), task(cmd)] });
    const orders = [
      { mode: 'failed' },
      { mode: 'run' },
      { mode: 'from', step: '1' },
      { mode: 'from', step: '2' },
      { mode: 'task', task: `${id}.0.0` },
      { mode: 'task', task: `${id}.1.0` },
      { mode: 'failed', workflow: edited('ok') },
      { mode: 'failed', workflow: edited('other') },
    ];
    const send = async () => {
      const runs: string[] = [];
      for (const order of orders) runs.push(await retry(id, { ...order, nonce }));
      return runs;
    };
    const runs = await send();
    expect(new Set(runs).size).toBe(orders.length);
    expect(await send()).toEqual(runs);
  });

  it('without its page’s word, or with one that no page has, is one of its own each time', async () => {
    const id = await ended('fails');
    const runs: string[] = [];
    for (const word of [{}, {}, { nonce: '' }, { nonce: '' }, { nonce: 'x'.repeat(65) }, { nonce: 'x'.repeat(65) }])
      runs.push(await retry(id, { mode: 'run', ...word }));
    expect(new Set(runs).size).toBe(6);
  });

  it('of several that is sent twice starts each once', async () => {
    const id = await ended('fails');
    const nonce = nonceOf(await get('/runs'));
    const send = async () => {
      const text = await (await post('/runs/bulk', { action: 'retry', id, nonce })).text();
      return /<td><a href="\/runs\/([^"]+)" class="mono">[^<]+<\/a><\/td><\/tr>/.exec(text)?.[1] ?? expect.fail(text);
    };
    const first = await send();
    expect(await send()).toBe(first);
    expect((await engine.ended(first)).again?.of).toBe(id);
  });

  it('of what did not succeed is offered only where something did not', async () => {
    const [fine, failed] = [await ended('ok'), await ended('ok', 'fails')];
    expect(await get(`/runs/${failed}`)).toContain('<b>What did not succeed</b>');
    expect(await get(`/runs/${fine}`)).not.toContain('What did not succeed');
    expect(await get(`/runs/${failed}/again`)).toContain('<b>What did not succeed</b>');
    expect(await get(`/runs/${fine}/again`)).not.toContain('What did not succeed');
  });

  it('of a run in which all succeeded runs what an edited workflow adds, and nothing else', async () => {
    const id = await ended('ok');
    expect(await get(`/runs/${id}/again`)).toContain('<b>What an edited workflow adds</b>');
    const again = await retry(id, { mode: 'failed', workflow: JSON.stringify({ run: [task('ok'), task('ok')] }) });
    expect((await engine.ended(again)).state).toBe('succeeded');
    expect(engine.cloud.postsOf(again).map(({ taskId }) => taskId)).toEqual([`${again}.1.0`]);
  });
});

describe('a page that waits', () => {
  const ago = (ms: number) => String(Date.now() - ms);

  it('for a file’s run does so for half a minute, and then says where to look', async () => {
    const path = `/runs/${engine.runIdOf('in/a b.txt', 'v1')}`;
    expect(await get(`${path}?saved=${ago(1_000)}`)).toContain('data-again');
    for (const saved of [ago(31_000), ago(-31_000), '1', 'x']) {
      const page = await get(`${path}?${new URLSearchParams({ saved, key: 'in/a b.txt', version: 'v1' })}`);
      expect(page).not.toContain('data-again');
      expect(page).toContain('no run has begun');
      expect(page).toContain('href="/files/object?key=in%2Fa+b.txt&amp;version=v1"');
    }
  });

  it('is told by an upload when and what was saved', async () => {
    const answer = await post('/files/upload', { key: 'in/', how: 'run' }, new File(['{"run": [{"cmd": "ok"}]}'], 'a b.json'));
    const { pathname, searchParams } = new URL(answer.headers.get('location') ?? '', 'http://x');
    expect(pathname).toBe(`/runs/${engine.runIdOf('in/a b.json', searchParams.get('version') ?? '')}`);
    expect(searchParams.get('key')).toBe('in/a b.json');
    expect(Math.abs(Number(searchParams.get('saved')) - Date.now())).toBeLessThan(10_000);
  });

  it('for a webhook’s test does so for a minute, and knows it among the deliveries since', async () => {
    const added = await web.call('POST', '/v1/webhooks', { body: { url: 'https://example.com/hook' } });
    const { id } = (await added.json()) as { id: string };
    const where = new URL((await post('/settings/webhooks/ping', { id })).headers.get('location') ?? '', 'http://x');
    expect(await get(`${where.pathname}${where.search}`)).toContain('The test is on its way');
    const ping = where.searchParams.get('ping') ?? '';
    const late = `/settings?${new URLSearchParams({ ping, at: ago(61_000) })}`;
    expect(await get(late)).not.toContain('data-again');
    expect(await get(late)).toContain('Nothing was heard of the test');
    expect(await get(`/settings?ping=${ping}`)).toContain('Nothing was heard of the test');
    const webhooks = createWebhooks({
      redis: engine.redis,
      sealer: engine.options.sealer,
      shards: () => 1,
      now: Date.now,
      onError: () => {},
    });
    const delivery = { webhook: id, at: new Date().toISOString(), attempt: 1, run: null, status: 204, error: null, ms: 5 };
    await webhooks.note(engine.resource, { ...delivery, id: ping });
    for (let i = 0; i < 40; i += 1) await webhooks.note(engine.resource, { ...delivery, id: `later-${i}` });
    await webhooks.close();
    expect(await get(late)).toContain('The test was taken');
    expect((await get(late)).match(/later-\d+/g)).toHaveLength(30);
  });
});

it('an upload that is refused comes back as it was chosen', async () => {
  for (const how of ['code', 'run', 'none']) {
    const answer = await post(
      '/files/upload',
      { key: '.autofiles/x', how, workflow: '{"run": [{"cmd": "ok"}]}' },
      new File(['x'], 'a.txt'),
    );
    expect(answer.status, await answer.clone().text()).toBe(422);
    const chosen = [...(await answer.text()).matchAll(/name="how" value="(\w+)" checked/g)].map((found) => found[1]);
    expect(chosen).toEqual([how]);
  }
});

it('a form whose length is not said beforehand, as through some proxies, is taken like any other, a file in it, too', async () => {
  const serving = createAdaptorServer({ fetch: web.fetch });
  serving.listen(0, '127.0.0.1');
  await once(serving, 'listening');
  // a listening TCP server has an AddressInfo
  const url = `http://127.0.0.1:${(serving.address() as AddressInfo).port}`;
  const send = async (path: string, fields: Readonly<Record<string, string | File>>) => {
    const form = new FormData();
    for (const [name, value] of Object.entries({ csrf, ...fields })) form.append(name, value);
    const encoded = new Response(form);
    const headers = { cookie, 'content-type': encoded.headers.get('content-type') ?? '' };
    // a stream is sent in chunks
    return await fetch(`${url}${path}`, { method: 'POST', headers, body: encoded.body, duplex: 'half', redirect: 'manual' } as RequestInit);
  };
  try {
    const saved = await send('/files/upload', { key: 'in/', how: 'none', file: new File(['in chunks'], 'chunked.txt') });
    expect(saved.status, await saved.text()).toBe(303);
    expect(await get(saved.headers.get('location') ?? '')).toContain('in chunks');
    const form = await send('/files/form', { key: 'in/', how: 'none', name: 'a.txt', type: 'text/plain' });
    expect(await form.json()).toMatchObject({ key: 'in/a.txt', starts: false });
    const forged = await send('/files/upload', { csrf: 'guess', key: 'in/', how: 'none', file: new File(['x'], 'forged.txt') });
    expect(forged.status).toBe(403);
  } finally {
    serving.close();
    if ('closeAllConnections' in serving) serving.closeAllConnections();
  }
});

it('every page says whose it is', async () => {
  for (const path of ['/', '/runs', '/files', '/settings']) {
    const page = await get(path);
    expect(page).toMatch(new RegExp(`<body [^>]*data-resource="${engine.resource}"`));
    expect(page).toMatch(/<span class="app"[^>]*><span class="vh">App <\/span>app<\/span>/);
  }
});
