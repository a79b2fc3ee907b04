// Orders that come again after Redis has lost data: what they start may have been launched before, and then has other numbers.
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../src/clients/ports.ts';
import { STORE_KEY, shardKeys } from '../../src/queues/keys.ts';
import { createStoreEpoch } from '../../src/queues/store-epoch.ts';
import type { BackfillPage } from '../../src/schema/ledger-view.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

let redis: TestRedis;
let engine: TestEngine;
let web: TestWeb;
let of: string;

beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(
    redis,
    {
      ok: async (dyno) => {
        await dyno.output(5);
        return dyno.accept();
      },
    },
    { ledgerMs: 3_600_000, lateMs: 0 },
  );
  web = await openTestWeb(redis, {
    resource: engine.resource,
    store: engine.cloud.store,
    env: { AUTOFILES_ARCHIVE_BUCKET: ARCHIVE_BUCKET },
  });
  await until('the account to begin', () => engine.cloud.objects.has(`${ARCHIVE_BUCKET}/watermarks/${engine.resource}.json`));
  of = engine.upload([{ cmd: 'ok', timeout: 30 }]);
  await engine.ended(of);
});
afterAll(async () => {
  await web?.close();
  await engine?.stop();
  await redis?.stop();
});

/** As a loss leaves the store: in its next epoch, which began so many milliseconds ago. */
const lost = async (ago: number) => await engine.redis.hset(STORE_KEY, 'epoch', 2, 'since', Date.now() - ago);
const retry = async (key?: string): Promise<string> => {
  const headers = key === undefined ? {} : { 'idempotency-key': key };
  const response = await web.call('POST', `/v1/runs/${of}/retry`, { body: { mode: 'run' }, headers });
  return ((await response.json()) as { id: string }).id;
};
const attempts = (runId: string) => engine.cloud.postsOf(runId).map(({ attempt }) => attempt);

it('a retry that may be a repeated one has attempts of the epoch', async () => {
  await lost(60_000);
  const [repeatable, single] = [await retry(randomUUID()), await retry()];
  for (const runId of [repeatable, single]) expect((await engine.ended(runId)).state).toBe('succeeded');
  expect(attempts(repeatable)).toEqual([101]);
  expect(attempts(single)).toEqual([1]);
});

it('a retry that ended before the loss is not run again', async () => {
  await lost(60_000);
  const key = randomUUID();
  const runId = await retry(key);
  await engine.ended(runId);
  await until('it to be archived', () => engine.cloud.objects.has(`${ARCHIVE_BUCKET}/runs/${runId}.json`));
  const keys = shardKeys(0);
  await engine.redis.del(keys.run(runId), keys.history(runId), keys.document(runId));
  expect(await retry(key)).toBe(runId);
  expect(await engine.show(runId)).toBeUndefined();
  expect(await (await web.call('GET', `/v1/runs/${runId}`)).json()).toMatchObject({ id: runId, state: 'succeeded' });
});

it('days after a loss nobody repeats an order of before it', async () => {
  await lost(2 * 86_400_000);
  const runId = await retry(randomUUID());
  await engine.ended(runId);
  expect(attempts(runId)).toEqual([1]);
});

it.each([
  ['a file of before the loss that is backfilled has attempts of the epoch', -1_000],
  // by a store whose clock is ahead of Redis'
  ['a file that was saved seconds after it that is backfilled has attempts of the epoch', 3_000],
])('%s', async (_name, ago) => {
  const workflow = JSON.stringify({ run: [{ cmd: 'ok', timeout: 30 }] });
  const key = `in/${randomUUID()}`;
  engine.cloud.putSilently(key, workflow, { ld_run: 'true' });
  await lost(ago);
  const { versions } = (await (await web.call('POST', '/v1/ledger/backfill', { body: { dry_run: false } })).json()) as BackfillPage;
  expect(versions.map((version) => version.key)).toEqual([key]);
  const runId = versions[0]?.run ?? '';
  expect((await engine.ended(runId)).state).toBe('succeeded');
  expect(attempts(runId)).toEqual([101]);
});

it.each(['is cancelled', 'took too long'])(
  'a run that %s before a recovery has looked at it has its forgotten dynos stopped',
  async (what) => {
    const timeout = what === 'took too long' ? 1 : 600;
    const parsed = parseWorkflow(JSON.stringify({ timeout, run: [{ cmd: 'ok', timeout: 30 }] }));
    if (!parsed.ok) throw new Error('expected a workflow');
    const runId = `r0-${timeout.toString(36).padStart(20, '0')}`;
    const dyno = { id: runId, name: 'run.9999', command: `ok # ${runId}.0.0/1`, state: 'up', size: 'basic', type: 'run' };
    engine.cloud.dynos.set(runId, { ...dyno, createdAt: Date.now() });
    const { redis: connection, resource, bucket } = engine;
    await lost(60_000);
    await createStoreEpoch({ redis: connection, shards: () => 1 }).announce(3, Date.now());
    const trigger = { bucket, key: 'in/forgotten', versionId: runId, etag: 'e', size: 1 };
    // as Redis came back: accepted, and launched after that
    await engine.runs.accept({ ...parsed, runId, resource, trigger, cap: 1_000, depth: 0 });
    if (timeout > 1) expect(await (await web.call('POST', `/v1/runs/${runId}/cancel`)).json()).toMatchObject({ state: 'cancelling' });
    await until('its dyno stopped', () => engine.cloud.stopped.includes(runId), 30_000);
    expect((await engine.ended(runId)).state).toBe(timeout > 1 ? 'cancelled' : 'failed');
    await connection.hdel(STORE_KEY, 'coming');
  },
  60_000,
);

