// A node of a cluster comes back without what it had.
import { afterEach, expect, it } from 'vitest';
import { NODE_KEYS, STORE_KEY, shardKeys } from '../../src/queues/keys.ts';
import { readLedger } from '../../src/queues/ledger.ts';
import { parseRunId } from '../../src/schema/ids.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const SHARDS = 8;
const SLOTS = 16_384;
const task = (cmd: string) => ({ cmd, timeout: 60 });

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

it('each sixteenth of the slots has a key by which a loss of its node is noticed', async () => {
  const servers = await startRedisCluster({ replica: false });
  ends.push(servers.stop);
  const engine = await startTestEngine(servers, {}, { shards: 1 });
  ends.push(engine.stop);
  const slots = await Promise.all(NODE_KEYS.map(async (key) => Number(await engine.redis.cluster('KEYSLOT', key))));
  expect(slots.map((slot) => Math.floor((slot * 16) / SLOTS))).toEqual(NODE_KEYS.map((_, i) => i));
});

it('is noticed although the node with the epoch lost nothing: no attempt is launched twice, and all is done', async () => {
  const servers = await startRedisCluster({ replica: false });
  ends.push(servers.stop);
  const release = Promise.withResolvers<void>();
  const engine = await startTestEngine(
    servers,
    {
      ok: async (dyno) => {
        await dyno.output(5);
        return dyno.accept();
      },
      held: async (dyno) => {
        void release.promise.then(async () => await dyno.output(1));
        return await Promise.resolve(dyno.accept());
      },
    },
    { shards: SHARDS, ledgerMs: 100, lateMs: 300 },
  );
  ends.push(engine.stop);
  await until('a witness, a watermark and a backup', () =>
    ['store.json', `watermarks/${engine.resource}.json`, `resources/${engine.resource}.json`].every((key) =>
      engine.cloud.objects.has(`${ARCHIVE_BUCKET}/${key}`),
    ),
  );
  const shards = await Promise.all(
    Array.from({ length: SHARDS }, async (_, shard) => ({ shard, apart: !(await servers.together(shardKeys(shard).live, STORE_KEY)) })),
  );
  const victim = shards.find(({ apart }) => apart)?.shard;
  if (victim === undefined) throw new Error('all shards are on one node');
  const open = Array.from({ length: 24 }, () => engine.upload([task('held'), task('ok')]));
  // chance may leave it without any
  while (!open.some((runId) => parseRunId(runId)?.shard === victim)) open.push(engine.upload([task('held'), task('ok')]));
  await until('their launches', () => open.every((runId) => engine.cloud.postsOf(runId).length === 1));

  await servers.emptyNodeOf(shardKeys(victim).live);

  const ledger = () => readLedger(engine.redis, { id: engine.resource, bucket: engine.bucket }, SHARDS);
  await until('another epoch', async () => (await ledger()).epoch === 2, 60_000);
  release.resolve();
  for (const runId of open) {
    const run = await engine.ended(runId, 60_000);
    expect(run.state, JSON.stringify(run.history)).toBe('succeeded');
  }
  const attempts = engine.cloud.posts.map(({ taskId, attempt }) => `${taskId}/${attempt}`);
  expect(new Set(attempts).size).toBe(attempts.length);
  expect((await ledger()).epoch).toBe(2);
}, 180_000);
