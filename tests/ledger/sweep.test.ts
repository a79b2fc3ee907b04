// The sweep compares buckets with decisions and makes good what is missing.
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createArchiveMarks } from '../../src/processors/archive-marks.ts';
import { startBucketSweep } from '../../src/processors/sweep-buckets.ts';
import { createSweepMemory } from '../../src/processors/sweep-memory.ts';
import { connect } from '../../src/queues/connection.ts';
import { readFigures } from '../../src/queues/figures.ts';
import { ledgerKey, SWEEPS_KEY } from '../../src/queues/keys.ts';
import { unchanged } from '../../src/queues/layout.ts';
import { createLedger } from '../../src/queues/ledger.ts';
import { createResourceBackup } from '../../src/queues/resource-backup.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createStoreEpoch } from '../../src/queues/store-epoch.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, eventOf, ScriptedCloud } from '../support/scripted-cloud.ts';
import { until } from '../support/until.ts';
import { ends, start, workflow } from './sweeping-engine.ts';

it('a file whose event was lost runs all the same', async () => {
  const { engine, swept } = await start();
  const key = `in/${randomUUID()}`;
  const runId = engine.runIdOf(key, engine.cloud.putSilently(key, workflow('ok'), { ld_run: 'true' }));
  expect((await engine.ended(runId)).state).toBe('succeeded');
  const view = await swept('everything accounted for', ({ accounted_for, in_scope }) => accounted_for === 2 && in_scope === 2);
  expect(view).toMatchObject({ in_scope: 2, accounted_for: 2, oldest_unaccounted: null, before_account: 0, epoch: 1, reexecuted: 0 });
  expect(engine.cloud.postsOf(runId)).toHaveLength(1);
});

it.each(['its event', 'the sweep'])('a file that S3 does not find yet when %s comes runs all the same', async (what) => {
  const { engine, swept } = await start();
  const key = `in/${randomUUID()}`;
  // a bucket that has been versioned just now: HEAD may answer 404 for a while, and the list has the version
  engine.cloud.unseen.set(key, 2);
  const put = what === 'the sweep' ? engine.cloud.putSilently.bind(engine.cloud) : engine.cloud.put.bind(engine.cloud);
  const runId = engine.runIdOf(key, put(key, workflow('ok'), { ld_run: 'true' }));
  expect((await engine.ended(runId)).state).toBe('succeeded');
  await swept('everything accounted for', ({ unaccounted, in_scope }) => unaccounted === 0 && in_scope === 2);
  expect((await engine.decisions())['ignored']).toBeUndefined();
});

it('an output whose event was lost ends the wait, wherever it was written', async () => {
  const { engine } = await start();
  const runId = engine.upload([{ cmd: 'silent', timeout: 60 }]);
  const run = await engine.ended(runId);
  expect(run.state).toBe('succeeded');
  expect(run.steps[0]?.tasks[0]?.output?.key).toBe('somewhere/else');
});

it('a file without a workflow whose event was lost is accounted for as ignored, once', async () => {
  const { engine, swept } = await start();
  engine.cloud.putSilently('a file', 'x');
  await swept('everything accounted for', ({ accounted_for, in_scope }) => accounted_for === 1 && in_scope === 1);
  const before = engine.cloud.heads;
  const { swept_at } = await swept('it', () => true);
  await swept('two more sweeps', (view) => Date.parse(view.swept_at ?? '') > Date.parse(swept_at ?? '') + 250);
  expect(engine.cloud.heads).toBe(before);
  expect(await engine.decisions()).toEqual({ ignored: 1 });
});

describe('while SQS does not answer', () => {
  async function startWithout() {
    const started = await start();
    started.engine.cloud.queue.drained = async () => await Promise.reject(new Failure('sqs_unavailable', 'GetQueueAttributes: HTTP 503.'));
    return started;
  }

  it('a file is decided that has waited for its event for a quarter of an hour', async () => {
    const { engine } = await startWithout();
    const { cloud } = engine;
    const key = `in/${randomUUID()}`;
    const versionId = cloud.putSilently(key, workflow('ok'), { ld_run: 'true' });
    const at = cloud.saved.findIndex((version) => version.versionId === versionId);
    const [version] = cloud.saved.slice(at);
    if (version === undefined) throw new Error('it was saved');
    cloud.saved[at] = { ...version, modifiedAt: Date.now() - 16 * 60_000 };
    expect((await engine.ended(engine.runIdOf(key, versionId))).state).toBe('succeeded');
  });

  it('what Redis lost comes back', async () => {
    const { redis, engine } = await startWithout();
    await redis.wipe();
    await until('the recovery', async () => (await engine.redis.hget(ledgerKey(engine.resource), 'recovered')) === '2', 30_000);
  }, 60_000);
});

