// What a recovery does while runs go on ending, and with an archive that has more than it can read.
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { within } from '../../src/clients/deadline.ts';
import type { ObjectStore } from '../../src/clients/ports.ts';
import { createArchiveMarks } from '../../src/processors/archive-marks.ts';
import { recover } from '../../src/processors/recovery.ts';
import { connect } from '../../src/queues/connection.ts';
import { resourceKey, shardKeys } from '../../src/queues/keys.ts';
import { unchanged } from '../../src/queues/layout.ts';
import { createResourceBackup, type ResourceBackup } from '../../src/queues/resource-backup.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createStoreEpoch, redoRun } from '../../src/queues/store-epoch.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, ScriptedCloud } from '../support/scripted-cloud.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const keys = shardKeys(0);
const idOf = (n: number) => `r0-${n.toString(36).padStart(20, '0')}`;

/**
 * A Redis with so many running runs of one task, those that `done` names with nothing left to do; recovery reads the archived runs by `text`, backups by
 * what `archive` makes of the store, and puts resources back by what `put` makes of the way to do that.
 */
async function start(
  count: number,
  done: (n: number) => boolean,
  text: ObjectStore['text'],
  archive: (store: ObjectStore) => ObjectStore = (store) => store,
  put: (restore: ResourceBackup['restore']) => ResourceBackup['restore'] = (restore) => restore,
) {
  // what is rolled back is a copy of the file, and what was answered must be in it
  const server = await startRedis({ fsync: 'always' });
  const redis = connect({ socket: server.socket }, () => {});
  const cloud = new ScriptedCloud('bucket', {});
  ends.push(
    server.stop,
    () => cloud.close(),
    () => redis.disconnect(),
  );
  for (let n = 0; n < count; n += 1) {
    const [settled, phase] = done(n) ? [1, 'succeeded'] : [0, 'await'];
    const record = { state: 'running', resource: 'x', bucket: 'b', at: 1_000 + n, steps: 1, n0: 1, d0: settled, 'p:0.0': phase };
    await redis.hset(keys.run(idOf(n)), record);
    await redis.zadd(keys.live, 1_000 + n, idOf(n));
  }
  const runs = createRuns({ redis });
  const said: string[] = [];
  const say = (_: unknown, words: string) => void said.push(words);
  const store = { ...cloud.store, text };
  const backup = createResourceBackup({ redis });
  const begin = () =>
    recover(
      {
        epochs: createStoreEpoch({ redis, shards: () => 1 }),
        backup: { ...backup, restore: put(backup.restore) },
        marks: createArchiveMarks({ store: archive(cloud.store), bucket: ARCHIVE_BUCKET }),
        store,
        archiveBucket: ARCHIVE_BUCKET,
        shards: 1,
        layout: unchanged(1),
        log: { debug: say, info: say, warn: say, error: say },
      },
      2,
    );
  const redoOf = (n: number) => redis.hget(keys.run(idOf(n)), 'redo');
  return { server, redis, cloud, runs, begin, redoOf, said };
}

it('marks every run that lives on, however many end meanwhile', async () => {
  const count = 600;
  const ending = (n: number) => n < 100 && n % 5 === 0;
  let asked = 0;
  const { runs, begin, redoOf } = await start(count, ending, async () => {
    asked += 1;
    // when the first ones were looked up, those of them that have nothing left to do end
    if (asked === 150) for (let n = 0; n < 100; n += 1) if (ending(n)) expect(await runs.finish(idOf(n))).toBe('succeeded');
    await turn();
    return undefined;
  });
  await begin();
  const forgotten: number[] = [];
  for (let n = 0; n < count; n += 1) if (!ending(n) && (await redoOf(n)) !== '2') forgotten.push(n);
  expect(forgotten).toEqual([]);
}, 60_000);

it.each([
  new Failure('workflow_too_large', 'it has 30347761 bytes'),
  new Failure('s3_refused', 'GET "runs/x": HTTP 403 InvalidObjectState.'),
])('is not held up by an archived run that is never to be read: $message', async (fault) => {
  const { begin, redoOf, said } = await start(
    1,
    () => false,
    () => Promise.reject(fault),
  );
  await begin();
  expect(await redoOf(0)).toBe('2');
  expect(said).toContain('archived run not trusted');
});

