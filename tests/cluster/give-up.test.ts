// A connection that gives up, to a Redis Cluster of which servers are away.
import { expect, it } from 'vitest';
import { connect, readiness } from '../../src/queues/connection.ts';
import { giveUpAfter } from '../../src/queues/give-up.ts';
import { isRedisOutage } from '../../src/queues/redis-outage.ts';
import { startRedisCluster } from '../support/redis-cluster.ts';
import { until } from '../support/until.ts';

it('what it gave up is not carried out when they are back', async () => {
  const servers = await startRedisCluster({ replica: false });
  const redis = connect(servers, () => {});
  try {
    // of every node
    const keys = Array.from({ length: 30 }, (_, i) => `test:${i}`);
    expect(await Promise.all(keys.map(async (key) => await redis.get(key)))).toEqual(keys.map(() => null));
    giveUpAfter(redis, 500);
    expect(await redis.set('test:fine', 1)).toBe('OK');
    await servers.crash();
    const errors = await Promise.all(
      keys.map(async (key) => {
        try {
          return await redis.set(key, 1);
        } catch (error) {
          return error;
        }
      }),
    );
    expect(errors.filter((error) => !isRedisOutage(error))).toEqual([]);
    await servers.restart();
    const answers = async (key: string) => await redis.get(key).catch(() => 'none');
    const left = await until('them to be back', async () => {
      const found = await Promise.all(keys.map(answers));
      return !found.includes('none') && found;
    });
    expect(left).toEqual(keys.map(() => null));
  } finally {
    redis.disconnect();
    await servers.stop();
  }
}, 120_000);

it('is ready while any master answers, and not when none does', async () => {
  const servers = await startRedisCluster({ replica: false });
  const redis = connect(servers, () => {});
  try {
    // one of each node
    const keys = ['test:0', 'test:1', 'test:3'];
    expect(await Promise.all(keys.map(async (key) => await redis.get(key)))).toEqual([null, null, null]);
    expect(await servers.together('test:0', 'test:1')).toBe(false);
    giveUpAfter(redis, 5_000);
    const ready = readiness(redis);
    const [first, ...others] = await Promise.all(keys.map(servers.freezeOf));
    first?.();
    const found: boolean[] = [];
    for (let i = 0; i < 20; i += 1) found.push(await ready());
    expect(found).toEqual(found.map(() => true));
    for (const freeze of others) freeze();
    // one may have answered just before
    await until('all to be missed', async () => !(await ready()));
  } finally {
    redis.disconnect();
    await servers.stop();
  }
}, 120_000);
