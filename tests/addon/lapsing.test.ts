// What lapses by itself is given its time together with its being written: whoever writes it may end, or lose its Redis, right behind that.
import { randomUUID } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { connect } from '../../src/queues/connection.ts';
import { rotationKey, sessionsKey } from '../../src/queues/keys.ts';
import { createResourceJobs } from '../../src/queues/resource-jobs.ts';
import { createSessions } from '../../src/queues/sessions.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { startRedis } from '../support/redis-server.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A connection of which Redis goes away at the command, which it has executed. */
async function losing(command: string) {
  const server = await startRedis();
  const proxy = await startRedisProxy(server.socket);
  const [direct, redis] = [server.socket, proxy.socket].map((socket) => connect({ socket }, () => {}));
  if (direct === undefined || redis === undefined) throw new Error('no connection');
  ends.push(server.stop, () => proxy.close(), direct.disconnect.bind(direct), redis.disconnect.bind(redis));
  await redis.ping();
  return { direct, redis, gone: proxy.goAwayAt(command, 'executed') };
}

/** What waits for Redis fails with the connection at the end of the test. */
const ended = () => {};

it('the list of the sessions of a resource', async () => {
  const { direct, redis, gone } = await losing('sadd');
  const resource = randomUUID();
  createSessions({ redis }).begin({ resource, by: 'sso', name: 'somebody' }).catch(ended);
  await gone;
  expect(await direct.ttl(sessionsKey(resource))).toBeGreaterThan(0);
});

it('the order of new credentials', async () => {
  const { direct, redis, gone } = await losing('zadd');
  const jobs = createResourceJobs({ connection: redis, onError: () => {} });
  const resource = randomUUID();
  jobs.add({ kind: 'rotate', resource, before: 1_000 }).catch(ended);
  await gone;
  expect(await direct.ttl(rotationKey(resource))).toBeGreaterThan(0);
});
