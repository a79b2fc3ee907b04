// A worker that is stopped while Redis is away ends as soon as Redis is back: found by chaos, it sometimes took all the time that a stop may take.
import { once } from 'node:events';
import { Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { within } from '../../src/clients/deadline.ts';
import { connect, duplicate } from '../../src/queues/connection.ts';
import { QUEUES, shardPrefix } from '../../src/queues/keys.ts';
import { startRedis } from '../support/redis-server.ts';
import { until } from '../support/until.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start() {
  const server = await startRedis();
  const redis = connect(server.cluster === undefined ? { socket: server.socket } : { cluster: server.cluster }, () => {});
  ends.push(server.stop, () => redis.disconnect());
  await redis.ping();
  return { server, redis };
}

/** Milliseconds in which what waits for nothing has ended, also on a busy machine: a stop that hangs takes 20 s. */
const SOON_MS = 10_000;
const waits = (redis: Redis) => redis.status === 'reconnecting';

it("BullMQ's worker closes also while its connection waits to connect again", async () => {
  const { server, redis } = await start();
  const made: Redis[] = [];
  const another = redis.duplicate.bind(redis);
  redis.duplicate = (...args) => {
    const one = another(...args);
    made.push(one);
    return one;
  };
  const worker = new Worker(QUEUES.task, async () => {}, { connection: redis, prefix: shardPrefix(0) });
  worker.on('error', () => {});
  await worker.waitUntilReady();
  await server.crash();
  await until('all that it made to wait', () => made.length > 0 && made.every(waits));
  const closing = worker.close();
  await server.restart();
  await within({}, SOON_MS, () => closing);
});

it.each([
  ['of ours', duplicate],
  ['of BullMQ', (redis: Redis) => redis.duplicate()],
])('a connection %s that is closed between two tries has ended, and what was asked of it has failed', async (_whose, another) => {
  const { server, redis } = await start();
  const one = another(redis);
  one.on('error', () => {});
  ends.push(() => one.disconnect());
  await one.ping();
  await server.crash();
  const asked = one.ping().catch((error: unknown) => error);
  await until('it to wait', () => waits(one));
  const ended = once(one, 'end');
  one.disconnect();
  expect(await within({}, SOON_MS, () => asked)).toBeInstanceOf(Error);
  await within({}, SOON_MS, () => ended);
});
