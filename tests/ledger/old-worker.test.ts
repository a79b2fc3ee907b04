// A worker that started before the number of shards was raised: it serves no run of the new shards, and must neither forget nor leave them.
import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { startEngine } from '../../src/processors/engine.ts';
import { LAYOUT_KEY, STORE_KEY, shardKeys } from '../../src/queues/keys.ts';
import { openLayout } from '../../src/queues/layout.ts';
import { readLedger } from '../../src/queues/ledger.ts';
import { readWatermark } from '../../src/schema/archive-marks.ts';
import { parseRunId } from '../../src/schema/ids.ts';
import { startAddonWorld } from '../addon/addon-world.ts';
import { startWorld } from '../support/process-world.ts';
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

it('ends, so that a fresh one serves them, when the number was raised and whoever raised it is gone', async () => {
  const server = await startRedis();
  let named: readonly string[] = [];
  const engine = await startTestEngine(
    server,
    { held: (dyno) => dyno.accept() },
    {
      stallMs: 6_000,
      onDead: (what) => {
        named = what;
      },
    },
  );
  try {
    // milliseconds; a minute in production
    const margin = 1;
    const layout = await openLayout({ redis: engine.redis, wanted: 1, margin });
    const worker = await engine.replaceEngine({ layout });
    await openLayout({ redis: engine.redis, wanted: 8, margin });
    expect(named).toEqual([]);
    await layout.refresh();
    await until('its end', () => named.length > 0);
    expect(named).toEqual(['shards 1 to 7']);
    expect(worker.stalled()).toEqual(named);
  } finally {
    await engine.stop();
    await server.stop();
  }
}, 60_000);

it('raises the number when it works, and not before; the ones of before end by themselves, and are served by whoever starts', async () => {
  const world = await startWorld({ ok: (dyno) => dyno.output(5) });
  try {
    const counts = async () => JSON.parse((await world.redis.get(LAYOUT_KEY)) ?? '[]').map(([count]: [number]) => count);
    const old = await world.startWorker('', { AUTOFILES_SHARDS: '1', AUTOFILES_WORKER_PORT: '0' });
    expect(await counts()).toEqual([1]);
    // the last thing that a start may fail at
    const taken = world.startWorker('', { AUTOFILES_SHARDS: '4', AUTOFILES_WORKER_PORT: String(old.port) });
    await expect(taken).rejects.toThrow(/the worker ended with/);
    expect(await counts()).toEqual([1]);
    const other = await world.startWorker('', { AUTOFILES_SHARDS: '3' });
    await until('the change', async () => (await counts()).length === 2);
    expect(await counts()).toEqual([1, 3]);
    expect(await old.ended).toBe('1');
    expect(old.said()).toContain('shards 1 to 2');
    await world.startWorker('', { AUTOFILES_SHARDS: '3' });
    other.signal('SIGTERM');
    expect(await other.ended).toBe('0');
    expect((await world.ended(await world.upload([{ cmd: 'ok', timeout: 30 }]))).state).toBe('succeeded');
  } finally {
    await world.stop();
  }
}, 120_000);

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
