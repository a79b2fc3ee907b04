// Orders that come again after Redis has lost data: what they start may have been launched before, and then has other numbers.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { STORE_KEY, shardKeys } from '../../src/queues/keys.ts';
import type { BackfillPage } from '../../src/schema/ledger-view.ts';
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

it('a file of before the loss that is backfilled has attempts of the epoch', async () => {
  const workflow = JSON.stringify({ run: [{ cmd: 'ok', timeout: 30 }] });
  const key = `in/${randomUUID()}`;
  engine.cloud.putSilently(key, workflow, { ld_run: 'true' });
  await lost(-1_000);
  const { versions } = (await (await web.call('POST', '/v1/ledger/backfill', { body: { dry_run: false } })).json()) as BackfillPage;
  expect(versions.map((version) => version.key)).toEqual([key]);
  const runId = versions[0]?.run ?? '';
  expect((await engine.ended(runId)).state).toBe('succeeded');
  expect(attempts(runId)).toEqual([101]);
});
