// The sweep compares buckets with decisions and makes good what is missing.
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { createArchiveMarks } from '../../src/processors/archive-marks.ts';
import { accountBeginner, beginAccount } from '../../src/processors/begin-account.ts';
import { startBucketSweep } from '../../src/processors/sweep-buckets.ts';
import { createSweepMemory } from '../../src/processors/sweep-memory.ts';
import { connect } from '../../src/queues/connection.ts';
import { readFigures } from '../../src/queues/figures.ts';
import { ledgerKey, SWEEPS_KEY, shardKeys } from '../../src/queues/keys.ts';
import { unchanged } from '../../src/queues/layout.ts';
import { createLedger, readLedger } from '../../src/queues/ledger.ts';
import { createResourceBackup } from '../../src/queues/resource-backup.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createStoreEpoch } from '../../src/queues/store-epoch.ts';
import { readWatermark } from '../../src/schema/archive-marks.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, eventOf, ScriptedCloud } from '../support/scripted-cloud.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(overrides: Parameters<typeof startTestEngine>[2] = {}) {
  const redis = await startRedis();
  ends.push(redis.stop);
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const engine = await startTestEngine(
    redis,
    {
      ok: async (dyno) => {
        await dyno.output(5);
        return dyno.accept();
      },
      silent: async (dyno) => {
        await dyno.output(5, {}, { key: 'somewhere/else', eventLost: true });
        return dyno.accept();
      },
      held: async (dyno) => {
        void released.then(async () => await dyno.output(1));
        return await Promise.resolve(dyno.accept());
      },
    },
    { ledgerMs: 100, lateMs: 150, ...overrides },
  );
  ends.push(engine.stop);
  const ledger = () => readLedger(engine.redis, { id: engine.resource, bucket: engine.bucket }, 1);
  const swept = async (what: string, check: (view: Awaited<ReturnType<typeof ledger>>) => boolean) =>
    await until(what, async () => {
      const view = await ledger();
      return view.swept_at !== null && check(view) && view;
    });
  const watermark = () => {
    const text = engine.cloud.objects.get(`${ARCHIVE_BUCKET}/watermarks/${engine.resource}.json`)?.body;
    return text === undefined ? undefined : readWatermark(text, { id: engine.resource, bucket: engine.bucket });
  };
  await until('the account to begin', () => watermark() !== undefined);
  return { redis, engine, ledger, swept, watermark, release };
}
const workflow = (cmd: string) => JSON.stringify({ run: [{ cmd, timeout: 60 }] });

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
