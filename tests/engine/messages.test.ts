// A message is deleted when each of its events is decided, while S3 or Redis is away as well, and its event is remembered for longer than SQS delivers.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { shardKeys } from '../../src/queues/keys.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { eventOf } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';
import { alone, done, scripts, t, whats, workflow } from './events-engine.ts';

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
