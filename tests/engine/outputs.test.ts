// What an uploaded object leads to: an output, a run, both, or a decision that says why not. Every event ends in one
// recorded decision, whatever comes twice, late, from the wrong bucket or while S3 or Redis is away.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { listRuns } from '../../src/queues/run-list.ts';
import { readSetAside } from '../../src/queues/set-aside.ts';
import { readMarker } from '../../src/schema/command.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import { MAX_DOCUMENT_BYTES } from '../../src/schema/workflow.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, eventOf, type Script } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { openTestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** Lets the answer to a launch wait until a test says so. */
const gates = new Map<string, Promise<unknown>>();

const scripts: Record<string, Script> = {
  ok: async (dyno) => {
    await dyno.output(5);
    return dyno.accept();
  },
  silent: (dyno) => dyno.accept(),
  gated: async (dyno) => {
    await dyno.output(0);
    await gates.get('gated');
    return dyno.accept();
  },
};

const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 30, ...more });
const workflow = (...run: unknown[]) => JSON.stringify({ run });
const whats = (run: RunView) => run.history.map((entry) => entry.what);
const done = (engine: TestEngine) => until('all messages to be deleted', () => engine.cloud.undeleted === 0);
const launchedTask = (engine: TestEngine, taskId: string) =>
  until(`the launch of ${taskId}`, async () => {
    const run = await engine.show(taskId.split('.')[0] ?? '');
    return run?.history.some((entry) => entry.what === 'launched' && entry.task === taskId);
  });

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

/** An engine with a Redis of its own, for tests that switch something off. */
async function alone<T>(
  overrides: Partial<EngineOptions>,
  test: (world: { redis: TestRedis; engine: TestEngine }) => Promise<T>,
  redisOptions: Parameters<typeof startRedis>[0] = {},
): Promise<void> {
  const own = await startRedis(redisOptions);
  const world = { redis: own, engine: await startTestEngine(own, scripts, overrides) };
  try {
    await test(world);
  } finally {
    await world.engine.stop();
    await own.stop();
  }
}

const runsOf = async (of: TestEngine, resource = of.resource) =>
  (await listRuns(of.redis, of.options.shards, { resource, limit: 100 })).runs;

