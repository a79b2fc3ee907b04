// A worker raises the number of shards while web runs: whatever web does with runs, it does with those of the new shards, too.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { onePerShard } from '../../src/cli/web-shards.ts';
import type { ObjectStore } from '../../src/clients/ports.ts';
import { connect } from '../../src/queues/connection.ts';
import { QUEUES, shardKeys, webhookKeys } from '../../src/queues/keys.ts';
import { openLayout } from '../../src/queues/layout.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { parseRunId } from '../../src/schema/ids.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

/** Milliseconds: far less than a heartbeat, by which a stream that no ring reaches reads on after all. */
const SOON_MS = 5_000;
const SHARDS = 4;
const OPERATOR = { authorization: `Basic ${Buffer.from('operator:operators-password').toString('base64')}` };

let server: TestRedis;
let redis: ReturnType<typeof connect>;
let web: TestWeb;
let http: ReturnType<typeof createAdaptorServer>;
let base: string;

/** When they were saved: what is saved a minute from the raise on is in the new shards. */
const modifiedAt = Date.now() + 600_000;
/** Versions of a bucket, none of which had a run. */
const files = Array.from({ length: 12 }, (_, i) => ({ key: `in/${i}`, versionId: `v${i}`, etag: 'e', size: 1, modifiedAt }));
const store = {
  versions: async () => await Promise.resolve({ versions: files }),
  head: async (_bucket: string, _key: string, versionId: string) =>
    await Promise.resolve({ versionId, etag: 'e', size: 1, modifiedAt, metadata: { ld_code: '{"run":[{"cmd":"work"}]}' } }),
} as unknown as ObjectStore;

beforeAll(async () => {
  server = await startRedis();
  redis = connect(server.cluster === undefined ? { socket: server.socket } : { cluster: server.cluster }, () => {});
  const first = await openLayout({ redis, wanted: 1 });
  web = await openTestWeb(server, { env: { AUTOFILES_OPERATOR_PASSWORD: 'operators-password' }, store });
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  await resources.put({ id: web.resource, app: 'app', bucket: 'ld-private-grown', region: 'us-east-1', plan: 'test' });
  http = createAdaptorServer({ fetch: web.fetch });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  base = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const seen = seedId('seen', SHARDS - 1);
  await seedRuns(redis, [{ runId: seen, resource: web.resource }]);
  await first.change(SHARDS);
  const listed = async () => JSON.stringify(await (await call('GET', '/v1/runs')).json()).includes(seen);
  // it looks every ten seconds
  await until('web to have seen the new shards', listed);
});
afterAll(async () => {
  http?.close();
  await web?.close();
  redis?.disconnect();
  await server?.stop();
});

const call = async (method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) =>
  await fetch(`${base}${path}`, {
    method,
    headers: { authorization: `Bearer ${web.token}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

it('a stream of a run of a new shard tells of it at once', async () => {
  const runId = seedId('streamed', 2);
  await seedRuns(redis, [{ runId, resource: web.resource }]);
  const stream = await call('GET', `/v1/runs/${runId}/events`);
  let heard = '';
  const reading = (async () => {
    for await (const chunk of stream.body ?? []) heard += Buffer.from(chunk).toString();
  })();
  await until('what it had', () => heard.includes('accepted'));
  expect((await call('POST', `/v1/runs/${runId}/cancel`)).status).toBe(200);
  await until('its end', () => heard.includes('event: end'), SOON_MS);
  await reading;
});

it('operators see the queues of all shards, and find in each what it has', async () => {
  await redis.zadd(shardKeys(2).delayed, 1, 'none');
  const board = async () => (await (await call('GET', '/admin/queues/api/queues', undefined, OPERATOR)).json()) as BoardAnswer;
  const all = await until(
    'all of them',
    async () => {
      const { queues } = await board();
      return queues.length === SHARDS * Object.keys(QUEUES).length && queues;
    },
    SOON_MS,
  );
  expect(new Set(all.map(({ displayName }) => displayName)).size).toBe(all.length);
  expect(all.filter(({ counts }) => counts['delayed'] === 1).map(({ displayName }) => displayName)).toEqual(['task of shard 2']);
});
interface BoardAnswer {
  readonly queues: readonly { readonly name: string; readonly displayName: string; readonly counts: Readonly<Record<string, number>> }[];
}

it('a webhook that is added is not told of what ended before in a new shard', async () => {
  const ended = seedId('ended', 2);
  await seedRuns(redis, [{ runId: ended, resource: web.resource, rejected: 'no workflow' }]);
  expect((await call('POST', '/v1/webhooks', { url: 'https://example.com/' })).status).toBe(201);
  const [[last] = ['']] = await redis.xrevrange(shardKeys(2).feed(web.resource), '+', '-', 'COUNT', 1);
  expect(await redis.hget(webhookKeys(web.resource).places, '2')).toBe(last);
});

it('a retry of a run of a new shard is handed to who plans there', async () => {
  const runId = seedId('retried', 2);
  await seedRuns(redis, [{ runId, resource: web.resource }]);
  await call('POST', `/v1/runs/${runId}/cancel`);
  const { id } = (await (await call('POST', `/v1/runs/${runId}/retry`, { mode: 'run' })).json()) as { id: string };
  expect(parseRunId(id)?.shard).toBe(2);
  expect(await redis.exists(shardKeys(2).job(QUEUES.plan, id))).toBe(1);
});

it('a backfill runs files of new shards', async () => {
  const answer = await call('POST', '/v1/ledger/backfill', { dry_run: false });
  expect(answer.status).toBe(200);
  const { versions } = (await answer.json()) as { versions: readonly { run: string }[] };
  expect(versions).toHaveLength(files.length);
  const shards = new Set(versions.map(({ run }) => parseRunId(run)?.shard));
  expect(shards.size).toBeGreaterThan(1);
  for (const { run } of versions) expect(await redis.hget(shardKeys(parseRunId(run)?.shard ?? 0).run(run), 'state')).toBe('running');
});

it('what Redis did not answer in time is closed and opened anew', async () => {
  let shards = 1;
  let away = true;
  const opened: number[] = [];
  const closed: number[] = [];
  const planners = onePerShard(
    () => shards,
    (shard) => {
      opened.push(shard);
      return {
        shard,
        ready: async () => await (away && shard === 2 ? Promise.reject(new Error('Command timed out')) : Promise.resolve()),
        close: async () => await Promise.resolve(closed.push(shard)),
      };
    },
  );
  shards = 3;
  await expect(planners.grow()).rejects.toThrow('Command timed out');
  expect([planners.all.length, closed]).toEqual([1, [1, 2]]);
  away = false;
  await planners.grow();
  await planners.grow();
  expect(planners.all.map(({ shard }) => shard)).toEqual([0, 1, 2]);
  expect(opened).toEqual([0, 1, 2, 1, 2]);
});