describe('while what Redis has lost is put back, and all runs were looked at', () => {
  const ends: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  /** An engine of the test's own. `loses`: Redis is emptied, and the last witness before the next epoch waits until `open`. */
  async function start() {
    const server = await startRedis();
    ends.push(server.stop);
    const launched = new Set<string>();
    const own = await startTestEngine(
      server,
      {
        ok: async (dyno) => {
          await dyno.output(5);
          return dyno.accept();
        },
        /** Runs on, the first time that it is launched. */
        forgotten: async (dyno) => {
          if (launched.has(dyno.post.taskId)) await dyno.output(5);
          launched.add(dyno.post.taskId);
          return dyno.accept();
        },
      },
      { ledgerMs: 3_600_000, lateMs: 0 },
    );
    ends.push(own.stop);
    const { cloud, resource } = own;
    const other = await openTestWeb(server, { resource, store: cloud.store, env: { AUTOFILES_ARCHIVE_BUCKET: ARCHIVE_BUCKET } });
    ends.push(other.close);
    const open = Promise.withResolvers<void>();
    const waits = Promise.withResolvers<void>();
    ends.push(open.resolve);
    const put = cloud.store.put;
    const gated: ObjectStore['put'] = async (bucket, key, body, details) => {
      const { epoch, recovering } = key === 'store.json' ? JSON.parse(String(body)) : {};
      if (epoch === 2 && !recovering) {
        waits.resolve();
        await open.promise;
      }
      return await put(bucket, key, body, details);
    };
    Object.assign(cloud.store, { put: gated });
    for (const name of [`watermarks/${resource}.json`, `resources/${resource}.json`, 'store.json'])
      await until(name, () => cloud.objects.has(`${ARCHIVE_BUCKET}/${name}`));
    const loses = async () => {
      await server.wipe();
      await waits.promise;
    };
    const launches = (runId: string) => cloud.postsOf(runId).map(({ attempt }) => attempt);
    return { ...own, web: other, loses, open: open.resolve, launches };
  }

  it('a retry that comes again is launched under a number that was not used', async () => {
    const own = await start();
    const done = own.upload([{ cmd: 'ok', timeout: 30 }]);
    await own.ended(done);
    await until('it to be archived', () => own.cloud.objects.has(`${ARCHIVE_BUCKET}/runs/${done}.json`));
    const body = { mode: 'run', workflow: { run: [{ cmd: 'forgotten', timeout: 30 }] } };
    const headers = { 'idempotency-key': randomUUID() };
    const order = async () => (await (await own.web.call('POST', `/v1/runs/${done}/retry`, { body, headers })).json()) as { id: string };
    const { id } = await order();
    await until('its launch', () => own.launches(id).length === 1);
    await own.loses();
    expect(await order()).toEqual({ id });
    own.open();
    expect((await own.ended(id)).state).toBe('succeeded');
    expect(own.launches(id)).toEqual([1, 101]);
  });

  it('a file that is decided by a backfill which knows of no loss yet has attempts of the epoch that follows', async () => {
    const own = await start();
    own.cloud.putSilently('in/missed', JSON.stringify({ run: [{ cmd: 'ok', timeout: 30 }] }), { ld_run: 'true' });
    const read = Promise.withResolvers<void>();
    const decides = Promise.withResolvers<void>();
    ends.push(read.resolve);
    let heads = 0;
    const head = own.cloud.store.head;
    const gated: ObjectStore['head'] = async (bucket, key, ...rest) => {
      if (key === 'in/missed') heads += 1;
      // the second one is of its decision
      if (key === 'in/missed' && heads === 2) {
        decides.resolve();
        await read.promise;
      }
      return await head(bucket, key, ...rest);
    };
    Object.assign(own.cloud.store, { head: gated });
    const filled = own.web.call('POST', '/v1/ledger/backfill', { body: { dry_run: false } });
    await decides.promise;
    await own.loses();
    read.resolve();
    const { versions } = (await (await filled).json()) as BackfillPage;
    const runId = versions[0]?.run ?? '';
    own.open();
    expect((await own.ended(runId)).state).toBe('succeeded');
    expect(own.launches(runId)).toEqual([101]);
  });
});