describe('an output', () => {
  it('that comes before the next launch is sent keeps it from being sent', async () => {
    await alone({}, async ({ engine: own }) => {
      let heard = false;
      const { platform } = own.options;
      await own.replaceEngine({
        platform: {
          ...platform,
          launch: async (app, order, how) => {
            const { taskId, attempt } = readMarker(order.command) ?? { taskId: '', attempt: 0 };
            if (attempt === 1) return await platform.launch(app, order, how);
            await own.runs.deliver(taskId, own.resource, { key: 'out/x', version_id: 'o', etag: 'e', size: 1 });
            // well before the launch would be too late
            heard = await until('word of it', () => how.mayStill?.() === false, 600).catch(() => false);
            return { outcome: 'unknown', unsent: true, cause: 'it came too late' };
          },
        },
      });
      const runId = own.upload([t('silent', { timeout: 1, retries: 1, backoff: { type: 'fixed', delay: 0.05 } })]);
      expect((await own.ended(runId)).state).toBe('succeeded');
      expect(heard).toBe(true);
    });
  });

  it('counts when it comes before the launch call has returned', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    gates.set('gated', promise);
    const runId = engine.upload([t('gated')]);
    const before = await until('the output', async () => {
      const run = await engine.show(runId);
      return run?.history.some((entry) => entry.what === 'output') ? run : undefined;
    });
    expect(whats(before)).not.toContain('launched');
    resolve();
    const run = await engine.ended(runId);
    expect(run.state).toBe('succeeded');
    expect(engine.cloud.postsOf(runId)).toHaveLength(1);
    await until('the dyno in the record', async () => (await engine.show(runId))?.steps[0]?.tasks[0]?.dyno ?? undefined);
    expect(engine.cloud.stopped).toEqual([]);
  });

  it('that comes after the end changes nothing but is listed', async () => {
    const runId = engine.upload([t('ok')]);
    const ended = await engine.ended(runId);
    const versionId = engine.cloud.put('late.txt', 'late', { ld_task_id: `${runId}.0.0`, ld_state: 'too late' });
    await done(engine);
    const run = await engine.show(runId);
    expect(run?.history.slice(0, ended.history.length)).toEqual(ended.history);
    expect(run?.history.slice(ended.history.length).map(({ what, task }) => ({ what, task }))).toEqual([
      { what: 'late_output', task: `${runId}.0.0` },
    ]);
    expect(run?.history.at(-1)?.detail).toContain(versionId);
    expect({ ...run, history: [] }).toEqual({ ...ended, history: [] });
  });

  it('of a running task that comes second is listed, and the first one stays its output', async () => {
    const runId = engine.upload([t('silent', { wait_for: 1 })]);
    await launchedTask(engine, `${runId}.0.0`);
    const first = engine.cloud.put('first', 'x', { ld_task_id: `${runId}.0.0` });
    await done(engine);
    engine.cloud.put('second', 'x', { ld_task_id: `${runId}.0.0` });
    await engine.ended(runId);
    // it may be recorded after the end
    await done(engine);
    const run = await engine.show(runId);
    expect(run?.state).toBe('succeeded');
    expect(run?.steps[0]?.tasks[0]?.output).toMatchObject({ key: 'first', version_id: first });
    expect(run?.history.filter(({ what }) => what === 'late_output')).toHaveLength(1);
  });

  it('is not listed without end: an endless writer fills no history', async () => {
    const runId = engine.upload([t('ok')]);
    await engine.ended(runId);
    for (let n = 0; n < 50; n += 1) engine.cloud.put('again', 'x', { ld_task_id: `${runId}.0.0` });
    await done(engine);
    const run = await engine.show(runId);
    expect(run?.history.filter((entry) => entry.what === 'late_output')).toHaveLength(20);
  });

  it('for a task that was never launched is refused and shown', async () => {
    const runId = engine.upload([t('silent'), t('silent')]);
    await launchedTask(engine, `${runId}.0.0`);
    engine.cloud.put('early', 'x', { ld_task_id: `${runId}.1.0` });
    await done(engine);
    const early = await engine.show(runId);
    expect(early?.history.at(-1)).toMatchObject({ what: 'refused_output', task: `${runId}.1.0` });
    expect(await engine.quarantine()).toContainEqual(
      expect.objectContaining({ reason: expect.stringContaining('never launched'), key: 'early' }),
    );
    // it is no proof later either: the task has its own launch and waits for an output of its own
    engine.cloud.put('first', 'x', { ld_task_id: `${runId}.0.0` });
    await launchedTask(engine, `${runId}.1.0`);
    const second = engine.cloud.put('own', 'x', { ld_task_id: `${runId}.1.0` });
    const run = await engine.ended(runId);
    expect(run.steps[1]?.tasks[0]?.output?.version_id).toBe(second);
  });

  it('for a task that was skipped without a launch is refused and shown, too', async () => {
    const runId = engine.upload([t('silent'), t('silent')]);
    await launchedTask(engine, `${runId}.0.0`);
    await engine.runs.cancel(runId, 'test');
    await engine.ended(runId);
    engine.cloud.put('skipped', 'x', { ld_task_id: `${runId}.1.0` });
    await done(engine);
    expect((await engine.show(runId))?.history.at(-1)).toMatchObject({ what: 'refused_output', task: `${runId}.1.0` });
  });

  it("in another resource's bucket is foreign: set aside there, without a trace in the run it names", async () => {
    const other = await engine.otherResource();
    const runId = engine.upload([t('silent')]);
    await launchedTask(engine, `${runId}.0.0`);
    const before = await engine.show(runId);
    const mine = await engine.quarantine();
    engine.cloud.put('theft', 'x', { ld_task_id: `${runId}.0.0` }, other.bucket);
    await done(engine);
    expect(await engine.show(runId)).toEqual(before);
    expect(await engine.quarantine()).toEqual(mine);
    expect(await engine.quarantine(other.id)).toEqual([expect.objectContaining({ key: 'theft', bucket: other.bucket })]);
    engine.cloud.put('own', 'x', { ld_task_id: `${runId}.0.0` });
    expect((await engine.ended(runId)).state).toBe('succeeded');
  });

  it('that names no task at all is set aside with what is wrong', async () => {
    engine.cloud.put('nonsense', 'x', { ld_task_id: 'my task' });
    engine.cloud.put('unknown', 'x', { ld_task_id: `r0-${'0'.repeat(20)}.0.0` });
    await done(engine);
    const set = await engine.quarantine();
    expect(set).toContainEqual(expect.objectContaining({ key: 'nonsense', reason: expect.stringContaining('"my task"') }));
    expect(set).toContainEqual(expect.objectContaining({ key: 'unknown', reason: expect.stringContaining('no task of this bucket') }));
  });

  it('that also starts a run is delivered first and then accepted, one generation deeper', async () => {
    const runId = engine.upload([t('silent')]);
    await launchedTask(engine, `${runId}.0.0`);
    const versionId = engine.cloud.put('both.json', workflow(t('ok')), { ld_task_id: `${runId}.0.0`, ld_run: 'true' });
    const nextId = engine.runIdOf('both.json', versionId);
    const [first, next] = [await engine.ended(runId), await engine.ended(nextId)];
    expect([first.state, next.state]).toEqual(['succeeded', 'succeeded']);
    expect(first.steps[0]?.tasks[0]?.output?.version_id).toBe(versionId);
    const output = first.history.find((entry) => entry.what === 'output');
    expect(Date.parse(output?.at ?? '')).toBeLessThanOrEqual(Date.parse(next.created_at));
    expect(await engine.runs.depth(runId)).toBe(0);
    expect(await engine.runs.depth(nextId)).toBe(1);
  });
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

describe('a message', () => {
  it('comes back while S3 is throttled, and nothing is lost', async () => {
    await alone({}, async ({ engine: own }) => {
      own.cloud.headsDown = true;
      const ids = Array.from({ length: 5 }, () => own.upload([t('ok')]));
      await until('a second receive', () => [...own.cloud.receives.values()].filter((n) => n >= 2).length === 5);
      // an outage is nobody's fault: longer than any record's share of receives it sets nothing aside
      await until('many receives', () => Math.max(...own.cloud.receives.values()) > 10);
      expect(own.cloud.undeleted).toBe(5);
      expect([...(await own.quarantine()), ...(await own.quarantine('-'))]).toEqual([]);
      own.cloud.headsDown = false;
      for (const id of ids) expect((await own.ended(id)).state).toBe('succeeded');
      await done(own);
      expect(own.cloud.posts).toHaveLength(5);
    });
  });

  it('is not lost either when Redis dies while S3 is throttled', async () => {
    await alone(
      {},
      async ({ redis: server, engine: own }) => {
        own.cloud.headsDown = true;
        const ids = Array.from({ length: 3 }, () => own.upload([t('ok'), t('ok')]));
        await until('a receive', () => own.cloud.receives.size === 3);
        await server.crash();
        own.cloud.headsDown = false;
        const more = own.upload([t('ok')]);
        await until('a receive without Redis', () => own.cloud.receives.size >= 4);
        expect(own.cloud.undeleted).toBe(4);
        await server.restart();
        for (const id of [...ids, more]) expect((await own.ended(id, 40_000)).state).toBe('succeeded');
        await done(own);
        expect(own.cloud.posts).toHaveLength(7);
      },
      // the resource that it knew when it died must be known to it afterwards
      { fsync: 'always' },
    );
  });

  it('with a record that always fails does its other records once, and sets that one aside where its owner looks', async () => {
    const key = () => `in/${randomUUID()}`;
    const [good, bad, fine] = [key(), key(), key()] as const;
    const put = (name: string) => engine.cloud.putSilently(name, workflow(t('ok')), { ld_run: 'true' });
    const versions = [put(good), put(bad), put(fine)] as const;
    engine.cloud.broken.add(bad);
    const message = engine.cloud.sendEvents([
      eventOf(engine.bucket, good, versions[0]),
      eventOf(engine.bucket, bad, versions[1]),
      eventOf(engine.bucket, fine, versions[2]),
    ]);
    for (const id of [engine.runIdOf(good, versions[0]), engine.runIdOf(fine, versions[2])]) {
      expect((await engine.ended(id)).state).toBe('succeeded');
    }
    await done(engine);
    expect(engine.cloud.receives.get(message)).toBeGreaterThan(1);
    expect(await engine.quarantine()).toContainEqual(
      expect.objectContaining({ key: bad, version_id: versions[1], reason: expect.stringContaining('could not be decided') }),
    );
    // what an error says that is none of ours is for the log: the owner reads this
    expect(JSON.stringify(await engine.quarantine())).not.toContain('cannot read');
    for (const id of [engine.runIdOf(good, versions[0]), engine.runIdOf(fine, versions[2])]) {
      expect(engine.cloud.postsOf(id)).toHaveLength(1);
      expect(whats(await engine.ended(id)).filter((what) => what === 'accepted')).toHaveLength(1);
    }
  });

  it('with a record that heals before its last try loses nothing', async () => {
    const key = `in/${randomUUID()}`;
    engine.cloud.broken.add(key);
    // those of the tests before this one had their second try
    const known = new Set(engine.cloud.receives.keys());
    const runId = engine.upload([t('ok')], key);
    await until('a second try', () => [...engine.cloud.receives].some(([message, n]) => !known.has(message) && n >= 2));
    engine.cloud.broken.delete(key);
    expect((await engine.ended(runId)).state).toBe('succeeded');
  });

  it("of nobody's bucket is set aside after a few tries, as is one that is no event", async () => {
    const bucket = `ld-private-${randomUUID()}`;
    engine.cloud.sendEvents([eventOf(bucket, 'in/x', randomUUID())]);
    engine.cloud.send('{"hello":1}');
    engine.cloud.send('not json');
    engine.cloud.send(JSON.stringify({ Event: 's3:TestEvent', Service: 'Amazon S3' }));
    await done(engine);
    const set = await engine.quarantine('-');
    expect(set).toContainEqual(expect.objectContaining({ bucket, reason: 'no resource owns this bucket' }));
    expect(set.filter(({ body }) => body === '{"hello":1}' || body === 'not json')).toHaveLength(2);
    expect(set.filter(({ body }) => body?.includes('TestEvent'))).toHaveLength(0);
  });

  it('with a record that is none still does the others', async () => {
    const key = `in/${randomUUID()}`;
    const versionId = engine.cloud.putSilently(key, workflow(t('ok')), { ld_run: 'true' });
    engine.cloud.sendEvents([
      { nothing: true },
      eventOf(engine.bucket, key, versionId),
      eventOf(engine.bucket, key, versionId, { eventName: 'ObjectRemoved:Delete' }),
      { ...eventOf(engine.bucket, 'x', 'v'), s3: { bucket: { name: engine.bucket }, object: { key: 'a%2', versionId: 'v' } } },
    ]);
    expect((await engine.ended(engine.runIdOf(key, versionId))).state).toBe('succeeded');
    await done(engine);
  });
});

describe('the memory of events', () => {
  it('is the record: it stands as long as the run is kept, and longer than SQS delivers', async () => {
    const runId = engine.upload([t('ok')]);
    await engine.ended(runId);
    // nothing expires by itself: retention takes it away, and leaves a stub where SQS may still deliver (tests/ledger/archive.test.ts)
    expect(await engine.redis.pttl(shardKeys(0).run(runId))).toBe(-1);
  });
});
