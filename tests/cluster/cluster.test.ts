// The engine on a real Redis Cluster: three masters, runs spread over shards on all of them, one master killed under load.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterOf, connect } from '../../src/queues/connection.ts';
import { openFenced } from '../../src/queues/fenced-redis.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { parseRunId } from '../../src/schema/ids.ts';
import { startRedisCluster, type TestCluster } from '../support/redis-cluster.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const SHARDS = 8;

const scripts: Record<string, Script> = {
  ok: async (dyno) => {
    await dyno.output(5);
    return dyno.accept();
  },
  slow: async (dyno) => {
    await dyno.output(400);
    return dyno.accept();
  },
  silent: (dyno) => dyno.accept(),
  exit1: (dyno) => {
    dyno.exit(10, 1);
    return dyno.accept();
  },
  flaky: async (dyno) => {
    if (dyno.post.attempt > 1) await dyno.output(5);
    else dyno.exit(10, 1);
    return dyno.accept();
  },
  up: (dyno) => dyno.accept('up'),
  lost: () => ({ outcome: 'unknown', cause: 'reset' }),
};

const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 60, retries: 0, ...more });
const group = (...tasks: unknown[]) => ({ parallel: tasks });

/** Ended as it should, each attempt launched at most once, nothing left behind. */
async function expectSound(engine: TestEngine, runId: string, state: string, ms = 40_000): Promise<void> {
  const run = await engine.ended(runId, ms);
  expect(run.state, JSON.stringify(run.history.slice(-8))).toBe(state);
  const posts = engine.cloud.postsOf(runId).map((post) => `${post.taskId}/${post.attempt}`);
  expect(new Set(posts).size, posts.join(' ')).toBe(posts.length);
  await until(`no job of ${runId} left`, async () => (await engine.leftovers(runId)).length === 0, ms);
}

