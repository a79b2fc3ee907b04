// Every decision leaves a trace by which the sweep finds its object version decided.
import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readFigures } from '../../src/queues/figures.ts';
import { digestOf } from '../../src/queues/identity.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { openLayout, unchanged } from '../../src/queues/layout.ts';
import { openAccount, readLedger, trimAccount, writeLedger } from '../../src/queues/ledger.ts';
import type { VersionRef } from '../../src/schema/ledger-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const HOUR_MS = 3_600_000;
let redis: TestRedis;
let engine: TestEngine;
/** Whether the next decision breaks off after an output was delivered. */
let breaking = false;

beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(
    redis,
    {
      ok: async (dyno) => {
        await dyno.output(5);
        return dyno.accept();
      },
      silent: async (dyno) => await Promise.resolve(dyno.accept()),
    },
    {
      failpoint: (name) => {
        if (!breaking || name !== 'events.delivered') return;
        breaking = false;
        // its message comes again and again; in an outage it is not set aside for that, however long the test looks
        engine.cloud.headsDown = true;
        throw new Error('broken off');
      },
    },
  );
});
afterAll(async () => {
  await engine.stop();
  await redis.stop();
});

const missing = async (versions: readonly VersionRef[], since = Date.now() - HOUR_MS) =>
  await (await openAccount(engine.redis, engine.resource, unchanged(1), since)).missing(versions);
const decided = () => until('every event to be decided', () => engine.cloud.undeleted === 0);
const put = (body: string, metadata: Record<string, string>): VersionRef => {
  const key = `in/${randomUUID()}`;
  return { bucket: engine.bucket, key, versionId: engine.cloud.put(key, body, metadata) };
};

it('accounts for a run and for its output', async () => {
  const runId = engine.upload([{ cmd: 'ok', timeout: 10 }]);
  await engine.ended(runId);
  await decided();
  const saved = engine.cloud.saved.filter(({ bucket, key }) => bucket === engine.bucket && !key.startsWith('.autofiles/'));
  expect(saved.length).toBe(2);
  expect(await missing(saved)).toEqual([]);
});

it.each([
  ['a file without a workflow', 'x', {}],
  ['a workflow that is not valid', '{"run": 1}', { ld_run: 'true' }],
  ['an output of nowhere', 'x', { ld_task_id: 'r0-00000000000000000000.0.0' }],
  ['metadata that cannot be read', 'x', { ld_run: 'perhaps' }],
  ['both ld_run and ld_code', '{"run":[]}', { ld_run: 'true', ld_code: '{}' }],
])('accounts for %s', async (_name, body, metadata) => {
  const version = put(body, metadata);
  await decided();
  expect(await missing([version])).toEqual([]);
});

it('accounts for an output together with its delivery, and for one that starts a run not before that run', async () => {
  /** Saves an output whose decision breaks off after its delivery and stays so until S3 answers again. */
  const delivered = async (metadata: Record<string, string>): Promise<VersionRef> => {
    const runId = engine.upload([{ cmd: 'silent', timeout: 60 }]);
    await until('the launch', async () => (await engine.show(runId))?.history.some(({ what }) => what === 'launched'));
    await decided();
    breaking = true;
    const version = put('{"run":[{"cmd":"ok"}]}', { ld_task_id: `${runId}.0.0`, ...metadata });
    await until('its decision to be broken off', () => !breaking);
    await engine.ended(runId);
    return version;
  };
  const plain = await delivered({});
  expect(await missing([plain])).toEqual([]);
  engine.cloud.headsDown = false;
  await decided();
  const starting = await delivered({ ld_run: 'true' });
  expect(await missing([plain, starting])).toEqual([starting]);
  engine.cloud.headsDown = false;
  await engine.ended(engine.runIdOf(starting.key, starting.versionId));
  expect(await missing([plain, starting])).toEqual([]);
  await decided();
});

it('accounts for an object that was deleted before it was read', async () => {
  const key = `in/${randomUUID()}`;
  const versionId = randomUUID();
  engine.cloud.sendEvents([
    {
      eventVersion: '2.1',
      eventSource: 'aws:s3',
      eventName: 'ObjectCreated:Put',
      s3: { bucket: { name: engine.bucket }, object: { key, versionId } },
    },
  ]);
  await decided();
  expect(await missing([{ bucket: engine.bucket, key, versionId }])).toEqual([]);
});

