// Who archives a run, and how large a run may be: what comes meanwhile is archived once more.
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { type ArchiveDeps, archiveWaiting, startArchiving } from '../../src/processors/archive.ts';
import { createArchiveQueue } from '../../src/queues/archive.ts';
import { createWatch } from '../../src/queues/watch.ts';
import { MAX_ARCHIVED_BYTES, parseArchivedRun, writeArchivedRun } from '../../src/schema/archived-run.ts';
import { ARCHIVE_BUCKET, ScriptedCloud } from '../support/scripted-cloud.ts';
import { until } from '../support/until.ts';
import { ends, keys, outputOf, startEndless } from './archiving-engine.ts';

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
