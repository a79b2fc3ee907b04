// A purge whose Redis is rolled back in the middle leaves nothing that the next one does not find.
import { randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import { expect, it } from 'vitest';
import { ADDON_ACCOUNT } from '../../src/queues/budget.ts';
import { connect } from '../../src/queues/connection.ts';
import { auditKey, budgetKey, QUEUES, resourceKey, shardKeys, shardPrefix } from '../../src/queues/keys.ts';
import { createPurge } from '../../src/queues/purge.ts';
import { startRedis } from '../support/redis-server.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

it('wherever Redis is rolled back in a purge, the next one finds all that came back', async () => {
  // what is remembered is a copy of the file, and what was answered must be in it
  const server = await startRedis({ fsync: 'always' });
  const redis = connect({ socket: server.socket }, () => {});
  try {
    const id = 'aaaaaaaa-0000-4000-8000-000000000000';
    const kept = [resourceKey(id), auditKey(id)];
    await redis.hset(resourceKey(id), 'state', 'deprovisioning');
    await redis.rpush(auditKey(id), '{}');
    await seedRuns(
      redis,
      ['one', 'two', 'three'].map((name) => ({ runId: seedId(name), resource: id })),
    );
    // its bucket refused one of them and took another
    await redis.zadd(shardKeys(0).unexported, 1, `${id}|${seedId('one')}`);
    await redis.zadd(shardKeys(0).unexportedOf(`${id}|${seedId('one')}`), 1, seedId('one'));
    const whole = await redis.keys('*');
    const rollBack = await server.remember();
    const { purge } = createPurge({ redis, shards: () => 1 });
    await purge(id);
    const clean = (await redis.keys('*')).filter((key) => !key.includes(':rate:')).sort();
    expect(clean).toEqual(kept.sort());

    // each command in turn is the first that the Redis which came back gets
    const send = redis.sendCommand.bind(redis);
    let sent = 0;
    for (let cut = 1, done = false; !done; cut += 1) {
      await rollBack();
      expect((await redis.keys('*')).sort()).toEqual(whole.sort());
      sent = 0;
      redis.sendCommand = (...command) => {
        sent += 1;
        return sent === cut ? rollBack().then(() => send(...command)) : send(...command);
      };
      await purge(id);
      done = sent < cut;
      redis.sendCommand = send;
      await purge(id);
      expect((await redis.keys('*')).sort(), `cut before command ${cut}`).toEqual(clean);
    }
    expect(sent).toBeGreaterThan(5);
  } finally {
    redis.disconnect();
    await server.stop();
  }
});

it('a run that is accepted while its resource is purged leaves nothing either, wherever the purge is', async () => {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  try {
    const id = randomUUID();
    const { purge } = createPurge({ redis, shards: () => 1 });
    const send = redis.sendCommand.bind(redis);
    let sent = 0;
    for (let place = 1, done = false; !done; place += 1) {
      await redis.hset(resourceKey(id), 'state', 'deprovisioning');
      await seedRuns(redis, [{ runId: seedId('before'), resource: id }]);
      sent = 0;
      redis.sendCommand = (...command) => {
        sent += 1;
        if (sent !== place) return send(...command);
        redis.sendCommand = send;
        return seedRuns(redis, [{ runId: seedId(`after ${place}`), resource: id }]).then(() => send(...command));
      };
      await purge(id);
      done = sent < place;
      redis.sendCommand = send;
      // one that comes when all is done is the archiver's to notice, by its run
      if ((await redis.zcard(shardKeys(0).index(id))) > 0) continue;
      expect((await redis.keys(`*${id}*`)).sort(), `accepted before command ${place}`).toEqual([resourceKey(id)]);
    }
    expect(sent).toBeGreaterThan(5);
  } finally {
    redis.disconnect();
    await server.stop();
  }
});

it('runs that are purged before their end leave no jobs: what waits for something that never comes is rung', async () => {
  const server = await startRedis();
  const engine = await startTestEngine(server, { stays: (dyno) => dyno.accept('up') });
  try {
    const { id, bucket } = await engine.otherResource();
    const stays = { cmd: 'stays', timeout: 3_600 };
    const runId = engine.upload([stays, stays], undefined, bucket);
    await until('its launch', async () => (await engine.redis.hlen(shardKeys(0).watch(id))) === 1);
    const jobs = async () => (await engine.redis.keys(`*${runId}*`)).filter((key) => /:(task|finish):/.test(key));
    await until('it to be parked', async () => (await engine.redis.zscore(shardKeys(0).delayed, `${runId}.0.0`)) !== null);
    expect(await jobs()).not.toEqual([]);
    await createPurge({ redis: engine.redis, shards: () => 1 }).purge(id);
    await until('the end of its jobs', async () => (await jobs()).length === 0);
  } finally {
    await engine.stop();
    await server.stop();
  }
});

it('jobs that begin after the purge leave nothing of the resource in the launch budget', async () => {
  const server = await startRedis();
  const engine = await startTestEngine(server, { work: (dyno) => dyno.accept('up') }, { launchesPerHour: 3_600 });
  const queue = new Queue(QUEUES.task, { connection: engine.redis, prefix: shardPrefix(0) });
  try {
    const id = randomUUID();
    // more than the budget has saved up, so that some are queued
    const jobs = Array.from({ length: 9 }, (_, i) => ({
      name: 'task',
      data: { resource: id, cmd: 'work' },
      opts: { jobId: `${seedId(`gone${i}`)}.0.0` },
    }));
    await queue.addBulk(jobs);
    await until('their end', async () => (await queue.getJobCountByTypes('wait', 'active', 'delayed', 'prioritized')) === 0);
    const base = budgetKey(ADDON_ACCOUNT);
    await until('nothing of it', async () => {
      const lists = await engine.redis.exists(`${base}:wait:${id}`, `${base}:held:${id}`);
      const known = (await engine.redis.hexists(`${base}:limits`, id)) + (await engine.redis.sismember(`${base}:resources`, id));
      return lists + known === 0;
    });
    expect(engine.cloud.posts).toEqual([]);
  } finally {
    await queue.close();
    await engine.stop();
    await server.stop();
  }
});
