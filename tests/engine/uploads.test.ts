// What an uploaded object leads to: a run, a run that is rejected, or a decision that says why not.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { shardKeys } from '../../src/queues/keys.ts';
import { readSetAside } from '../../src/queues/set-aside.ts';
import { MAX_DOCUMENT_BYTES } from '../../src/schema/workflow.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, eventOf } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { openTestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';
import { alone, DAY_MS, done, MINUTE_MS, runsOf, scripts, t, whats, workflow } from './events-engine.ts';

let redis: TestRedis;
let engine: TestEngine;
beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, scripts);
});
beforeEach(() => {
  engine.cloud.copies = 1;
  engine.cloud.delay = 0;
});
afterAll(async () => {
  await engine.stop();
  await redis.stop();
});

describe('an upload', () => {
  it('of a key that was uploaded before is a run of its own', async () => {
    const [first, second] = [engine.upload([t('ok')], 'in/same'), engine.upload([t('ok')], 'in/same')];
    expect(first).not.toBe(second);
    expect((await engine.ended(first)).state).toBe('succeeded');
    expect((await engine.ended(second)).state).toBe('succeeded');
    expect([engine.cloud.postsOf(first).length, engine.cloud.postsOf(second).length]).toEqual([1, 1]);
  });

  it('whose event comes five times is one run, and stays it when the event comes again after the end', async () => {
    engine.cloud.copies = 5;
    const key = `in/${randomUUID()}`;
    const versionId = engine.cloud.put(key, workflow(t('ok'), t('ok')), { ld_run: 'true' });
    const runId = engine.runIdOf(key, versionId);
    const ended = await engine.ended(runId);
    await done(engine);
    engine.cloud.sendEvents([eventOf(engine.bucket, key, versionId), eventOf(engine.bucket, key, versionId)]);
    await done(engine);
    expect(await engine.show(runId)).toMatchObject({ state: 'succeeded', ended_at: ended.ended_at });
    expect(whats(ended).filter((what) => what === 'accepted')).toHaveLength(1);
    expect(engine.cloud.postsOf(runId)).toHaveLength(2);
    expect((await runsOf(engine)).filter((run) => run.id === runId)).toHaveLength(1);
    expect(await engine.leftovers(runId)).toEqual([]);
  });

  it('by a run of a run stops after sixteen generations', async () => {
    await alone({}, async ({ engine: own }) => {
      own.cloud.scripts['again'] = async (dyno) => {
        own.cloud.put('out/loop.json', workflow(t('again')), { ld_task_id: dyno.post.taskId, ld_run: '1' });
        return dyno.accept();
      };
      own.upload([t('again')]);
      await until('the guard', async () => (await own.quarantine()).some(({ reason }) => reason.includes('a loop is assumed')));
      await done(own);
      const runs = await until('the last run', async () => {
        const all = await runsOf(own);
        return all.every((run) => run.ended_at !== null) && all;
      });
      expect(runs.map((run) => run.state)).toEqual(Array.from({ length: 17 }, () => 'succeeded'));
      expect(own.cloud.posts).toHaveLength(17);
    });
  });

  it('is set aside when its resource has started too many runs in this minute, and only its own', async () => {
    await alone({ runsPerMinute: 3 }, async ({ engine: own }) => {
      const other = await own.otherResource();
      // the cap counts by the minute: not over the turn of one
      await until('the middle of a minute', () => Date.now() % MINUTE_MS < MINUTE_MS - 8_000, 10_000);
      const ids = Array.from({ length: 5 }, () => own.upload([t('ok')]));
      await done(own);
      const there = (await Promise.all(ids.map((id) => own.show(id)))).filter((run) => run !== undefined);
      expect(there).toHaveLength(3);
      for (const run of there) expect((await own.ended(run.id)).state).toBe('succeeded');
      const set = await own.quarantine();
      expect(set.filter(({ reason }) => reason === 'too many runs in one minute')).toHaveLength(2);
      own.cloud.put('in/other', workflow(t('ok')), { ld_run: 'yes' }, other.bucket);
      await done(own);
      expect(await runsOf(own, other.id)).toHaveLength(1);
    });
  });

  // with a share for each shard, one that has not used its own takes it also when the others have taken all there is
  it.each([
    { cap: 3, most: 3 },
    { cap: 6, most: 9 },
  ])('is set aside past the cap of all shards together, and not before: of $cap', async ({ cap, most }) => {
    await alone({ runsPerMinute: cap, shards: 4 }, async ({ engine: own }) => {
      await until('the middle of a minute', () => Date.now() % MINUTE_MS < MINUTE_MS - 8_000, 10_000);
      const ids: string[] = [];
      // one after the other: what is decided at once may all find room
      for (let n = 0; n < 16; n += 1) {
        ids.push(own.upload([t('ok')]));
        await done(own);
      }
      const there = await Promise.all(ids.map(async (id) => (await own.show(id)) !== undefined));
      expect(there.slice(0, cap)).toEqual(Array.from({ length: cap }, () => true));
      const accepted = there.filter(Boolean).length;
      expect(accepted).toBeLessThanOrEqual(most);
      expect(await readSetAside(own.redis, 4, own.resource, { limit: 100 })).toHaveLength(ids.length - accepted);
    });
  });

  it.each(['the sweep', 'a backfill'])('finds room in a minute in which %s has started more runs than the cap', async (who) => {
    await alone({ runsPerMinute: 3, shards: 4, ...(who === 'the sweep' ? { ledgerMs: 100, lateMs: 100 } : {}) }, async (world) => {
      const own = world.engine;
      await until('the account to begin', () => own.cloud.objects.has(`${ARCHIVE_BUCKET}/watermarks/${own.resource}.json`));
      await until('the middle of a minute', () => Date.now() % MINUTE_MS < MINUTE_MS - 12_000, 15_000);
      for (let n = 0; n < 8; n += 1) own.cloud.putSilently(`in/missed ${n}`, workflow(t('ok')), { ld_run: 'true' });
      if (who === 'a backfill') {
        const web = await openTestWeb(world.redis, { resource: own.resource, store: own.cloud.store });
        await web.call('POST', '/v1/ledger/backfill', { body: { dry_run: false } }).finally(web.close);
      }
      await until('their runs', async () => (await runsOf(own)).length === 8);
      const kept = own.upload([t('ok')]);
      await done(own);
      expect(await readSetAside(own.redis, 4, own.resource, { limit: 100 })).toEqual([]);
      expect((await own.ended(kept)).state).toBe('succeeded');
    });
  });

  it('that was set aside stays so when its event comes again in a minute with room', async () => {
    await alone({ runsPerMinute: 1 }, async ({ engine: own }) => {
      await until('the middle of a minute', () => Date.now() % MINUTE_MS < MINUTE_MS - 8_000, 10_000);
      const kept = own.upload([t('ok')]);
      await done(own);
      const key = 'in/over';
      const versionId = own.cloud.put(key, workflow(t('ok')), { ld_run: 'true' });
      await done(own);
      const before = await own.quarantine();
      expect(before).toEqual([expect.objectContaining({ key, reason: 'too many runs in one minute' })]);
      // a minute later nothing of it is counted any more
      const counters = await own.keys(`${shardKeys(0).rate(own.resource)}:*`);
      await own.redis.del(...counters);
      // its message was not deleted in time, and comes again
      own.cloud.sendEvents([eventOf(own.bucket, key, versionId)]);
      await done(own);
      expect(await own.show(own.runIdOf(key, versionId))).toBeUndefined();
      expect(await own.quarantine()).toEqual(before);
      expect(await own.decisions()).toMatchObject({ run: 1, quarantined: 1 });
      expect((await own.ended(kept)).state).toBe('succeeded');
      expect((await own.ended(own.upload([t('ok')]))).state).toBe('succeeded');
    });
  });

  it('under .autofiles/ is dropped before anything is asked', async () => {
    const before = { heads: engine.cloud.heads, decisions: await engine.decisions(), set: await engine.quarantine() };
    const versionId = engine.cloud.put('.autofiles/runs/2026/11/28/r.json', workflow(t('ok')), { ld_run: 'true' });
    await done(engine);
    expect({ heads: engine.cloud.heads, decisions: await engine.decisions(), set: await engine.quarantine() }).toEqual(before);
    expect(await engine.show(engine.runIdOf('.autofiles/runs/2026/11/28/r.json', versionId))).toBeUndefined();
  });

  it('without a version is set aside', async () => {
    engine.cloud.sendEvents([eventOf(engine.bucket, 'in/plain'), eventOf(engine.bucket, 'in/suspended', 'null')]);
    await done(engine);
    const set = await engine.quarantine();
    for (const key of ['in/plain', 'in/suspended']) {
      expect(set).toContainEqual(expect.objectContaining({ key, reason: 'the bucket is not versioned' }));
    }
  });

  it('older than the memory of runs is set aside, a little younger it runs', async () => {
    const send = (key: string, days: number) => {
      const versionId = engine.cloud.putSilently(key, workflow(t('ok')), { ld_run: 'true' });
      engine.cloud.sendEvents([eventOf(engine.bucket, key, versionId, { eventTime: new Date(Date.now() - days * DAY_MS).toISOString() })]);
      return engine.runIdOf(key, versionId);
    };
    const [old, young] = [send('in/old', 15.01), send('in/young', 14.9)];
    expect((await engine.ended(young)).state).toBe('succeeded');
    await done(engine);
    expect(await engine.show(old)).toBeUndefined();
    expect(await engine.quarantine()).toContainEqual(
      expect.objectContaining({ key: 'in/old', reason: expect.stringContaining('older than 15 days') }),
    );
  });

  it('that was deleted meanwhile is ignored', async () => {
    const before = (await engine.decisions())['ignored'] ?? 0;
    engine.cloud.sendEvents([eventOf(engine.bucket, 'in/gone', randomUUID())]);
    await done(engine);
    expect((await engine.decisions())['ignored']).toBe(before + 1);
  });

  it('with an invalid workflow is a rejected run that shows every fault', async () => {
    const key = 'in/invalid.json';
    const text = JSON.stringify({ titel: 'x', run: [{ cmd: '' }, { cmd: 'a', timeout: -1 }, { command: 'b' }] });
    const versionId = engine.cloud.put(key, text, { ld_run: 'true' });
    await done(engine);
    const run = await engine.show(engine.runIdOf(key, versionId));
    expect(run).toMatchObject({ state: 'rejected', error: { code: 'workflow_invalid' }, trigger: { key, version_id: versionId } });
    for (const place of ['titel', '/run/0/cmd', '/run/1/timeout', 'command']) expect(run?.error?.message).toContain(place);
    expect(run?.error?.message.split('\n').length).toBeGreaterThanOrEqual(4);
    expect(run?.ended_at).not.toBeNull();
    expect(await engine.leftovers(run?.id ?? '-')).toEqual([]);
  });

  it('with both ld_run and ld_code is a rejected run', async () => {
    const versionId = engine.cloud.put('in/both', workflow(t('ok')), { ld_run: 'true', ld_code: workflow(t('ok')) });
    await done(engine);
    expect(await engine.show(engine.runIdOf('in/both', versionId))).toMatchObject({
      state: 'rejected',
      error: { code: 'workflow_conflict' },
    });
  });

  it('whose body is too large for a workflow is a rejected run', async () => {
    const body = `${workflow(t('ok'))}${' '.repeat(MAX_DOCUMENT_BYTES)}`;
    const versionId = engine.cloud.put('in/large', body, { ld_run: 'true' });
    await done(engine);
    expect(await engine.show(engine.runIdOf('in/large', versionId))).toMatchObject({
      state: 'rejected',
      error: { code: 'workflow_too_large' },
    });
  });

  it('with its workflow attached runs it, whatever the body is', async () => {
    const versionId = engine.cloud.put('in/photo.png', 'not json', { ld_code: workflow(t('ok')) });
    expect((await engine.ended(engine.runIdOf('in/photo.png', versionId))).state).toBe('succeeded');
  });
});
