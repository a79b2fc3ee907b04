// Ended runs go to the archive and to the tenant, and leave Redis when their retention has passed.
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { Compile } from 'typebox/compile';
import { afterEach, describe, expect, it } from 'vitest';
import { type ArchiveDeps, archiveWaiting, readArchived, startArchiving } from '../../src/processors/archive.ts';
import { retentionOf } from '../../src/processors/retention.ts';
import { createArchiveQueue } from '../../src/queues/archive.ts';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createWatch } from '../../src/queues/watch.ts';
import { MAX_ARCHIVED_BYTES, parseArchivedRun, writeArchivedRun } from '../../src/schema/archived-run.ts';
import { Failure } from '../../src/schema/failures.ts';
import { RunView } from '../../src/schema/run-view.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, ScriptedCloud } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const runView = Compile(RunView);
const keys = shardKeys(0);
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(overrides: Parameters<typeof startTestEngine>[2] = {}) {
  const redis = await startRedis();
  ends.push(redis.stop);
  const engine = await startTestEngine(
    redis,
    {
      ok: async (dyno) => {
        await dyno.output(5, { ld_state: 'fine' });
        return dyno.accept();
      },
    },
    overrides,
  );
  ends.push(engine.stop);
  const archived = (runId: string) => until(`run ${runId} in the archive`, () => readArchived(engine.cloud.store, ARCHIVE_BUCKET, runId));
  const exported = (runId: string) =>
    until(`the export of ${runId}`, () => {
      const key = engine.cloud.saved.find((one) => one.bucket === engine.bucket && one.key.endsWith(`/${runId}.json`))?.key;
      return key === undefined ? undefined : { key, body: engine.cloud.objects.get(`${engine.bucket}/${key}`)?.body ?? '' };
    });
  const settled = (runId: string) =>
    until('the archive to be noted', async () => (await engine.redis.zscore(keys.unarchived, runId)) === null);
  return { engine, archived, exported, settled };
}

/** A run whose tasks, in one group, were all launched. */
async function startEndless(tasks: number) {
  const server = await startRedis();
  ends.push(server.stop);
  const redis = connect({ socket: server.socket }, () => {});
  ends.push(async () => await Promise.resolve(redis.disconnect()));
  const runId = `r0-${'1'.padStart(20, '0')}`;
  const each = (name: string, value: string) => Array.from({ length: tasks }, (_, i) => [`${name}:0.${i}`, value]);
  await redis.hset(keys.run(runId), {
    ...{ state: 'running', resource: 'x', bucket: 'b', at: 1, steps: 1, n0: tasks, d0: 0, key: 'in/x' },
    ...Object.fromEntries([...each('p', 'await'), ...each('a', '1'), ...each('dy', 'd|run.1')]),
  });
  return { redis, runs: createRuns({ redis }), runId };
}
/** An output as large as S3 lets one be when it is written in JSON within JSON. */
const outputOf = (n: number) => ({
  key: `${'\u0001'.repeat(1_000)}${n}`,
  version_id: `v${n}`.padEnd(32, 'x'),
  etag: 'e'.repeat(32),
  size: 1,
  state: '"'.repeat(1_850),
});

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

it('what comes between the reading of a run and the note that it is archived makes it be archived again', async () => {
  const { redis, runs, runId } = await startEndless(1);
  const queue = createArchiveQueue({ redis, shard: 0 });
  await runs.deliver(`${runId}.0.0`, 'x', outputOf(0), undefined);
  await redis.hset(keys.run(runId), { state: 'succeeded', end: 2 });
  const before = await queue.read(runId);
  expect(await runs.deliver(`${runId}.0.0`, 'x', outputOf(1), undefined)).toBe('late');
  expect(await queue.archived(runId, before?.record ?? {})).toBe(false);
  expect(await redis.zscore(keys.unarchived, runId)).not.toBeNull();
  expect(await queue.archived(runId, (await queue.read(runId))?.record ?? {})).toBe(true);
  expect(await redis.zscore(keys.unarchived, runId)).toBeNull();
});

