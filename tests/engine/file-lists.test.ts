// What is remembered of one file: the runs that it started, and the tasks that made it.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { shardKeys } from '../../src/queues/keys.ts';
import { fileDigest } from '../../src/queues/run-record.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';

let redis: TestRedis;
let engine: TestEngine;

beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, {
    ok: async (dyno) => {
      await dyno.output(5, {}, { key: 'out/latest' });
      return dyno.accept();
    },
  });
});
afterAll(async () => {
  await engine.stop();
  await redis.stop();
});

it('is the last thousand, however often a file is written', async () => {
  const keys = shardKeys(0);
  const lists = [keys.startedBy(engine.resource, fileDigest('in/latest')), keys.madeBy(engine.resource, fileDigest('out/latest'))];
  for (const list of lists) await engine.redis.zadd(list, ...Array.from({ length: 1_000 }, (_, i) => [i, randomUUID()]).flat());
  const runId = engine.upload([{ cmd: 'ok', timeout: 30 }], 'in/latest');
  await engine.ended(runId);
  for (const [i, newest] of [runId, `${runId}.0.0`].entries()) {
    const list = lists[i] ?? '';
    expect(await engine.redis.zcard(list)).toBe(1_000);
    expect(await engine.redis.zrange(list, '-1', '-1')).toEqual([newest]);
  }
});
