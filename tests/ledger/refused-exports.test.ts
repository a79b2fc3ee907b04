// A bucket that refuses exports has them when it takes them, and keeps nobody else from the archive.
import { describe, expect, it } from 'vitest';
import { readArchived } from '../../src/processors/archive.ts';
import { createArchiveQueue } from '../../src/queues/archive.ts';
import { Failure } from '../../src/schema/failures.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { until } from '../support/until.ts';
import { ends, keys, start, startEndless } from './archiving-engine.ts';

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
