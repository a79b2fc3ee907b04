// A slot of a Redis Cluster is on its way to another node (a reshard): each of the two has a part of the slot's keys.
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterOf, connect } from '../../src/queues/connection.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { isRedisOutage } from '../../src/queues/redis-outage.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { defineScripts, KEY_COUNTS, loadScripts, run, type ScriptName } from '../../src/queues/scripts.ts';
import { startRedisCluster, type TestCluster } from '../support/redis-cluster.ts';
import { seedId } from '../support/seed-runs.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

// keys of one table, which the types do not tell
const NAMES = Object.keys(KEY_COUNTS) as ScriptName[];

describe('while a slot moves to another node of a Redis Cluster', () => {
  let servers: TestCluster;
  let redis: Redis;
  beforeAll(async () => {
    servers = await startRedisCluster({ replica: false });
    redis = connect(servers, () => {});
  });
  afterAll(async () => {
    redis.disconnect();
    await servers.stop();
  });

  /** The node that has the key's slot, and the others. */
  const nodesFor = async (key: string) => {
    const nodes = clusterOf(redis)?.nodes('master') ?? [];
    const has = await Promise.all(nodes.map((node) => node.exists(key).then(Boolean, () => false)));
    const from = nodes[has.indexOf(true)];
    if (from === undefined) throw new Error(`no node has ${key}`);
    return { from, others: nodes.filter((node) => node !== from) };
  };

  const sizes = async (nodes: readonly Redis[]) => await Promise.all(nodes.map((node) => node.dbsize()));

  it('no script begins, whatever it is given, and none of them writes on either node', async () => {
    await redis.ping();
    defineScripts(redis, NAMES);
    await loadScripts(redis);
    for (const name of NAMES) {
      const keys = Array.from({ length: KEY_COUNTS[name] }, (_, i) => `{af0}:${name}:${i}`);
      for (const key of keys) await redis.set(key, 'as it was');
      const { from, others } = await nodesFor(keys[0] ?? '');
      const dumped = async () => await Promise.all(keys.map((key) => from.get(key)));
      const [before, size] = [await dumped(), await sizes([from, ...others])];
      // as many keys as its script takes
      const call = (node: Redis) =>
        run(
          node,
          name,
          keys as never,
          Array.from({ length: 20 }, () => '1'),
        );
      await servers.migrating(keys[0] ?? '', true);
      try {
        await expect(call(from), name).rejects.toThrow(/^TRYAGAIN The slot of /);
        // what the first node has no more is asked of the one that gets it
        const refusals = others.map(async (other) => {
          const asked = other.asking();
          const refused = await call(other).catch((error: unknown) => error);
          await asked;
          return String(refused).split(' ')[1];
        });
        expect((await Promise.all(refusals)).toSorted(), name).toEqual(['MOVED', 'TRYAGAIN']);
      } finally {
        await servers.migrating(keys[0] ?? '', false);
      }
      expect(await dumped(), name).toEqual(before);
      expect(await sizes([from, ...others]), name).toEqual(size);
    }
  });

  it('no run ends half way: it ends when the slot has come to rest, and waits for the archive', async () => {
    const keys = shardKeys(0);
    const [runId, other, resource] = [seedId('ends', 0), seedId('goes on', 0), 'tenant'];
    const runs = createRuns({ redis });
    await redis.hset(keys.run(runId), { state: 'running', resource, at: 1, steps: 1, n0: 1, d0: 1, 'p:0.0': 'succeeded' });
    await redis.rpush(keys.history(runId), '[1,"accepted","",0,""]');
    await redis.zadd(keys.live, 1, runId, 2, other);
    await redis.zadd(keys.byState(resource, 'running'), 1, runId);
    await servers.migrating(keys.live, true);
    let ending: Promise<string> | undefined;
    try {
      const { from } = await nodesFor(keys.live);
      const refused = await run(from, 'finish', [keys.run(runId), keys.history(runId), keys.live], [runId, keys.channel]).catch(
        (error: unknown) => error,
      );
      expect(isRedisOutage(refused), String(refused)).toBe(true);
      expect(await redis.hget(keys.run(runId), 'state')).toBe('running');
      ending = runs.finish(runId);
    } finally {
      await servers.migrating(keys.live, false);
    }
    expect(await ending).toBe('succeeded');
    expect(await redis.zrange(keys.unarchived, '0', '-1')).toEqual([runId]);
    expect(await redis.zrange(keys.live, '0', '-1')).toEqual([other]);
    expect(await redis.exists(keys.byState(resource, 'running'))).toBe(0);
  });

  it('a shard at work stands still, and goes on by itself afterwards', async () => {
    const { live } = shardKeys(0);
    const engine = await startTestEngine(servers, {
      ok: async (dyno) => {
        await dyno.output(20);
        return dyno.accept();
      },
    });
    try {
      const task = { cmd: 'ok', timeout: 60, retries: 0 };
      const upload = (count: number) => Array.from({ length: count }, () => engine.upload([task, { parallel: [task, task] }]));
      const runs = upload(8);
      for (const launches of [1, 9, 17]) {
        await until('more launches', () => engine.cloud.posts.length >= launches);
        await servers.migrating(live, true);
        runs.push(...upload(2));
        // what is on its way now finds the slot so
        await Promise.all((clusterOf(redis)?.nodes('master') ?? []).map((node) => run(node, 'clock', [live], []).catch(() => {})));
        await servers.migrating(live, false);
      }
      for (const runId of runs) {
        expect((await engine.ended(runId)).state).toBe('succeeded');
        const posts = engine.cloud.postsOf(runId).map((post) => `${post.taskId}/${post.attempt}`);
        expect(posts.toSorted()).toEqual([`${runId}.0.0/1`, `${runId}.1.0/1`, `${runId}.1.1/1`]);
      }
    } finally {
      await servers.migrating(live, false);
      await engine.stop();
    }
  });
});