it('waits for an archive that does not answer', async () => {
  const fault = new Failure('s3_unavailable', 'no answer within 10000 ms');
  const { begin, redoOf } = await start(
    1,
    () => false,
    () => Promise.reject(fault),
  );
  await expect(begin()).rejects.toThrow(fault);
  expect(await redoOf(0)).toBeNull();
});

it('that broke off goes on: it asks the archive for no run that it has marked before', async () => {
  const count = 50;
  const fault = new Failure('s3_unavailable', 'no answer within 10000 ms');
  const asked: string[] = [];
  let away = true;
  const { begin, redoOf } = await start(
    count,
    () => false,
    async (_bucket, key) => {
      // some are marked before the archive is away
      if (away && asked.length >= 30) throw fault;
      asked.push(key);
      return await Promise.resolve(undefined);
    },
  );
  await expect(begin()).rejects.toThrow(fault);
  away = false;
  await begin();
  for (let n = 0; n < count; n += 1) expect(await redoOf(n)).toBe('2');
  expect(asked.toSorted()).toEqual([...new Set(asked)].toSorted());
  expect(asked).toHaveLength(count);
});

it('that goes on asks again for a run that it had marked before Redis lost more', async () => {
  const fault = new Failure('s3_unavailable', 'no answer within 10000 ms');
  const archived = new Map<string, string>();
  const broken = { redo: () => Promise.resolve<string | null>(null), away: true };
  const { server, redis, begin, redoOf } = await start(
    3,
    () => false,
    async (_bucket, key) => {
      // the first one is marked before the archive is away
      if (broken.away && !key.includes(idOf(0))) {
        await until('its mark', async () => (await broken.redo()) === '2');
        throw fault;
      }
      return archived.get(key);
    },
  );
  broken.redo = async () => await redoOf(0);
  await expect(begin()).rejects.toThrow(fault);
  const rollBack = await server.remember();
  // it ends, is archived, and Redis loses that
  const record = { ...(await redis.hgetall(keys.run(idOf(0)))), state: 'cancelled', 'p:0.0': 'skipped', d0: '1', end: '9000' };
  archived.set(`runs/${idOf(0)}.json`, JSON.stringify({ format: 1, id: idOf(0), record, document: null, history: [] }));
  await rollBack();
  broken.away = false;
  await begin();
  expect(await redis.hmget(keys.run(idOf(0)), 'state', 'end')).toEqual(['cancelled', '9000']);
  for (const n of [1, 2]) expect(await redoOf(n)).toBe('2');
});

it('asks for a run that was marked before it was looked up', async () => {
  const asked: string[] = [];
  const { redis, begin } = await start(
    1,
    () => false,
    async (_bucket, key) => {
      asked.push(key);
      return await Promise.resolve(undefined);
    },
  );
  await redoRun(redis, idOf(0), 2);
  await begin();
  expect(asked).toEqual([`runs/${idOf(0)}.json`]);
});

const resource = (id: string) => ({ id, app: `app-${id}`, bucket: `ld-private-${id}`, region: 'us-east-1', plan: 'basic' });
const backupOf = (id: string) => JSON.stringify({ format: 1, id, bucket: resource(id).bucket, record: resource(id) });
const none = () => Promise.resolve(undefined);

it.each([
  new Failure('workflow_too_large', 'it has 339154 bytes'),
  new Failure('s3_refused', 'GET "resources/x": HTTP 403 InvalidObjectState.'),
])('is not held up by the backup of one resource that is never to be read: $message', async (fault) => {
  const { redis, cloud, begin, redoOf, said } = await start(
    1,
    () => false,
    none,
    (store) => ({
      ...store,
      text: (bucket, key, ...more) => (key === 'resources/large.json' ? Promise.reject(fault) : store.text(bucket, key, ...more)),
    }),
  );
  for (const id of ['large', 'other']) cloud.put(`resources/${id}.json`, backupOf(id), {}, ARCHIVE_BUCKET);
  await begin();
  expect(await redis.hget(resourceKey('other'), 'bucket')).toBe('ld-private-other');
  expect(await redis.exists(resourceKey('large'))).toBe(0);
  expect(await redoOf(0)).toBe('2');
  expect(said).toContain('backup of a resource not read');
});

