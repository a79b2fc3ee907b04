// Redis loses how many shards there were over time: files of before it keep the runs that they had.
import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { connect } from '../../src/queues/connection.ts';
import { LAYOUT_KEY, STORE_KEY } from '../../src/queues/keys.ts';
import { type Layout, openLayout } from '../../src/queues/layout.ts';
import { openAccount, readLedger } from '../../src/queues/ledger.ts';
import { type LayoutEntries, readWitness } from '../../src/schema/archive-marks.ts';
import { parseRunId } from '../../src/schema/ids.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const SHARDS = 8;

it.each(['emptied', 'rolled back'])(
  '%s after the number of shards was raised: no ended run is run again, and the layout is as it was',
  async (how) => {
    const server = await startRedis();
    const engine = await startTestEngine(
      server,
      {
        ok: async (dyno) => {
          await dyno.output(5);
          return dyno.accept();
        },
      },
      { ledgerMs: 100, lateMs: 300 },
    );
    try {
      // what is saved before its account begins is nobody's to find again
      await until('the account', () => engine.cloud.objects.has(`${ARCHIVE_BUCKET}/watermarks/${engine.resource}.json`));
      // milliseconds; a minute in production
      const margin = 1;
      const first = await openLayout({ redis: engine.redis, wanted: 1, margin });
      await engine.replaceEngine({ layout: first });
      const archived = async (layout: Layout): Promise<string> => {
        const key = `in/${randomUUID()}`;
        const versionId = engine.cloud.put(key, JSON.stringify({ run: [{ cmd: 'ok', timeout: 60 }] }), { ld_run: 'true' });
        const saved = engine.cloud.saved.find((version) => version.versionId === versionId)?.modifiedAt;
        const runId = layout.place({ bucket: engine.bucket, key, versionId }, Math.floor((saved ?? 0) / 1000) * 1000);
        await engine.ended(runId);
        await until(`run ${runId} archived`, () => engine.cloud.objects.has(`${ARCHIVE_BUCKET}/runs/${runId}.json`));
        return runId;
      };
      const before = await archived(first);
      const beats = async () => Number(await engine.redis.hget(STORE_KEY, 'beat'));
      const lose = how === 'emptied' ? server.wipe : await server.remember();
      // what was counted while it was copied may be in the copy
      const remembered = await beats();
      const layout = await openLayout({ redis: engine.redis, wanted: SHARDS, margin });
      const changed = layout.entries()[1]?.[1] ?? 0;
      await engine.replaceEngine({ shards: SHARDS, layout });
      await until('the change to hold', () => Date.now() > changed + 1_000);
      const after = await Promise.all(Array.from({ length: 6 }, () => archived(layout)));
      expect(parseRunId(before)?.shard).toBe(0);
      expect(new Set(after.map((runId) => parseRunId(runId)?.shard)).size).toBeGreaterThan(1);
      const witness = () => readWitness(engine.cloud.objects.get(`${ARCHIVE_BUCKET}/store.json`)?.body ?? '');
      await until('a witness of it', () => witness()?.layout?.length === 2);
      await until('beats that are lost', async () => (await beats()) >= remembered + 2);

      await lose();
      // a worker that starts on the emptied Redis, before anybody has put back what was lost
      const fresh = await openLayout({ redis: engine.redis, wanted: SHARDS, margin });
      const ledger = { id: engine.resource, bucket: engine.bucket };
      await until('another epoch', async () => (await readLedger(engine.redis, ledger, SHARDS)).epoch === 2, 30_000);
      await fresh.refresh();
      expect(fresh.entries()).toEqual(layout.entries());
      const versions = engine.cloud.saved.filter(({ bucket, key }) => bucket === engine.bucket && !key.startsWith('.autofiles/'));
      await until(
        'every version accounted for',
        async () =>
          (await (await openAccount(engine.redis, engine.resource, fresh, Date.now() - 7_200_000)).missing(versions)).length === 0,
        60_000,
      );
      for (const runId of [before, ...after]) expect(engine.cloud.postsOf(runId).map(({ attempt }) => attempt)).toEqual([1]);
      expect(engine.cloud.posts).toHaveLength(1 + after.length);
    } finally {
      await engine.stop();
      await server.stop();
    }
  },
  120_000,
);

it('a process that knows the layout keeps it on an emptied Redis that a fresh worker has given another one, until the next epoch', async () => {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  try {
    const given = async (entries: LayoutEntries) => await redis.set(LAYOUT_KEY, JSON.stringify(entries));
    // its run has another id by four shards than by eight
    const version = { bucket: 'b', key: 'in/file', versionId: 'v4' };
    const known: LayoutEntries = [
      [4, 0],
      [8, 1_000],
    ];
    await given(known);
    await redis.hset(STORE_KEY, 'epoch', 1);
    const layout = await openLayout({ redis });
    const before = layout.place(version, 500);

    await server.wipe();
    await given([[8, 0]]);
    const fresh = await openLayout({ redis });
    expect(fresh.place(version, 500)).not.toBe(before);
    await layout.refresh();
    expect(layout.place(version, 500)).toBe(before);
    expect(layout.served()).toBe(8);

    // the recovery knew of one more
    const restored: LayoutEntries = [...known, [16, 2_000]];
    await given(restored);
    await fresh.refresh();
    await layout.refresh();
    expect(fresh.entries()).toEqual(restored);
    expect(layout.entries()).toEqual(restored);

    // it knew of less than this process, and its epoch has begun
    const other: LayoutEntries = [
      [4, 0],
      [2, 3_000],
    ];
    await given(other);
    await layout.refresh();
    expect(layout.entries()).toEqual(restored);
    await redis.hset(STORE_KEY, 'epoch', 2);
    await layout.refresh();
    expect(layout.entries()).toEqual(other);
    expect(layout.served()).toBe(16);
  } finally {
    redis.disconnect();
    await server.stop();
  }
});
