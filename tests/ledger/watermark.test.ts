// Up to when a bucket is accounted for, and what that waits for.
import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { createArchiveMarks } from '../../src/processors/archive-marks.ts';
import { accountBeginner, beginAccount } from '../../src/processors/begin-account.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { readLedger } from '../../src/queues/ledger.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, ScriptedCloud } from '../support/scripted-cloud.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';
import { ends, start, workflow } from './sweeping-engine.ts';

it('what cannot be decided is shown as the oldest unaccounted, and the watermark waits for it', async () => {
  const { engine, swept, watermark } = await start();
  engine.cloud.broken.add('in/broken');
  const before = Date.now();
  const versionId = engine.cloud.putSilently('in/broken', 'x');
  const view = await swept('a sweep that found it', ({ unaccounted }) => unaccounted === 1);
  expect(view).toMatchObject({ accounted_for: view.in_scope - 1, oldest_unaccounted: { key: 'in/broken', version_id: versionId } });
  engine.cloud.putSilently('in/fine', 'x');
  await swept('the other one decided', ({ accounted_for }) => accounted_for === 1);
  expect(watermark()?.at ?? 0).toBeLessThan(Date.now());
  expect(watermark()?.at).toBeLessThanOrEqual(engine.cloud.saved.find(({ key }) => key === 'in/broken')?.modifiedAt ?? before);
  // after eight tries it is set aside, where its owner sees it
  await swept('everything accounted for', ({ accounted_for, in_scope }) => accounted_for === 2 && in_scope === 2);
  expect((await engine.quarantine()).map(({ key }) => key)).toEqual(['in/broken']);
});

it('the watermark waits for a run that has not ended, so that a loss of Redis could not forget it', async () => {
  const { engine, swept, watermark, release } = await start();
  const runId = engine.upload([{ cmd: 'held', timeout: 60 }]);
  const run = await until('the launch', async () => engine.cloud.postsOf(runId).length === 1 && (await engine.show(runId)));
  const accepted = Date.parse(run.created_at);
  await swept('a sweep a while later', ({ swept_at }) => Date.parse(swept_at ?? '') > accepted + 300);
  expect(watermark()?.at).toBeLessThan(accepted);
  release();
  await engine.ended(runId);
  await until('the watermark to pass it', () => (watermark()?.at ?? 0) > accepted);
});

it('the watermark does not wait for another resource’s run', async () => {
  const { engine, watermark } = await start();
  const other = await engine.otherResource();
  const runId = engine.upload([{ cmd: 'held', timeout: 60 }], 'in/held', other.bucket);
  await until('the launch', () => engine.cloud.postsOf(runId).length === 1);
  const launched = Date.now();
  await until('the watermark to pass it', () => (watermark()?.at ?? 0) > launched);
});

it('the watermark does not wait for another resource’s runs whose export is refused, however many', async () => {
  const { engine, watermark } = await start();
  const other = await engine.otherResource();
  const { put } = engine.cloud.store;
  engine.cloud.store.put = async (bucket, ...rest) => {
    if (bucket === `ld-private-${other.id}`) throw new Failure('s3_refused', 'PUT: HTTP 403 AccessDenied.');
    return await put(bucket, ...rest);
  };
  const runs = Array.from({ length: 1_001 }, (_, n) => ({ runId: seedId(`refused ${n}`), resource: other.id, rejected: 'no' }));
  await seedRuns(engine.redis, runs);
  const seeded = Date.now();
  await until('the watermark to pass them', () => (watermark()?.at ?? 0) > seeded, 40_000);
  // their copies are in the archive, and nobody has forgotten that they are to be exported
  const keys = shardKeys(0);
  expect(await engine.redis.zcard(keys.unexportedOf(other.id))).toBeGreaterThan(0);
  expect(await engine.redis.hexists(keys.run(runs[0]?.runId ?? ''), 'arch')).toBe(0);
}, 60_000);

it('a bucket that has objects and no watermark is accounted for from now on: nothing older runs by itself', async () => {
  const redis = await startRedis();
  ends.push(redis.stop);
  const engine = await startTestEngine(redis, { ok: (dyno) => dyno.accept() }, { ledgerMs: 100, lateMs: 100 });
  ends.push(engine.stop);
  const other = await engine.otherResource();
  // saved before the first sweep sees the bucket, whose resource is put in place after it
  const another = { ...other, id: randomUUID(), bucket: `ld-private-${randomUUID()}` };
  engine.cloud.copies = 0;
  engine.cloud.put('in/old', workflow('ok'), { ld_run: 'true' }, another.bucket);
  engine.cloud.copies = 1;
  await until('a moment to pass', () => Date.now() > (engine.cloud.saved.at(-1)?.modifiedAt ?? 0) + 5);
  await engine.resources.put(another);
  const view = await until('two sweeps', async () => {
    const found = await readLedger(engine.redis, another, 1);
    return found.swept_at !== null && Date.parse(found.swept_at) > Date.parse(found.watermark?.since ?? '') + 300 && found;
  });
  expect(view).toMatchObject({ in_scope: 0, unaccounted: 0, before_account: 1 });
  expect(engine.cloud.posts).toEqual([]);
});

it('a bucket that is provisioned empty is accounted for from its beginning, whatever is saved before the first sweep', async () => {
  const redis = await startRedis();
  ends.push(redis.stop);
  const engine = await startTestEngine(redis, { ok: (dyno) => dyno.accept() }, { ledgerMs: 100, lateMs: 100 });
  ends.push(engine.stop);
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const begin = accountBeginner({ store: engine.cloud.store, archiveBucket: ARCHIVE_BUCKET, now: Date.now, log });
  const fresh = { id: randomUUID(), app: 'app', bucket: `ld-private-${randomUUID()}`, region: 'us-east-1', plan: 'test' };
  await begin(fresh);
  engine.cloud.copies = 0;
  engine.cloud.put('in/first', workflow('ok'), { ld_run: 'true' }, fresh.bucket);
  // provisioning again changes nothing of it
  await begin(fresh);
  await engine.resources.put(fresh);
  const view = await until('the file to be decided', async () => {
    const found = await readLedger(engine.redis, fresh, 1);
    return found.in_scope === 1 && found.accounted_for === 1 && found;
  });
  expect(view).toMatchObject({ before_account: 0, decisions: { run: 1 } });
});

it('a bucket whose first page has nothing but what was deleted counts as one that has objects', async () => {
  const cloud = new ScriptedCloud('bucket', {});
  ends.push(async () => await Promise.resolve(cloud.close()));
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  // S3 counts delete markers among the entries of a page
  const store = { ...cloud.store, versions: async () => await Promise.resolve({ versions: [], next: '["a","d1"]' }) };
  const marks = createArchiveMarks({ store: cloud.store, bucket: ARCHIVE_BUCKET });
  expect(await beginAccount({ store, marks, log }, { id: randomUUID(), bucket: 'old' }, 1_000)).toMatchObject({
    since: 1_000,
    begun: 1_000,
  });
});