describe('of two archivers', () => {
  /** Archives what waits, and stands still before its copy of the run arrives. */
  function archiver(redis: Redis, objects: Map<string, string>) {
    const reached = Promise.withResolvers<void>();
    const open = Promise.withResolvers<void>();
    const put = async (bucket: string, key: string, text: string) => {
      if (bucket === ARCHIVE_BUCKET) {
        reached.resolve();
        await open.promise;
      }
      objects.set(`${bucket}/${key}`, text);
      return { etag: 'e', versionId: 'v' };
    };
    const { store } = new ScriptedCloud('bucket', {});
    const deps: ArchiveDeps = {
      archive: createArchiveQueue({ redis, shard: 0 }),
      store: { ...store, put, createBucket: async () => {}, setVersioned: async () => {} },
      bucket: ARCHIVE_BUCKET,
      watch: createWatch({ redis, shard: 0 }),
      purgeRemoved: async () => await Promise.resolve(false),
      gone: async () => await Promise.resolve(false),
      failpoint: () => {},
      log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    };
    return { deps, reached: reached.promise, open: open.resolve };
  }

  async function startEnded() {
    const { redis, runs, runId } = await startEndless(1);
    await runs.deliver(`${runId}.0.0`, 'x', outputOf(0), undefined);
    await redis.hset(keys.run(runId), { state: 'succeeded', end: 2, 'p:0.0': 'succeeded' });
    await redis.zadd(keys.unarchived, 1, runId);
    return { redis, runs, runId, objects: new Map<string, string>() };
  }

  it('the one that is slow and puts an old copy over the newer one has the run archived once more', async () => {
    const { redis, runs, runId, objects } = await startEnded();
    const [slow, quick, third] = [archiver(redis, objects), archiver(redis, objects), archiver(redis, objects)];
    quick.open();
    third.open();
    const end = archiveWaiting(slow.deps);
    await slow.reached;
    expect(await runs.deliver(`${runId}.0.0`, 'x', outputOf(1), undefined)).toBe('late');
    await redis.zadd(keys.unarchived, 1, runId);
    await archiveWaiting(quick.deps);
    const kept = () => objects.get(`${ARCHIVE_BUCKET}/runs/${runId}.json`) ?? '';
    expect(kept()).toContain('late_output');
    slow.open();
    await end;
    expect(kept()).not.toContain('late_output');
    // retention must not take what the archive has no more
    expect(await redis.hget(keys.run(runId), 'arch')).toBeNull();
    await archiveWaiting(third.deps);
    expect(kept()).toContain('late_output');
    expect(await redis.zcard(keys.unarchived)).toBe(0);
    expect(await redis.hget(keys.run(runId), 'arch')).not.toBeNull();
  });

  it('the one that is at it stays the only one, however long a turn takes', async () => {
    const { redis, objects } = await startEnded();
    const slow = archiver(redis, objects);
    const loop = startArchiving(slow.deps);
    ends.push(async () => {
      slow.open();
      await loop.stop();
    });
    await slow.reached;
    let lowest = Number.POSITIVE_INFINITY;
    await until('the lock to be held on to', async () => {
      const left = await redis.pttl(keys.lock('archive'));
      const renewed = left > lowest + 1_000;
      lowest = Math.min(lowest, left);
      return renewed;
    });
  });
});

it('a run whose tasks have as many outputs as are listed, each as large as it can be, is one that the archive gives back', async () => {
  const tasks = 200;
  const { redis, runs, runId } = await startEndless(tasks);
  for (let i = 0; i < tasks; i += 1)
    await Promise.all(Array.from({ length: 22 }, (_, n) => runs.deliver(`${runId}.0.${i}`, 'x', outputOf(n), undefined)));
  await redis.hset(keys.run(runId), { state: 'succeeded', end: 2, d0: tasks });
  const whole = await createArchiveQueue({ redis, shard: 0 }).read(runId);
  if (whole === undefined) throw new Error('the run has not ended');
  const { text } = writeArchivedRun(whole);
  expect(whole.history.length).toBeGreaterThan(tasks + 100);
  expect(Buffer.byteLength(text)).toBeLessThan(MAX_ARCHIVED_BYTES * 0.75);
  expect(parseArchivedRun(text, runId).record['o:0.199']).toContain('v0');
}, 60_000);