describe('a Redis Cluster', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startRedisCluster();
  });
  afterAll(async () => {
    await servers.stop();
  });

  it('is asked again where a key is when it cannot say: the connection that makes trees never gives up', async () => {
    const connection = connect(servers, () => {});
    const cluster = clusterOf(connection);
    if (cluster === undefined) throw new Error('no cluster');
    // a node that has just started knows of no other yet
    let asked = 0;
    const slots = cluster.cluster.bind(cluster);
    Object.assign(cluster, {
      cluster: async (...call: Parameters<typeof slots>) => (String(call[0]) === 'SLOTS' && ++asked <= 2 ? [] : await slots(...call)),
    });
    const fenced = openFenced(connection, shardKeys(0).live);
    fenced.on('error', () => {});
    try {
      await until('an answer', async () => (await fenced.ping().catch(() => 'no')) === 'PONG');
      expect(asked).toBeGreaterThan(2);
    } finally {
      fenced.disconnect();
      connection.disconnect();
    }
  });

  it('poisons no task while the node of the launch budget takes no writes', async () => {
    const engine = await startTestEngine(servers, scripts);
    const cluster = clusterOf(engine.redis);
    const master = async (key: string) => {
      for (const node of cluster?.nodes('master') ?? [])
        if (
          await node.get(key).then(
            () => true,
            () => false,
          )
        )
          return node;
      throw new Error(`no node has ${key}`);
    };
    const budgets = await master('{afb}:x');
    expect(budgets.options.port, 'the records are on another node').not.toBe((await master('{af0}:x')).options.port);
    try {
      const runId = engine.upload([t('silent'), t('ok')]);
      await until('its first launch', async () => (await engine.show(runId))?.history.some(({ what }) => what === 'launched'));
      await budgets.config('SET', 'min-replicas-to-write', '9');
      engine.cloud.put('first', 'proof', { ld_task_id: `${runId}.0.0` });
      // more than the activations without progress that a task may have
      const job = `${shardKeys(0).live.split(':')[0]}:task:${runId}.1.0`;
      await until('its activations', async () => Number(await engine.redis.hget(job, 'ats')) > 8);
      expect((await engine.show(runId))?.state).toBe('running');
      await budgets.config('SET', 'min-replicas-to-write', '0');
      await expectSound(engine, runId, 'succeeded');
    } finally {
      await budgets.config('SET', 'min-replicas-to-write', '0');
      await engine.stop();
    }
  }, 60_000);

  it('carries every kind of run, spread over its nodes', async () => {
    const engine = await startTestEngine(servers, scripts, { shards: SHARDS });
    try {
      const kinds = [
        { run: [t('ok'), t('ok')], state: 'succeeded' },
        { run: [t('ok'), group(t('ok'), t('ok'), t('ok')), t('ok')], state: 'succeeded' },
        { run: [group(t('ok'), t('ok')), group(t('up', { no_output: true }), t('ok', { wait_for: 1 }))], state: 'succeeded' },
        { run: [t('flaky', { retries: 1, backoff: { type: 'fixed', delay: 0.05 } }), t('ok')], state: 'succeeded' },
        { run: [t('ok'), group(t('exit1'), t('ok')), t('ok')], state: 'failed' },
        { run: [t('silent', { timeout: 1 }), t('ok')], state: 'failed' },
      ];
      const runs = Array.from({ length: 4 }, () => kinds).flatMap((all) =>
        all.map(({ run, state }) => ({ id: engine.upload(run), state })),
      );
      const cancelled = engine.upload([group(t('silent'), t('ok')), t('ok')]);
      await until('its launches', () => engine.cloud.postsOf(cancelled).length === 2);
      await engine.runs.cancel(cancelled, 'test');
      await expectSound(engine, cancelled, 'cancelled');
      for (const { id, state } of runs) await expectSound(engine, id, state);
      expect(new Set(runs.map(({ id }) => parseRunId(id)?.shard)).size).toBeGreaterThan(3);
    } finally {
      await engine.stop();
    }
  });

  it('loses no run and launches nothing twice when a master is killed and its replica takes over', async () => {
    const engine = await startTestEngine(servers, scripts, { shards: SHARDS });
    try {
      const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
      const held = await Promise.all(shards.map((shard) => servers.holdsOnFirst(shardKeys(shard).live)));
      const victim = shards.find((shard) => held[shard]);
      if (victim === undefined) throw new Error('no shard on the first master');
      const workflow = [t('slow'), group(t('slow'), t('slow')), t('slow')];
      const before = Array.from({ length: 40 }, () => engine.upload(workflow));
      await until('launches', () => engine.cloud.posts.length >= 40);
      await servers.failOver(shardKeys(victim).live);
      // what is uploaded while the node is away waits in its queue
      const during = Array.from({ length: 20 }, () => engine.upload(workflow));
      const ids = [...before, ...during];
      expect(ids.some((id) => parseRunId(id)?.shard === victim)).toBe(true);
      for (const id of ids) await expectSound(engine, id, 'succeeded', 60_000);
    } finally {
      await engine.stop();
    }
  }, 120_000);
});

// apart: its first master stays frozen
describe('a Redis Cluster whose master is cut off without a word', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startRedisCluster();
  });
  afterAll(async () => {
    await servers.stop();
  });

  it('is asked at the replica that took over, soon after the master owes an answer for too long', async () => {
    const connection = connect(servers, () => {});
    const key = Array.from({ length: 100 }, (_, i) => `key-${i}`);
    const on = await Promise.all(key.map((one) => servers.holdsOnFirst(one)));
    const held = key.find((_, i) => on[i]) ?? '';
    try {
      expect(await connection.set(held, 'before')).toBe('OK');
      await servers.failOver(held, true);
      // without a limit the connection waits until TCP gives up, a quarter of an hour
      expect(await connection.set(held, 'after')).toBe('OK');
      expect(await connection.get(held)).toBe('after');
    } finally {
      connection.disconnect();
    }
  }, 60_000);
});