describe('a version that S3 does not find, and whose key has so many others that its list does not end soon', () => {
  /** Sends the event of a version that is not there, which was saved `ageMs` ago; every page of its key has nothing but what was deleted. */
  async function startEndless(ageMs: number, page: { upTo?: string } = {}) {
    const { engine } = await start();
    const key = `in/${randomUUID()}`;
    const { versions } = engine.cloud.store;
    const asked = { pages: 0 };
    engine.cloud.store.versions = async (bucket, order = {}) => {
      if (order.prefix !== key) return await versions(bucket, order);
      asked.pages += 1;
      return asked.pages < 1_000 ? { versions: [], next: String(asked.pages), ...page } : { versions: [] };
    };
    const event = eventOf(engine.bucket, key, 'v1', { eventTime: new Date(Date.now() - ageMs).toISOString() });
    engine.cloud.sendEvents([event], 0);
    return { engine, asked };
  }

  it('is looked for again as long as its bucket may be new, a few pages at a time', async () => {
    const { engine, asked } = await startEndless(60_000);
    await until('its second receive', () => asked.pages > 5);
    expect(asked.pages).toBeLessThanOrEqual(10);
    expect((await engine.decisions())['ignored']).toBeUndefined();
  });

  it('counts as deleted when its bucket is new no more', async () => {
    const { engine, asked } = await startEndless(16 * 60_000);
    await until('its decision', async () => (await engine.decisions())['ignored'] === 1);
    expect(asked.pages).toBe(5);
  });

  it('counts as deleted when the list is past its key', async () => {
    const { engine, asked } = await startEndless(60_000, { upTo: 'in/later' });
    await until('its decision', async () => (await engine.decisions())['ignored'] === 1);
    expect(asked.pages).toBe(1);
  });
});

it('what we write ourselves is no part of it', async () => {
  const { engine, swept } = await start();
  engine.cloud.putSilently('.autofiles/runs/2026/01/01/x.json', '{}');
  await swept('a sweep', () => true);
  expect(await swept('another', ({ in_scope }) => in_scope === 0)).toMatchObject({ in_scope: 0, unaccounted: 0 });
});

it('what was saved just now, and has its event on its way, is no trouble', async () => {
  const { engine, swept } = await start({ lateMs: 60_000 });
  engine.cloud.copies = 0;
  engine.cloud.put('a file', 'x');
  const view = await swept('a sweep that found it', ({ in_scope }) => in_scope === 1);
  expect(view).toMatchObject({ accounted_for: 0, unaccounted: 0, in_flight: 1, oldest_unaccounted: null });
  const { ledger } = await readFigures(engine.redis, [0]);
  expect(ledger).toEqual({ inScope: 1, accountedFor: 0, inFlight: 1, unaccounted: 0, oldestSeconds: 0 });
});

it('a resource that could not be provisioned is backed up, and has no bucket to be listed', async () => {
  const { engine } = await start();
  const { store } = engine.cloud;
  const failed = await engine.otherResource();
  await engine.resources.change(failed.id, { from: ['', 'provisioned'], set: { state: 'failed', error: 'no grant' } });
  let listed = 0;
  const said: string[] = [];
  const say = (_: unknown, text: string) => said.push(text);
  const versions: typeof store.versions = async (bucket, page) => {
    if (bucket !== failed.bucket) return await store.versions(bucket, page);
    listed += 1;
    throw new Failure('not_found', 'LIST: HTTP 404 NoSuchBucket.');
  };
  await engine.replaceEngine({ store: { ...store, versions }, log: { debug: () => {}, info: () => {}, warn: say, error: say } });
  const due = async () => await engine.redis.zscore(SWEEPS_KEY, failed.id);
  for (let turns = 0; turns < 4; turns += 1) {
    const last = await due();
    await until('a turn of its', async () => (await due()) !== last);
  }
  await until('its backup', () =>
    (engine.cloud.objects.get(`${ARCHIVE_BUCKET}/resources/${failed.id}.json`)?.body ?? '').includes('"state":"failed"'),
  );
  expect(listed).toBe(0);
  expect(said).not.toContain('bucket not swept');
});

it('a removed resource is a tombstone in the archive, which no loss of Redis brings back', async () => {
  const { engine } = await start();
  const other = await engine.otherResource();
  const backup = () => engine.cloud.objects.get(`${ARCHIVE_BUCKET}/resources/${other.id}.json`)?.body ?? '';
  await until('its backup', () => backup() !== '');
  await engine.resources.change(other.id, { from: ['', 'provisioned'], set: { state: 'deprovisioning' } });
  await engine.resources.bury(other);
  await until('its tombstone', () => backup().includes('"state":"removed"'));
});

it('a process remembers nothing of a resource that is gone, whoever saw it go', async () => {
  const server = await startRedis();
  ends.push(server.stop);
  const redis = connect(server, () => {});
  ends.push(async () => await Promise.resolve(redis.disconnect()));
  const id = randomUUID();
  const cloud = new ScriptedCloud(`ld-private-${id}`, {});
  ends.push(async () => await Promise.resolve(cloud.close()));
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  const resource = { id, app: 'app', bucket: cloud.bucket, region: 'us-east-1', plan: 'test', state: 'provisioned' as const };
  await resources.put(resource);
  const marks = createArchiveMarks({ store: cloud.store, bucket: ARCHIVE_BUCKET });
  await marks.setWatermark(resource, { since: 0, begun: 0, at: Date.now() });
  const memory = createSweepMemory();
  const sweep = startBucketSweep(
    {
      ledger: createLedger({ redis, layout: unchanged(1) }),
      resources,
      backup: createResourceBackup({ redis }),
      epochs: createStoreEpoch({ redis, shards: () => 1 }),
      marks,
      store: cloud.store,
      decide: async () => await Promise.resolve(),
      whole: async () => await Promise.resolve(1),
      epoch: () => 1,
      lostFrom: () => undefined,
      drained: async () => await Promise.resolve(true),
      clock: async () => await Promise.resolve(Date.now()),
      everyMs: 50,
      lateMs: 0,
      failpoint: () => {},
      log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    },
    memory,
  );
  ends.push(sweep.stop);
  await until('its backup', () => memory.size() === 1);
  // another worker sees it go
  await resources.change(id, { from: ['', 'provisioned'], set: { state: 'deprovisioning' } });
  await resources.bury(resource);
  await redis.zrem(SWEEPS_KEY, id);
  await until('it to be forgotten', () => memory.size() === 0);
});
