// The ways in which a Redis of a chaos run forgets: each must lose what it says, and no more.
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../support/redis-server.ts';

async function setup() {
  const server = await startRedis({ fsync: 'always' });
  const redis = new Redis(server.socket);
  // it is cut off on purpose
  redis.on('error', () => {});
  onTestFinished(async () => {
    redis.disconnect();
    await server.stop();
  });
  await redis.set('before', '1');
  return { server, redis };
}

describe.skipIf(process.env['AUTOFILES_TEST_CLUSTER'] === '1')('a Redis that forgets', () => {
  it('is a replica that heard nothing of the last seconds', async () => {
    const { server, redis } = await setup();
    const promote = await server.replicate();
    await redis.set('after', '1');
    const first = /run_id:(\w+)/.exec(await redis.info('server'))?.[1];
    await promote();
    expect(await redis.mget('before', 'after')).toEqual(['1', null]);
    expect(/run_id:(\w+)/.exec(await redis.info('server'))?.[1]).not.toBe(first);
    // it takes writes, and keeps them
    await redis.set('since', '1');
    await server.crashAndRestart();
    expect(await redis.mget('before', 'since')).toEqual(['1', '1']);
  });

  it('is none that was shut down without saving: its file has what it answered', async () => {
    const { server, redis } = await setup();
    await server.shutdown();
    await server.restart();
    expect(await redis.get('before')).toBe('1');
  });

  it('is one whose file ends within a record: that one is lost, and those before it are not', async () => {
    const { server, redis } = await setup();
    await redis.set('last', '1');
    const rollBack = await server.remember();
    await rollBack(3);
    expect(await redis.mget('before', 'last')).toEqual(['1', null]);
  });
});