it('waits for a backup that the archive does not give now', async () => {
  const fault = new Failure('s3_unavailable', 'no answer within 10000 ms');
  const { cloud, begin, redoOf } = await start(
    1,
    () => false,
    none,
    (store) => ({ ...store, text: () => Promise.reject(fault) }),
  );
  cloud.put('resources/one.json', backupOf('one'), {}, ARCHIVE_BUCKET);
  await expect(begin()).rejects.toThrow(fault);
  expect(await redoOf(0)).toBeNull();
});

it('lists what stands, however many versions of it there were', async () => {
  const calls: string[] = [];
  const { redis, cloud, begin } = await start(
    0,
    () => false,
    none,
    (store) => ({
      ...store,
      versions: async (...order) => {
        calls.push('versions');
        return await store.versions(...order);
      },
      keys: async (...order) => {
        calls.push('keys');
        return await store.keys(...order);
      },
    }),
  );
  for (let i = 0; i < 2_500; i += 1) cloud.put('resources/one.json', backupOf('one'), {}, ARCHIVE_BUCKET);
  await begin();
  expect(calls).toEqual(['keys']);
  expect(await redis.hget(resourceKey('one'), 'bucket')).toBe('ld-private-one');
});

const removalOf = (id: string) =>
  JSON.stringify({ format: 1, id, bucket: resource(id).bucket, record: { ...resource(id), state: 'deprovisioning' } });

it('puts resources back some at a time, and the backups of one of them one after the other, wherever a page of the list ends', async () => {
  const ids = ['a', 'a-b', 'c', 'd'];
  const both = Promise.withResolvers<void>();
  const atWork = new Set<string>();
  const together: string[] = [];
  const { redis, cloud, begin } = await start(
    0,
    () => false,
    none,
    (store) => ({
      ...store,
      // pages of one
      keys: async (bucket, { prefix, next = '0' }) => {
        const { keys } = await store.keys(bucket, { prefix });
        const after = Number(next) + 1;
        return { keys: keys.slice(Number(next), after), ...(after < keys.length ? { next: String(after) } : {}) };
      },
    }),
    (restore) => async (text) => {
      // as `backupOf` and `removalOf` write it
      const { id } = JSON.parse(text) as { id: string };
      if (atWork.has(id)) together.push(id);
      atWork.add(id);
      if (atWork.size > 1) both.resolve();
      await both.promise;
      const changed = await restore(text);
      atWork.delete(id);
      return changed;
    },
  );
  for (const id of ids) {
    cloud.put(`resources/${id}.json`, backupOf(id), {}, ARCHIVE_BUCKET);
    cloud.put(`resources/${id}.removal.json`, removalOf(id), {}, ARCHIVE_BUCKET);
  }
  await within({}, 10_000, begin);
  expect(together).toEqual([]);
  for (const id of ids) expect(await redis.hget(resourceKey(id), 'state')).toBe('deprovisioning');
});

it('waits for those that are put back when one of them cannot be, before anybody tries again', async () => {
  const fault = new Error('READONLY');
  const refused = Promise.withResolvers<void>();
  const restored: string[] = [];
  const { cloud, begin } = await start(
    0,
    () => false,
    none,
    (store) => store,
    (restore) => async (text) => {
      const { id } = JSON.parse(text) as { id: string };
      if (id === 'refused') {
        refused.resolve();
        throw fault;
      }
      await refused.promise;
      await turn();
      restored.push(id);
      return await restore(text);
    },
  );
  for (const id of ['other', 'refused']) cloud.put(`resources/${id}.json`, backupOf(id), {}, ARCHIVE_BUCKET);
  await expect(within({}, 10_000, begin)).rejects.toThrow(fault);
  expect(restored).toEqual(['other']);
});
