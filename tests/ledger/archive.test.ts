// Ended runs go to the archive and to the tenant, and leave Redis when their retention has passed.
import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { readArchived } from '../../src/processors/archive.ts';
import { retentionOf } from '../../src/processors/retention.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { until } from '../support/until.ts';
import { keys, runView, start } from './archiving-engine.ts';

const workflow = [
  { cmd: 'ok', timeout: 10 },
  {
    parallel: [
      { cmd: 'ok', timeout: 10 },
      { cmd: 'ok', timeout: 10 },
    ],
  },
];

it('what comes after the end and the archiving of a run is archived, too', async () => {
  const { engine, exported, settled } = await start();
  const runId = engine.upload(workflow);
  await engine.ended(runId);
  await settled(runId);
  const { key } = await exported(runId);
  engine.cloud.put('too-late', 'x', { ld_task_id: `${runId}.0.0` });
  await until('the later output in archive and export', async () => {
    const kept = await readArchived(engine.cloud.store, ARCHIVE_BUCKET, runId);
    const view = engine.cloud.objects.get(`${engine.bucket}/${key}`)?.body ?? '';
    return kept?.history.at(-1)?.[1] === 'late_output' && view.includes('too-late');
  });
  await settled(runId);
  expect(Number(await engine.redis.hget(keys.run(runId), 'arch'))).toBeGreaterThan(0);
});

it('an ended run is in the archive, field by field, and in the tenant’s bucket as the API shows it', async () => {
  const { engine, archived, exported, settled } = await start();
  const runId = engine.upload(workflow);
  const run = await engine.ended(runId);
  const kept = await archived(runId);
  const { key, body } = await exported(runId);
  await settled(runId);
  const { arch, ...record } = await engine.redis.hgetall(keys.run(runId));
  expect(Number(arch)).toBeGreaterThan(0);
  expect(kept.record).toEqual(record);
  expect(kept.document).toBe(await engine.redis.get(keys.document(runId)));
  expect(kept.history).toEqual((await engine.redis.lrange(keys.history(runId), 0, -1)).map((entry): unknown => JSON.parse(entry)));
  expect(key).toBe(`.autofiles/runs/${run.created_at.slice(0, 10).replaceAll('-', '/')}/${runId}.json`);
  const view: unknown = JSON.parse(body);
  expect(runView.Check(view)).toBe(true);
  expect(view).toEqual(run);
});

it('a rejected and a cancelled run are archived, too', async () => {
  const { engine, archived, settled } = await start();
  const key = `in/${randomUUID()}`;
  const rejected = engine.runIdOf(key, engine.cloud.put(key, '{"run": 1}', { ld_run: 'true' }));
  expect((await archived(rejected)).record['state']).toBe('rejected');
  await settled(rejected);
});

it('an export causes no decision of its own', async () => {
  const { engine, exported, settled } = await start();
  const runId = engine.upload(workflow);
  await engine.ended(runId);
  await exported(runId);
  await settled(runId);
  await until('every event to be decided', () => engine.cloud.undeleted === 0);
  expect(await engine.decisions()).toEqual({ run: 1, output: 3 });
});

it('a record leaves Redis when its retention has passed; a stub is left while its event may come again', async () => {
  const { engine, archived } = await start({ retention: () => 0, retentionMs: 50 });
  const key = `in/${randomUUID()}`;
  const versionId = engine.cloud.put(key, JSON.stringify({ run: [{ cmd: 'ok', timeout: 10 }] }), { ld_run: 'true' });
  const runId = engine.runIdOf(key, versionId);
  await archived(runId);
  await until('the record to be retired', async () => (await engine.redis.hget(keys.run(runId), 'stub')) !== null);
  expect(Object.keys(await engine.redis.hgetall(keys.run(runId))).sort()).toEqual(['at', 'end', 'resource', 'state', 'stub']);
  expect(await engine.redis.pttl(keys.run(runId))).toBeGreaterThan(15 * 86_400_000);
  expect(await engine.redis.exists(keys.history(runId), keys.document(runId))).toBe(0);
  expect(await engine.redis.zscore(keys.index(engine.resource), runId)).toBeNull();
  expect(await engine.show(runId)).toBeUndefined();
  // its event and its output come once more
  const posts = engine.cloud.posts.length;
  for (const one of engine.cloud.saved.filter(({ bucket, key: k }) => bucket === engine.bucket && !k.startsWith('.autofiles/'))) {
    engine.cloud.sendEvents([
      {
        eventVersion: '2.1',
        eventSource: 'aws:s3',
        eventName: 'ObjectCreated:Put',
        s3: { bucket: { name: engine.bucket }, object: { key: one.key, versionId: one.versionId } },
      },
    ]);
  }
  await until('every event to be decided', () => engine.cloud.undeleted === 0);
  expect(engine.cloud.posts.length).toBe(posts);
  expect(await engine.redis.hget(keys.run(runId), 'stub')).toBe('1');
  expect(await engine.quarantine()).toEqual([]);
});

it('a young record stays', async () => {
  let asked = 0;
  const retention = (plan: string) => {
    asked += 1;
    return retentionOf(plan);
  };
  const { engine, archived, settled } = await start({ retentionMs: 50, retention });
  const runId = engine.upload([{ cmd: 'ok', timeout: 10 }]);
  await engine.ended(runId);
  await archived(runId);
  await settled(runId);
  // one that is under way may have passed it over as not archived; the next one is over when another one begins
  const before = asked;
  await until('a whole pass of the retention', () => asked > before + 1);
  expect(await engine.show(runId)).toBeDefined();
});

it('every plan keeps records for longer than SQS redelivers', () => {
  for (const plan of ['free', 'basic', 'standard', 'premium', 'local', 'unknown']) {
    expect(retentionOf(plan), plan).toBeGreaterThan(14 * 86_400_000);
  }
});
