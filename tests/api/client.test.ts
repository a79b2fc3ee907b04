// The commands' client over a real connection: what it asks, what it makes of refusals, and a stream that is cut.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createAdaptorServer } from '@hono/node-server';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Api, createApi } from '../../src/cli/api-client.ts';
import { openWebApp } from '../../src/cli/web-app.ts';
import { readConfig } from '../../src/schema/config.ts';
import type { HistoryEntry } from '../../src/schema/run-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
let redis: TestRedis;
let engine: TestEngine;
let web: Awaited<ReturnType<typeof openWebApp>>;
let server: ReturnType<typeof createAdaptorServer>;
let url: string;
let api: Api;

beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, {
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
  web = await openWebApp(
    readConfig({
      AUTOFILES_MODE: 'test',
      AUTOFILES_REDIS_SOCKET: redis.socket,
      AUTOFILES_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
      AUTOFILES_RESOURCE: engine.resource,
      AUTOFILES_API_TOKEN: 'af_test',
    }),
    quiet,
  );
  server = createAdaptorServer({ fetch: web.app.fetch });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  api = createApi({ url, token: 'af_test' });
});

afterAll(async () => {
  server?.close();
  if (server !== undefined && 'closeAllConnections' in server) server.closeAllConnections();
  await web?.close();
  await engine?.stop();
  await redis?.stop();
});

/** The command, as somebody types it; what it printed. */
async function autofiles(...words: string[]): Promise<{ stdout: string; stderr: string }> {
  const env = { PATH: process.env['PATH'], AUTOFILES_URL: url, AUTOFILES_TOKEN: 'af_test' };
  return await promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...words], { env });
}

const cut = () => 'closeAllConnections' in server && server.closeAllConnections();

it('lists by several states, retries and cancels', async () => {
  const fine = engine.upload([{ cmd: 'ok' }]);
  const failed = engine.upload([{ cmd: 'fails', retries: 0 }]);
  const going = engine.upload([{ cmd: 'silent', timeout: 60 }]);
  await Promise.all([engine.ended(fine), engine.ended(failed)]);
  const ids = (await api.runs({ state: ['succeeded', 'failed'], limit: 10 })).map(({ id }) => id);
  expect(ids.sort()).toEqual([fine, failed].sort());
  const again = await api.retry(failed, { mode: 'failed' }, 'once more');
  expect((await engine.ended(again)).again).toEqual({ of: failed, how: 'failed' });
  expect(await api.cancel(going)).toMatchObject({ id: going });
  expect((await engine.ended(going)).state).toBe('cancelled');
});

it('gives an order again whose answer was lost, which starts one run', async () => {
  const key = 'in/given-twice';
  const failed = engine.upload([{ cmd: 'fails', retries: 0 }], key);
  await engine.ended(failed);
  const keys: (string | null)[] = [];
  const away = { title: 'redis_unavailable', status: 503, detail: 'Redis does not answer.' };
  const lossy = createAdaptorServer({
    fetch: async (request) => {
      const answer = await web.app.fetch(request);
      if (request.method === 'POST') keys.push(request.headers.get('idempotency-key'));
      return keys.length === 1 ? Response.json(away, { status: 503, headers: { 'content-type': 'application/problem+json' } }) : answer;
    },
  });
  lossy.listen(0, '127.0.0.1');
  await once(lossy, 'listening');
  try {
    const access = { PATH: process.env['PATH'], AUTOFILES_URL: `http://127.0.0.1:${(lossy.address() as AddressInfo).port}` };
    const words = ['--disable-warning=ExperimentalWarning', MAIN, 'runs:retry', failed];
    const { stdout } = await promisify(execFile)(process.execPath, words, { env: { ...access, AUTOFILES_TOKEN: 'af_test' } });
    expect(keys).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/), keys[0]]);
    const started = (await api.runs({ limit: 100 })).filter(({ id, trigger }) => trigger.key === key && id !== failed);
    expect(started.map(({ id }) => id)).toEqual([stdout.trim()]);
  } finally {
    lossy.close();
    if ('closeAllConnections' in lossy) lossy.closeAllConnections();
  }
});

it('throws the server’s own code and words, each once', async () => {
  const missing = 'r0-00000000000000000000';
  await expect(api.run(missing)).rejects.toMatchObject({
    code: 'not_found',
    message: `There is no such thing. Found no run ${missing}.`,
  });
  await expect(createApi({ url, token: 'wrong' }).resource()).rejects.toMatchObject({ code: 'unauthorized' });
  await expect(api.runs({ since: 'yesterday' })).rejects.toMatchObject({ code: 'request_invalid' });
  await expect(createApi({ url: 'http://127.0.0.1:1', token: 'x' }).resource()).rejects.toMatchObject({ code: 'not_running' });
});

it('lists what was set aside, with the reasons', async () => {
  expect(await autofiles('quarantined')).toEqual({ stdout: '', stderr: 'nothing was set aside\n' });
  const entry = { bucket: engine.bucket, key: 'in/one file', version_id: 'v1', reason: 'the bucket is not versioned' };
  await engine.runs.decide(0, engine.resource, 'quarantined', entry);
  const { stdout, stderr } = await autofiles('quarantined');
  expect(stdout).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z {2}in\/one file {2}v1 {2}the bucket is not versioned\n$/);
  expect(stderr).toBe('1 set aside\n');
  const { key, version_id, reason } = entry;
  expect(JSON.parse((await autofiles('quarantined', '--json')).stdout)).toEqual([
    { key, version_id, reason, at: expect.any(String) as string },
  ]);
});

it('goes on with a stream that was cut where it was: every entry once, in order, to the end', async () => {
  const id = engine.upload([{ cmd: 'silent', timeout: 60 }, { cmd: 'ok' }]);
  await until('the launch', async () => ((await engine.show(id))?.history.length ?? 0) > 2);
  const seen: HistoryEntry[] = [];
  await api.follow(
    id,
    (entry) => {
      seen.push(entry);
      // the output that ends the wait comes only after the cut
      if (entry.what === 'launched' && entry.task === `${id}.0.0`) {
        cut();
        engine.cloud.put('out/late', 'proof', { ld_task_id: `${id}.0.0` });
      }
    },
    new AbortController().signal,
  );
  expect(seen).toEqual((await engine.show(id))?.history);
  expect(seen.map(({ n }) => n)).toEqual(seen.map((_, i) => i + 1));
});