it('finds a run again after the number of shards was raised, and lowered', async () => {
  const key = `in/${randomUUID()}`;
  const version = { bucket: engine.bucket, key, versionId: engine.cloud.put(key, '{"run":[{"cmd":"ok"}]}', { ld_run: 'true' }) };
  await decided();
  for (const wanted of [1, 7, 2]) {
    const layout = await openLayout({ redis: engine.redis, wanted, margin: 0 });
    expect(await (await openAccount(engine.redis, engine.resource, layout, 0)).missing([version]), `${wanted} shards`).toEqual([]);
  }
  // its output is a decision, too: none for the tests after this one to count
  await engine.ended(engine.runIdOf(version.key, version.versionId));
  await decided();
});

it('misses a version whose event was lost', async () => {
  const key = `in/${randomUUID()}`;
  const lost = { bucket: engine.bucket, key, versionId: engine.cloud.putSilently(key, 'x') };
  const seen = put('x', {});
  await decided();
  expect(await missing([lost, seen])).toEqual([lost]);
});

it('keeps eight bytes of each decision in one string an hour, and forgets the hours that are passed', async () => {
  const [seconds] = await engine.redis.time();
  const hour = Math.floor(Number(seconds) / 3600);
  const key = `${shardKeys(0).account(engine.resource)}:${hour}`;
  const before = await engine.redis.strlen(key);
  const version = put('x', {});
  await decided();
  expect(await engine.redis.strlen(key)).toBe(before + 8);
  expect(await engine.redis.pttl(key)).toBeGreaterThan(15 * 24 * HOUR_MS);
  await trimAccount(engine.redis, engine.resource, unchanged(1), (hour - 1) * HOUR_MS, (hour + 1) * HOUR_MS);
  expect(await missing([version])).toEqual([version]);
});

it('reads an account of millions of decisions in a few bytes for each', async () => {
  const [seconds] = await engine.redis.time();
  const resource = randomUUID();
  const key = `${shardKeys(0).account(resource)}:${Math.floor(Number(seconds) / 3600)}`;
  const version = { bucket: engine.bucket, key: 'in/one of many', versionId: randomUUID() };
  const other = { ...version, versionId: randomUUID() };
  const millions = 2;
  for (let i = 0; i < millions; i += 1) await engine.redis.append(key, randomBytes(8_000_000));
  await engine.redis.append(key, digestOf(version));
  const held = () => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = held();
  const account = await openAccount(engine.redis, resource, unchanged(1), 0);
  const taken = held() - before;
  expect(await account.missing([version, other])).toEqual([other]);
  expect(taken / (millions * 1_000_000)).toBeLessThan(40);
  await engine.redis.del(key);
}, 60_000);

it('shows what the last sweep found, and every decision counted', async () => {
  const resource = { id: engine.resource, bucket: engine.bucket };
  expect(await readLedger(engine.redis, { ...resource, id: 'never swept' }, 1)).toMatchObject({
    in_scope: 0,
    watermark: null,
    swept_at: null,
  });
  const oldestUnaccounted = { key: 'in/x', version_id: 'v', saved_at: '2026-01-01T00:00:00.000Z' };
  await writeLedger(engine.redis, engine.resource, {
    bucket: engine.bucket,
    inScope: 4,
    accountedFor: 2,
    unaccounted: 1,
    oldestUnaccounted,
    beforeAccount: 4,
    watermark: { at: 1_000, since: 0 },
    sweptAt: 2_000,
  });
  const figures = await readFigures(engine.redis, [0]);
  expect(figures.ledger).toMatchObject({ inScope: 4, accountedFor: 2, inFlight: 1, unaccounted: 1 });
  expect(figures.ledger.oldestSeconds).toBeGreaterThan(0);
  const ledger = await until('the outputs of all runs', async () => {
    const found = await readLedger(engine.redis, resource, 1);
    return found.decisions['output'] === 5 && found;
  });
  expect(ledger).toMatchObject({
    resource: engine.resource,
    in_scope: 4,
    accounted_for: 2,
    in_flight: 1,
    unaccounted: 1,
    oldest_unaccounted: oldestUnaccounted,
    before_account: 4,
    watermark: { at: '1970-01-01T00:00:01.000Z', since: '1970-01-01T00:00:00.000Z' },
    swept_at: '1970-01-01T00:00:02.000Z',
    epoch: 1,
    reexecuted: 0,
  });
  expect(ledger.decisions).toEqual({ run: 5, rejected: 2, output: 5, ignored: 4, quarantined: 2 });
});
