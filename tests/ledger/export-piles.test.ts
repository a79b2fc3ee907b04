// Piles of runs whose bucket refused their export: whose turn it is, who joins one, and what leaves it without an export.
import { afterEach, expect, it } from 'vitest';
import { type ArchiveDeps, archiveWaiting } from '../../src/processors/archive.ts';
import { exportRefused } from '../../src/processors/export-run.ts';
import { createArchiveQueue } from '../../src/queues/archive.ts';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { createPurge } from '../../src/queues/purge.ts';
import { createStoreEpoch } from '../../src/queues/store-epoch.ts';
import { createWatch } from '../../src/queues/watch.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, ScriptedCloud } from '../support/scripted-cloud.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';

const keys = shardKeys(0);
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** An archive without loops, whose `refusing` are buckets and runs that the store does not take, whose `gone` resources are being removed, and what was written where. */
async function start() {
  const server = await startRedis();
  ends.push(server.stop);
  const redis = connect({ socket: server.socket }, () => {});
  ends.push(async () => await Promise.resolve(redis.disconnect()));
  const { store } = new ScriptedCloud('bucket', {});
  const puts: { bucket: string; key: string }[] = [];
  const refusing = new Set<string>();
  const gone = new Set<string>();
  const deps: ArchiveDeps = {
    archive: createArchiveQueue({ redis, shard: 0 }),
    store: {
      ...store,
      put: async (bucket, key) => {
        puts.push({ bucket, key });
        if ([...refusing].some((name) => bucket === name || key.includes(name)))
          throw new Failure('s3_refused', 'PUT: HTTP 403 AccessDenied.');
        return await Promise.resolve({ etag: 'e', versionId: 'v' });
      },
    },
    bucket: ARCHIVE_BUCKET,
    watch: createWatch({ redis, shard: 0 }),
    purgeRemoved: async () => await Promise.resolve(false),
    gone: async (resource) => await Promise.resolve(gone.has(resource)),
    failpoint: () => {},
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
  };
  /** Ended runs that wait for the archive; answers their ids. */
  const endedRuns = async (resource: string, count: number, text = 'run') => {
    const runIds = Array.from({ length: count }, (_, n) => seedId(`${resource} ${text} ${n}`));
    await seedRuns(
      redis,
      runIds.map((runId) => ({ runId, resource, rejected: 'no' })),
    );
    return runIds;
  };
  /** Ended runs that the archive has, in a pile that is due since `score`. */
  const pileOf = async (resource: string, count: number, score: number, since = 1) => {
    const runIds = await endedRuns(resource, count, 'pile');
    await redis.zrem(keys.unarchived, ...runIds);
    for (const runId of runIds) await redis.zadd(keys.unexportedOf(resource), since, runId);
    await redis.zadd(keys.unexported, score, resource);
    return runIds;
  };
  const exportsOf = (resource: string) => puts.filter(({ bucket }) => bucket === `ld-private-${resource}`).length;
  const left = async (pile: string) => await redis.zcard(keys.unexportedOf(pile));
  return { redis, deps, puts, refusing, gone, endedRuns, pileOf, exportsOf, left };
}

it('piles that take many turns keep no other from its turn', async () => {
  const { deps, pileOf, exportsOf } = await start();
  for (const score of [1, 2, 3, 4]) await pileOf(`long-${score}`, 60, score);
  await pileOf('short', 1, 5);
  await exportRefused(deps);
  expect(exportsOf('short')).toBe(0);
  await exportRefused(deps);
  expect(exportsOf('short')).toBe(1);
});

it('a run that ends while the pile of a bucket that takes exports again is long does not join it', async () => {
  const { redis, deps, endedRuns, pileOf, exportsOf, left, refusing } = await start();
  await pileOf('busy', 60, 1);
  await exportRefused(deps);
  const [before, waiting] = [exportsOf('busy'), await left('busy')];
  expect(waiting).toBeGreaterThan(0);
  const [runId = ''] = await endedRuns('busy', 1);
  await archiveWaiting(deps);
  expect(exportsOf('busy')).toBe(before + 1);
  expect(await left('busy')).toBe(waiting);
  expect(await redis.hexists(keys.run(runId), 'arch')).toBe(1);
  // once that is refused, the next ones join it untried, and the pile keeps its turn
  refusing.add('ld-private-busy');
  await endedRuns('busy', 1, 'refused');
  await archiveWaiting(deps);
  const tried = exportsOf('busy');
  await endedRuns('busy', 1, 'untried');
  await archiveWaiting(deps);
  expect(exportsOf('busy')).toBe(tried);
  expect(await left('busy')).toBe(waiting + 2);
  expect(await deps.archive.refusing(1)).toEqual(['busy']);
  // nor do those that come when the exporter itself was refused
  refusing.clear();
  await exportRefused(deps);
  refusing.add('ld-private-busy');
  await exportRefused(deps);
  const again = exportsOf('busy');
  await endedRuns('busy', 1, 'later');
  await archiveWaiting(deps);
  expect(exportsOf('busy')).toBe(again);
});

it('a run whose export was given up is no sign that its bucket takes others', async () => {
  const { redis, deps, endedRuns, pileOf, exportsOf } = await start();
  await pileOf('refusing', 2, Date.now() + 60_000);
  const [runId = ''] = await endedRuns('refusing', 1, 'given up');
  await redis.hset(keys.run(runId), 'noexp', 1);
  await archiveWaiting(deps);
  expect(await redis.hexists(keys.run(runId), 'arch')).toBe(1);
  await endedRuns('refusing', 1);
  await archiveWaiting(deps);
  expect(exportsOf('refusing')).toBe(0);
});

