// The run's state machine: the real scripts answer and write as the model of DESIGN §4 does.
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../src/queues/connection.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { compareWithModel } from './compare.ts';

/** Sequences; a long run sets more. */
const SEQUENCES = Number(process.env['AUTOFILES_MODEL_RUNS'] ?? 300);

let server: TestRedis;
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = connect({ socket: server.socket }, () => {});
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

it('answers and stands as the model says, whatever happens in whatever order', { timeout: 600_000 }, async () => {
  const ends = await compareWithModel(redis, SEQUENCES);
  // a model that is only ever compared at its beginning proves nothing
  for (const state of ['running', 'succeeded', 'failed', 'cancelled']) expect(ends[state] ?? 0, JSON.stringify(ends)).toBeGreaterThan(0);
});
