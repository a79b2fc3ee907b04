// An audit, and a backfill, of a bucket that is too large for one answer, as their clients see them.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createApi } from '../../src/cli/api-client.ts';
import type { ObjectStore } from '../../src/clients/ports.ts';
import type { LedgerAudit } from '../../src/schema/ledger-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, type Script } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

const FILES = 95;
const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;

/** Whatever a backfill starts. */
const ok: Script = async (dyno) => {
  await dyno.output(5);
  return dyno.accept();
};

let redis: TestRedis;
let engine: TestEngine;
let web: TestWeb;
let server: ReturnType<typeof createAdaptorServer>;
let url: string;
/** Lists under way, of the bucket alone, and the most there were at the same time. */
let lists = 0;
let most = 0;
/** What each list waits for. */
let gate: Promise<void> | undefined;
const ended: unknown[] = [];
/** Which keys each page that was listed of the bucket was of. */
const prefixes: (string | undefined)[] = [];

beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, { ok }, { ledgerMs: 3_600_000, lateMs: 0 });
  await until('the account to begin', () => engine.cloud.objects.has(`${ARCHIVE_BUCKET}/watermarks/${engine.resource}.json`));
  const versions: ObjectStore['versions'] = async (bucket, page = {}) => {
    prefixes.push(page.prefix);
    lists += 1;
    most = Math.max(most, lists);
    try {
      if (gate !== undefined) {
        const aborted = new Promise((_, reject) => page.signal?.addEventListener('abort', () => reject(new Error('aborted'))));
        await Promise.race([gate, aborted]);
      }
      // a page of the bucket's list has two versions here
      return await engine.cloud.store.versions(bucket, { ...page, limit: 2 });
    } catch (error) {
      ended.push(error);
      throw error;
    } finally {
      lists -= 1;
    }
  };
  const env = { AUTOFILES_ARCHIVE_BUCKET: ARCHIVE_BUCKET, AUTOFILES_LATE_MS: '0' };
  web = await openTestWeb(redis, { resource: engine.resource, store: { ...engine.cloud.store, versions }, env });
  server = createAdaptorServer({ fetch: web.fetch });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (let i = 0; i < FILES; i += 1) engine.cloud.put(`in/${i}`, 'x');
  await until('every event to be decided', () => engine.cloud.undeleted === 0, 30_000);
});
afterAll(async () => {
  server?.close();
  await web?.close();
  await engine?.stop();
  await redis?.stop();
});
beforeEach(() => {
  most = 0;
  gate = undefined;
});

const audit = async (body?: object) => {
  const answer = await web.call('POST', '/v1/ledger/audit', body === undefined ? {} : { body });
  return { status: answer.status, body: (await answer.json()) as LedgerAudit };
};
const command = async (...given: string[]) => {
  const env = { PATH: process.env['PATH'], AUTOFILES_URL: url, AUTOFILES_TOKEN: web.token };
  return await new Promise<{ status: unknown; said: string }>((resolve) => {
    const args = ['--disable-warning=ExperimentalWarning', MAIN, ...given];
    execFile(process.execPath, args, { env, timeout: 30_000 }, (error, stdout, stderr) =>
      resolve({ status: error?.code ?? 0, said: stdout + stderr }),
    );
  });
};

it('answers with twenty pages of the list, and where to go on', async () => {
  const { body: first } = await audit();
  expect(first).toMatchObject({ in_scope: 40, accounted_for: 40, missing: 0 });
  const { body: second } = await audit({ cursor: first.next });
  const { body: third } = await audit({ cursor: second.next });
  expect([second.in_scope, third.in_scope, third.next]).toEqual([40, FILES - 80, null]);
});

it('is put together by the command, which ends with status 1 when the last page misses a file', async () => {
  expect(await command('audit')).toMatchObject({ status: 0, said: expect.stringMatching(/in scope +95\n/) });
  engine.cloud.putSilently('in/lost', 'x');
  const heard: number[] = [];
  const found = await createApi({ url, token: web.token }).audit(({ in_scope }) => heard.push(in_scope));
  expect(found).toMatchObject({
    in_scope: FILES + 1,
    accounted_for: FILES,
    in_flight: 0,
    missing: 1,
    oldest_unaccounted: { key: 'in/lost' },
    next: null,
  });
  expect(heard).toEqual([40, 80]);
  expect(await command('audit')).toMatchObject({ status: 1, said: expect.stringMatching(/missing +1\n/) });
});

it('lists a bucket for one caller at a time, and for all of them in the end', async () => {
  const found = await Promise.all(Array.from({ length: 4 }, async () => (await audit()).body.in_scope));
  expect(found).toEqual([40, 40, 40, 40]);
  expect(most).toBe(1);
});

it('ends when its client is gone', async () => {
  const open = Promise.withResolvers<void>();
  gate = open.promise;
  ended.length = 0;
  const client = new AbortController();
  const headers = { authorization: `Bearer ${web.token}` };
  const call = fetch(`${url}/v1/ledger/audit`, { method: 'POST', headers, signal: client.signal }).catch(() => 'gone');
  await until('a list under way', () => lists === 1);
  client.abort();
  expect(await call).toBe('gone');
  await until('it to have ended', () => lists === 0 && ended.length === 1);
  gate = undefined;
  // and the next one need not wait for it
  expect((await audit()).status).toBe(200);
  open.resolve();
});

it('is followed by a backfill of the command, which lists page by page what would run, and without --dry-run runs each file once', async () => {
  const runs = ['a', 'b', 'c'].map((name) => {
    const key = `back/${name}`;
    const versionId = engine.cloud.putSilently(key, JSON.stringify({ run: [{ cmd: 'ok', timeout: 30 }] }), { ld_run: 'true' });
    return engine.runIdOf(key, versionId);
  });
  const backfill = async (...more: string[]) => await command('backfill', '--prefix', 'back/', ...more);
  prefixes.length = 0;
  const dry = await backfill('--dry-run');
  expect(prefixes).toEqual(['back/', 'back/']);
  for (const runId of runs) expect(await engine.show(runId), runId).toBeUndefined();
  expect(dry).toMatchObject({ status: 0, said: expect.stringContaining('3 would run; leave --dry-run out to run them') });
  expect(runs.filter((runId) => !dry.said.includes(runId))).toEqual([]);
  expect(await backfill()).toMatchObject({ status: 0, said: expect.stringContaining('3 run now') });
  for (const runId of runs) expect((await engine.ended(runId)).state).toBe('succeeded');
  expect(await backfill()).toMatchObject({ status: 0, said: expect.stringContaining('0 run now') });
  expect(engine.cloud.posts.map(({ taskId }) => taskId).toSorted()).toEqual(runs.map((runId) => `${runId}.0.0`).toSorted());
});