it('a run whose export was given up before may leave Redis when it comes back from the archive', async () => {
  const { redis, deps, endedRuns, left } = await start();
  const [runId = ''] = await endedRuns('lost', 1);
  await redis.hset(keys.run(runId), 'noexp', 1);
  const run = await deps.archive.read(runId);
  if (run === undefined) throw new Error('no run');
  await redis.flushall();
  expect(await createStoreEpoch({ redis, shards: () => 1 }).restore({ ...run, format: 1 })).toBe(true);
  expect(await left('lost')).toBe(0);
  expect(await deps.archive.refuses('lost')).toBe(false);
  expect(await deps.archive.retire('lost', runId, 0)).toBe('stub');
});

it('a run whose export was given up before may leave Redis when it is given up once more', async () => {
  const { redis, deps, pileOf } = await start();
  const [runId = ''] = await pileOf('twice', 1, 1);
  await redis.hset(keys.run(runId), 'noexp', 1);
  expect(await deps.archive.retire('twice', runId, 0)).toBe('unarchived');
  await deps.archive.giveUpExport('twice', runId, 'refused');
  expect(await deps.archive.retire('twice', runId, 0)).toBe('stub');
});

it('a run whose export was given up before stays until it is archived, when it is given up once more while it waits for that', async () => {
  const { redis, deps, pileOf } = await start();
  const [runId = ''] = await pileOf('late', 1, 1);
  await redis.hset(keys.run(runId), 'noexp', 1);
  await redis.zadd(keys.unarchived, 1, runId);
  await deps.archive.giveUpExport('late', runId, 'refused');
  expect(await deps.archive.retire('late', runId, 0)).toBe('unarchived');
});

it('a bucket whose resource is being removed gets no export any more, and none waits for it', async () => {
  const { redis, deps, gone, endedRuns, pileOf, exportsOf, left } = await start();
  const runIds = await pileOf('leaving', 100, 1);
  gone.add('leaving');
  for (let turns = 0; turns < 4; turns += 1) await exportRefused(deps);
  expect(exportsOf('leaving')).toBe(0);
  expect(await left('leaving')).toBe(0);
  for (const runId of runIds) expect(await redis.hexists(keys.run(runId), 'arch')).toBe(1);
  // nor that of a run that ends now
  const [late = ''] = await endedRuns('leaving', 1);
  await archiveWaiting(deps);
  expect(exportsOf('leaving')).toBe(0);
  expect(await redis.hexists(keys.run(late), 'arch')).toBe(1);
});

it('a run that is refused as the last one of a pile whose others were taken waits by itself', async () => {
  const { redis, deps, pileOf, left, refusing } = await start();
  await pileOf('last', 3, 1, Date.now() - 60_000);
  const youngest = seedId('last pile 2');
  await redis.zadd(keys.unexportedOf('last'), Date.now(), youngest);
  refusing.add(youngest);
  await exportRefused(deps);
  expect(await left('last')).toBe(0);
  expect(await left(`last|${youngest}`)).toBe(1);
});

it('runs that cannot be shown wait by themselves, and none between them is given up or held back', async () => {
  const { redis, deps, pileOf, exportsOf, left } = await start();
  const old = Date.now() - 8 * 86_400_000;
  const runIds = await pileOf('spoiled', 5, 1, old);
  for (const [n, runId] of runIds.entries()) await redis.zadd(keys.unexportedOf('spoiled'), old + n, runId);
  const [first = '', good = '', second = '', fine = '', last = ''] = runIds;
  for (const runId of [first, second, last]) await redis.rpush(keys.history(runId), 'none of ours');
  await exportRefused(deps);
  expect(exportsOf('spoiled')).toBe(2);
  for (const runId of [good, fine]) expect(await redis.hmget(keys.run(runId), 'arch', 'noexp')).toEqual([expect.any(String), null]);
  expect(await left('spoiled')).toBe(0);
});

it('a purge that breaks off is made again, and leaves no pile', async () => {
  const { redis, deps, pileOf } = await start();
  await pileOf('removed', 3, 1);
  const scan = redis.scan.bind(redis);
  let scans = 0;
  const { purge } = createPurge({ redis, shards: () => 1 });
  redis.scan = (async (...args: Parameters<typeof scan>) => {
    scans += 1;
    return await (scans === 1 ? Promise.reject(new Error('the connection broke')) : scan(...args));
  }) as typeof scan;
  const purging: ArchiveDeps = {
    ...deps,
    purgeRemoved: async (resource) => {
      await purge(resource);
      return true;
    },
  };
  await exportRefused(purging);
  expect(await redis.keys('*removed*')).not.toEqual([]);
  await redis.zadd(keys.unexported, 'XX', 1, 'removed');
  await exportRefused(purging);
  expect((await redis.keys('*removed*')).filter((key) => !key.includes(':rate:'))).toEqual([]);
  expect(await redis.zrange(keys.unexported, '0', '-1')).toEqual([]);
});

it('a Redis that does not answer is no fault of the run that was to be read: it stays where it is', async () => {
  const { deps, pileOf, exportsOf, left } = await start();
  await pileOf('away', 2, 1);
  const read = async () => await Promise.reject(new Error('Connection is closed.'));
  await exportRefused({ ...deps, archive: { ...deps.archive, read } });
  expect([await left('away'), exportsOf('away')]).toEqual([2, 0]);
});
