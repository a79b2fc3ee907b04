// A failover behind one address: a replica takes over, the address leads to it, and the server that is a replica now keeps its connections open.
import { afterEach, expect, it } from 'vitest';
import { freePort } from '../../src/local/dynos/free-port.ts';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

/** BullMQ keeps when a job is due (ms) times this, with a count in the rest. */
const BULLMQ_DELAY_UNIT = 0x1000;

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start() {
  const server = await startRedis();
  ends.push(server.stop);
  const port = await freePort();
  const redis = connect({ socket: server.socket }, () => {});
  ends.push(() => redis.disconnect());
  await redis.config('SET', 'port', String(port));
  await redis.config('SET', 'repl-diskless-sync-delay', '0');
  return { ...server, redis, port };
}

it('goes on with the server that took over, though no connection to the one before broke', async () => {
  const before = await start();
  const after = await start();
  await after.redis.replicaof('127.0.0.1', before.port);
  await until('the replica to follow', async () => (await after.redis.info('replication')).includes('master_link_status:up'));
  const proxy = await startRedisProxy(before.socket);
  ends.push(proxy.close);
  const ok = { cmd: 'ok', timeout: 60 };
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const engine = await startTestEngine(proxy, {
    ok: async (dyno) => {
      await dyno.output(5);
      return dyno.accept();
    },
    held: async (dyno) => {
      void released.then(async () => await dyno.output(1));
      return await Promise.resolve(dyno.accept());
    },
  });
  ends.push(engine.stop);
  expect((await engine.ended(engine.upload([ok]))).state).toBe('succeeded');

  proxy.turnTo(after.socket);
  await before.redis.call('FAILOVER', 'TO', '127.0.0.1', String(after.port));
  await until('the other one to take over', async () => (await after.redis.info('replication')).includes('role:master'));
  const runId = engine.upload([ok, { cmd: 'held', timeout: 60 }]);
  // to its deadline: one whose parking failed waits for its next try, which comes soon
  const parked = async () => Number((await after.redis.zrange(shardKeys(0).delayed, '0', '0', 'WITHSCORES'))[1] ?? 0) / BULLMQ_DELAY_UNIT;
  await until('its second task to be parked', async () => (await parked()) > Date.now() + 30_000, 30_000);
  release();
  expect((await engine.ended(runId, 30_000)).state).toBe('succeeded');
  expect(engine.cloud.postsOf(runId)).toHaveLength(2);
});
