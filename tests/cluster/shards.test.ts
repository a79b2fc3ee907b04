// The number of shards is changed while runs are in flight, up and down again.
import { describe, expect, it } from 'vitest';
import { type Layout, openLayout } from '../../src/queues/layout.ts';
import { parseRunId } from '../../src/schema/ids.ts';
import { startRedis } from '../support/redis-server.ts';
import { eventOf, type Script } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const scripts: Record<string, Script> = {
  ok: async (dyno) => {
    await dyno.output(5);
    return dyno.accept();
  },
  silent: (dyno) => dyno.accept(),
};
const t = (cmd: string) => ({ cmd, timeout: 60, retries: 0 });
const shardOf = (runId: string) => parseRunId(runId)?.shard;

describe('the number of shards', () => {
  it('changes under way: runs stay where they are, new ones are spread anew, and no event runs twice', async () => {
    const server = await startRedis();
    /** Milliseconds; a minute in production. */
    const margin = 1;
    const first = await startTestEngine(server, scripts, {});
    let layout: Layout = await openLayout({ redis: first.redis, wanted: 1, margin });
    /** All processes are replaced by ones with another number, over the same bucket. */
    const change = async (wanted: number) => {
      // what was saved up to now was so by a clock that is ahead: the change is for what comes after that
      layout = await openLayout({ redis: first.redis, wanted, margin: margin + first.cloud.ahead });
      await first.replaceEngine({ shards: layout.served(), layout });
      // what is saved from now on is what the change concerns
      first.cloud.ahead += 5_000;
    };
    const upload = (cmd: string) => {
      const versionId = first.cloud.put(`in/${Math.random()}`, JSON.stringify({ run: [t(cmd), t('ok')] }), { ld_run: 'true' });
      const key =
        [...first.cloud.objects.keys()]
          .find((name) => name.endsWith(`#${versionId}`))
          ?.split('#')[0]
          ?.slice(first.bucket.length + 1) ?? '';
      return { key, versionId, id: layout.place({ bucket: first.bucket, key, versionId }, Date.now() + first.cloud.ahead) };
    };
    const parked = async (id: string) => {
      await until(`${id} parked`, async () => (await first.show(id))?.steps[0]?.tasks[0]?.state === 'running');
    };
    const finish = async (id: string) => {
      first.cloud.put(`out/${id}.0.0`, 'x', { ld_task_id: `${id}.0.0` });
      expect((await first.ended(id)).state).toBe('succeeded');
    };
    try {
      const inOne = upload('silent');
      expect(shardOf(inOne.id)).toBe(0);
      await parked(inOne.id);
      const ended = upload('ok');
      await first.ended(ended.id);

      await change(8);
      const spread = Array.from({ length: 12 }, () => upload('silent'));
      expect(new Set(spread.map(({ id }) => shardOf(id))).size).toBeGreaterThan(2);
      for (const { id } of spread) await parked(id);
      // events of the time before come again, and once more: SQS and the sweep may do that for days
      const posts = first.cloud.posts.length;
      const runs = (await first.decisions())['run'];
      for (const { key, versionId } of [inOne, ended, inOne, ended]) first.cloud.sendEvents([eventOf(first.bucket, key, versionId)]);
      await until('all messages deleted', () => first.cloud.undeleted === 0);
      expect((await first.decisions())['run']).toBe(runs);
      expect(first.cloud.posts).toHaveLength(posts);
      await finish(inOne.id);

      await change(1);
      const again = upload('ok');
      expect(shardOf(again.id)).toBe(0);
      await first.ended(again.id);
      for (const { id } of spread) await finish(id);
      for (const { key, versionId } of spread) first.cloud.sendEvents([eventOf(first.bucket, key, versionId)]);
      await until('all messages deleted', () => first.cloud.undeleted === 0);
      const ids = new Set([inOne, ended, again, ...spread].map(({ id }) => id));
      expect(new Set(first.cloud.posts.map(({ taskId }) => taskId.split('.')[0]))).toEqual(ids);
      expect(first.cloud.posts).toHaveLength(2 * ids.size);
      // whoever looks for a version's run finds it under one of its ids
      for (const { id, key, versionId } of spread) expect(layout.candidates({ bucket: first.bucket, key, versionId })).toContain(id);
    } finally {
      await first.stop();
      await server.stop();
    }
  });

  it('is the same for every process, and never changed for what is saved already', async () => {
    const server = await startRedis();
    const engine = await startTestEngine(server, scripts, {});
    const { redis } = engine;
    try {
      const version = { bucket: 'b', key: 'k', versionId: 'v7' };
      const before = await openLayout({ redis, wanted: 4 });
      const saved = Date.now();
      const id = before.place(version, saved);
      const after = await openLayout({ redis, wanted: 64 });
      expect(after.place(version, saved)).toBe(id);
      expect(after.served()).toBe(64);
      expect(before.served()).toBe(4);
      await before.refresh();
      expect(before.served()).toBe(64);
      const later = saved + 3_600_000;
      expect(before.place(version, later)).toBe(after.place(version, later));
      // a restart with the same number changes nothing; one with fewer goes on serving all
      expect((await openLayout({ redis, wanted: 64 })).candidates(version)).toHaveLength(2);
      expect((await openLayout({ redis, wanted: 2 })).served()).toBe(64);
    } finally {
      await engine.stop();
      await server.stop();
    }
  });
});