it('a run with a history that is too long is archived without the middle of it, so that it can be read back', async () => {
  const { redis, runs, runId } = await startEndless(1);
  await runs.deliver(`${runId}.0.0`, 'x', outputOf(0), undefined);
  await redis.hset(keys.run(runId), { state: 'succeeded', end: 2, d0: 1 });
  const whole = await createArchiveQueue({ redis, shard: 0 }).read(runId);
  if (whole === undefined) throw new Error('the run has not ended');
  const entries = Array.from({ length: 100_000 }, (_, n): (typeof whole.history)[number] => [n, 'refused', '0.0', 1, 'x'.repeat(300)]);
  const { text, omitted } = writeArchivedRun({ ...whole, history: entries });
  const { history, record } = parseArchivedRun(text, runId);
  expect(record).toEqual(whole.record);
  expect(history.length).toBe(100_001 - omitted);
  expect(history.length).toBeGreaterThan(10_000);
  expect([history[0], history.at(-1)]).toEqual([entries[0], entries.at(-1)]);
  expect(history.find(([, what]) => what === 'omitted')?.[4]).toBe(`${omitted} entries`);
  const large = { ...whole.record, 'e:0.0': 'x'.repeat(MAX_ARCHIVED_BYTES) };
  expect(() => writeArchivedRun({ ...whole, record: large })).toThrow('larger than');
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

it('what S3 does not take now is archived when it answers again; until then nothing of it goes', async () => {
  const { engine, archived, settled } = await start({ retention: () => 0, retentionMs: 50 });
  // until its first witness is there, a worker that starts cannot know whether Redis is whole, and launches nothing
  await until('the first witness', () => engine.cloud.saved.some(({ bucket }) => bucket === ARCHIVE_BUCKET));
  engine.cloud.putsDown = true;
  const runId = engine.upload([{ cmd: 'ok', timeout: 10 }]);
  const run = await until('the end', async () => {
    const view = await engine.show(runId);
    return view?.ended_at !== null && view;
  });
  expect(run.state).toBe('succeeded');
  await until('two tries', () => engine.cloud.refusedPuts.filter((key) => key === `runs/${runId}.json`).length >= 2);
  expect(await engine.show(runId)).toEqual(run);
  engine.cloud.putsDown = false;
  await archived(runId);
  await settled(runId);
});

it('runs whose export is refused keep no other run from the archive', async () => {
  const { engine, archived, settled } = await start();
  const other = await engine.otherResource();
  const refusals = new Map<string, number>();
  const { store } = engine.cloud;
  await engine.replaceEngine({
    store: {
      ...store,
      put: async (bucket, key, ...rest) => {
        if (bucket !== other.bucket) return await store.put(bucket, key, ...rest);
        refusals.set(key, (refusals.get(key) ?? 0) + 1);
        throw new Failure('s3_unavailable', 'PUT: HTTP 403 AccessDenied.');
      },
    },
  });
  // as many as are archived at the same time, and more
  const refused = Array.from({ length: 8 }, () => engine.upload([{ cmd: 'ok', timeout: 10 }], undefined, other.bucket));
  for (const runId of refused) await engine.ended(runId);
  await until('all to be refused', async () => (await engine.redis.zcard(keys.unexportedOf(other.id))) === refused.length);
  const runId = engine.upload([{ cmd: 'ok', timeout: 10 }]);
  await archived(runId);
  await settled(runId);
  // they stay in Redis, and are not tried all the time
  for (const one of refused) expect(await engine.redis.zscore(keys.unexportedOf(other.id), one)).not.toBeNull();
  for (const one of refused) expect(await engine.redis.hexists(keys.run(one), 'arch')).toBe(0);
  expect(Math.max(...refusals.values())).toBe(1);
});

it('a bucket that is known to refuse and does not even answer keeps no other run from the archive', async () => {
  const { engine, archived, settled } = await start();
  const other = await engine.otherResource();
  const { put } = engine.cloud.store;
  const [silence, tried] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  ends.push(async () => await Promise.resolve(silence.resolve()));
  let hangs = false;
  engine.cloud.store.put = async (bucket, ...rest) => {
    if (bucket !== other.bucket) return await put(bucket, ...rest);
    if (hangs) {
      tried.resolve();
      await silence.promise;
    }
    throw new Failure('s3_unavailable', 'no answer within 10000 ms');
  };
  const waiting = () => engine.redis.zcard(keys.unexportedOf(other.id));
  const upload = () => engine.upload([{ cmd: 'ok', timeout: 10 }], undefined, other.bucket);
  upload();
  await until('the bucket to refuse', async () => (await waiting()) === 1);
  hangs = true;
  const refused = Array.from({ length: 20 }, upload);
  for (const one of refused) await engine.ended(one);
  const runId = engine.upload([{ cmd: 'ok', timeout: 10 }]);
  await archived(runId);
  await settled(runId);
  await until('the others to wait', async () => (await waiting()) === refused.length + 1);
  // nor when its time has come
  await engine.redis.zadd(keys.unexported, 'XX', 0, other.id);
  await tried.promise;
  const next = engine.upload([{ cmd: 'ok', timeout: 10 }]);
  await archived(next);
  await settled(next);
});

describe('a bucket that has refused exports', () => {
  async function startRefusing() {
    const { engine } = await start();
    const { store } = engine.cloud;
    const { put } = store;
    const bucket = { refuses: (_: string) => true, tries: 0 };
    store.put = async (name, key, ...rest) => {
      if (name !== engine.bucket) return await put(name, key, ...rest);
      bucket.tries += 1;
      if (bucket.refuses(key)) throw new Failure('s3_refused', 'PUT: HTTP 403 AccessDenied.');
      return await put(name, key, ...rest);
    };
    const runIds = Array.from({ length: 30 }, () => engine.upload([{ cmd: 'ok', timeout: 10 }]));
    for (const runId of runIds) await engine.ended(runId);
    const left = () => engine.redis.zcard(keys.unexportedOf(engine.resource));
    await until('all to wait', async () => (await left()) === runIds.length);
    const tryNow = async () => await engine.redis.zadd(keys.unexported, 'XX', 0, engine.resource);
    const due = async () => Number(await engine.redis.zscore(keys.unexported, engine.resource));
    return { engine, bucket, runIds, left, tryNow, due };
  }
  const isExported = ({ engine }: Awaited<ReturnType<typeof startRefusing>>, runId: string) =>
    engine.cloud.saved.some(({ bucket, key }) => bucket === engine.bucket && key.endsWith(`/${runId}.json`));

  it('is tried with two runs, and has all when it takes them', async () => {
    const refusing = await startRefusing();
    const { engine, bucket, runIds, left, tryNow, due } = refusing;
    const before = bucket.tries;
    await tryNow();
    await until('a try', async () => bucket.tries > before && (await due()) > 0);
    expect(bucket.tries).toBe(before + 2);
    bucket.refuses = () => false;
    await tryNow();
    await until('none to wait', async () => (await left()) === 0);
    for (const runId of runIds) expect(isExported(refusing, runId)).toBe(true);
    for (const runId of runIds) expect(await engine.redis.hexists(keys.run(runId), 'arch')).toBe(1);
    expect(await engine.redis.zscore(keys.unexported, engine.resource)).toBeNull();
  });

  it('has none of a run that it refused for a week, whose history and archive say so; the run may leave Redis', async () => {
    const refusing = await startRefusing();
    const { engine, left, tryNow, runIds } = refusing;
    const [old = ''] = runIds;
    await engine.redis.zadd(keys.unexportedOf(engine.resource), 'XX', Date.now() - 8 * 86_400_000, old);
    await tryNow();
    await until('it to be archived', async () => (await engine.redis.hexists(keys.run(old), 'arch')) === 1);
    expect((await readArchived(engine.cloud.store, ARCHIVE_BUCKET, old))?.history.at(-1)?.[1]).toBe('unexported');
    expect((await engine.show(old))?.history.at(-1)?.detail).toContain('AccessDenied');
    expect(isExported(refusing, old)).toBe(false);
    expect(await left()).toBe(runIds.length - 1);
  });

  it('has all of a week given up at once, however many', async () => {
    const { engine, left, tryNow } = await startRefusing();
    const old = Array.from({ length: 250 }, (_, n) => `r0-${n.toString(36).padStart(20, '0')}`);
    const week = Date.now() - 8 * 86_400_000;
    for (const runId of old) {
      await engine.redis.hset(keys.run(runId), {
        state: 'succeeded',
        resource: engine.resource,
        bucket: engine.bucket,
        at: 1,
        end: 2,
        steps: 0,
      });
      await engine.redis.zadd(keys.unexportedOf(engine.resource), week, runId);
    }
    await tryNow();
    const atFirst = (await left()) - old.length;
    await until('those of a week to be given up', async () => (await left()) === atFirst);
    for (const runId of old) expect(await engine.redis.hget(keys.run(runId), 'noexp')).toBe('1');
  });

  it('does not hide what came after the end of a run from the archive, when it takes the run at last', async () => {
    const { engine, bucket, runIds, tryNow } = await startRefusing();
    const [runId = ''] = runIds;
    bucket.refuses = () => false;
    // as if it had come long ago and the archive had been down since
    engine.cloud.put('too-late', 'x', { ld_task_id: `${runId}.0.0` });
    await until('the late output', async () => (await engine.redis.hget(keys.run(runId), 'late')) !== null);
    await engine.redis.zadd(keys.unarchived, 'XX', Date.now() + 3_000, runId);
    await tryNow();
    await until('it to be archived', async () => (await engine.redis.hexists(keys.run(runId), 'arch')) === 1);
    expect((await readArchived(engine.cloud.store, ARCHIVE_BUCKET, runId))?.history.at(-1)?.[1]).toBe('late_output');
  });

  it('and takes all runs but one has all but one', async () => {
    const refusing = await startRefusing();
    const { engine, bucket, runIds, left, tryNow } = refusing;
    const [stuck = ''] = await engine.redis.zrange(keys.unexportedOf(engine.resource), '0', '0');
    bucket.refuses = (key) => key.endsWith(`/${stuck}.json`);
    await tryNow();
    await until('none to wait with it', async () => (await left()) === 0);
    for (const runId of runIds) if (runId !== stuck) expect(isExported(refusing, runId)).toBe(true);
    // those that come now are not kept waiting by it
    expect(await engine.redis.zscore(keys.unexported, engine.resource)).toBeNull();
    const own = `${engine.resource}|${stuck}`;
    expect(await engine.redis.zcard(keys.unexportedOf(own))).toBe(1);
    await engine.redis.zadd(keys.unexportedOf(own), 'XX', Date.now() - 8 * 86_400_000, stuck);
    await engine.redis.zadd(keys.unexported, 'XX', 0, own);
    await until('it to be given up by itself', async () => (await engine.redis.hexists(keys.run(stuck), 'arch')) === 1);
    expect((await engine.show(stuck))?.history.at(-1)?.what).toBe('unexported');
    expect(await engine.redis.zscore(keys.unexported, own)).toBeNull();
  });

  it('gives a run up a week after its first refusal, also when something came to the run since', async () => {
    const { redis, runId } = await startEndless(1);
    const queue = createArchiveQueue({ redis, shard: 0 });
    for (const since of [1, 5]) {
      await redis.zadd(keys.unexportedOf('x'), since, runId);
      await queue.setExportApart('x', runId, 1_000);
    }
    expect(await redis.zscore(keys.unexportedOf(`x|${runId}`), runId)).toBe('1');
  });

  it('has a run that cannot be read wait by itself, and keeps no other bucket from its turn', async () => {
    const { engine, runIds, tryNow, left, bucket } = await startRefusing();
    const piles = [engine.resource, 'x1', 'x2', 'x3'];
    for (const [n, pile] of piles.entries()) {
      const runId = pile === engine.resource ? (runIds[0] ?? '') : `r0-${n.toString(36).padStart(20, '0')}`;
      await engine.redis.hset(keys.run(runId), { state: 'succeeded', resource: pile, end: 2 });
      await engine.redis.rpush(keys.history(runId), 'none of ours');
      if (pile === engine.resource) continue;
      await engine.redis.zadd(keys.unexportedOf(pile), 1, runId);
      await engine.redis.zadd(keys.unexported, 1, pile);
    }
    await tryNow();
    bucket.refuses = () => false;
    const others = async () =>
      await Promise.all(piles.slice(1).map(async (pile) => Number(await engine.redis.zscore(keys.unexported, pile))));
    await until('all others to be postponed', async () => (await others()).every((due) => due === 0 || due > Date.now()));
    await until('all but that to be exported', async () => (await left()) === 0);
  });
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
