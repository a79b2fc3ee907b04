// A worker that started before the number of shards was raised: it serves no run of the new shards, and must neither forget nor leave them.
import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { startEngine } from '../../src/processors/engine.ts';
import { STORE_KEY, shardKeys } from '../../src/queues/keys.ts';
import { openLayout } from '../../src/queues/layout.ts';
import { readLedger } from '../../src/queues/ledger.ts';
import { readWatermark } from '../../src/schema/archive-marks.ts';
import { parseRunId } from '../../src/schema/ids.ts';
import { startAddonWorld } from '../addon/addon-world.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

it('moves no watermark past a run in a shard that it does not serve, and recovers it after a loss', async () => {
  const server = await startRedis();
  const engine = await startTestEngine(server, { held: (dyno) => dyno.accept() }, { ledgerMs: 100, lateMs: 300 });
  try {
    // milliseconds; a minute in production
    const margin = 1;
    const layout = await openLayout({ redis: engine.redis, wanted: 1, margin });
    await engine.replaceEngine({ layout });
    const raised = await openLayout({ redis: engine.redis, wanted: 8, margin });
    await layout.refresh();
    const other = await startEngine({ ...engine.options, shards: 8, layout: raised });
    const changed = layout.entries()[1]?.[1] ?? 0;
    await until('the change to hold', () => Date.now() > changed + 1_000);
    const accept = (): string => {
      const key = `in/${randomUUID()}`;
      const versionId = engine.cloud.put(key, JSON.stringify({ run: [{ cmd: 'held', timeout: 60 }] }), { ld_run: 'true' });
      const saved = engine.cloud.saved.find((version) => version.versionId === versionId)?.modifiedAt ?? 0;
      return layout.place({ bucket: engine.bucket, key, versionId }, Math.floor(saved / 1000) * 1000);
    };
    const runs = Array.from({ length: 6 }, accept);
    const open = runs.find((runId) => (parseRunId(runId)?.shard ?? 0) > 0) ?? '';
    const posted = (runId: string) => engine.cloud.postsOf(runId).length === 1;
    await until('all launched', () => runs.every(posted));
    await other.stop(5_000);
    // what is in the old worker's own shard would hold the watermark as well
    for (const runId of runs.filter((one) => parseRunId(one)?.shard === 0)) await engine.runs.cancel(runId, 'test');
    const record = shardKeys(parseRunId(open)?.shard ?? 0).run(open);
    const accepted = Date.now();
    const ledger = { id: engine.resource, bucket: engine.bucket };
    const sweptAt = async () => Date.parse((await readLedger(engine.redis, ledger, 8)).swept_at ?? '');
    await until('a sweep a while later', async () => (await sweptAt()) > accepted + 300);
    const text = engine.cloud.objects.get(`${ARCHIVE_BUCKET}/watermarks/${engine.resource}.json`)?.body ?? '';
    expect(readWatermark(text, ledger)?.at).toBeLessThan(accepted);

    await engine.redis.hset(STORE_KEY, 'beat', 0);
    await until('another epoch', async () => (await readLedger(engine.redis, ledger, 8)).epoch === 2, 30_000);
    expect(await engine.redis.hget(record, 'redo')).toBe('2');
  } finally {
    await engine.stop();
    await server.stop();
  }
}, 60_000);

it('takes away with a resource what it has in shards that came after the worker', async () => {
  const world = await startAddonWorld();
  try {
    // milliseconds; a minute in production
    const margin = 1;
    const layout = await openLayout({ redis: world.redis, wanted: 1, margin });
    await world.work(undefined, undefined, layout);
    const id = await world.provisioned();
    await openLayout({ redis: world.redis, wanted: 8, margin });
    // every ten seconds in production
    await layout.refresh();
    const run = seedId('later', 5);
    await seedRuns(world.redis, [{ runId: run, resource: id, rejected: 'no workflow' }]);
    const left = async () => (await world.redis.keys('*')).filter((key) => key.includes(run) || key.includes(id)).toSorted();
    expect(await left()).toContain(shardKeys(5).run(run));
    expect((await world.call('DELETE', `/heroku/resources/${id}`)).status).toBe(204);
    await until('removed', async () => (await world.resources.stateOf(id)) === 'removed', 30_000);
    await until('the job to be gone', async () => (await left()).every((key) => !key.startsWith('{af:addon}')));
    expect(await left()).toEqual([`af:audit:${id}`, `af:resource:${id}`]);
    for (const list of ['live', 'unarchived'] as const) expect(await world.redis.zscore(shardKeys(5)[list], run), list).toBeNull();
  } finally {
    await world.stop();
  }
}, 60_000);
