// S3 takes minutes to begin to notify of a new bucket: until then the sweep is all that finds its files, and comes every minute.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createArchiveMarks } from '../../src/processors/archive-marks.ts';
import { SWEEPS_KEY } from '../../src/queues/keys.ts';
import { readLedger } from '../../src/queues/ledger.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const MINUTE_MS = 60_000;
/** Milliseconds between two sweeps in production (docs/settings.md). */
const LEDGER_MS = 15 * MINUTE_MS;
/** Milliseconds that a sweep under way keeps others off its bucket (sweep-slots.ts): a due time that near is no next sweep. */
const CLAIM_MS = 15_000;

let redis: TestRedis;
let engine: TestEngine;
beforeEach(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, {}, { ledgerMs: LEDGER_MS });
});
afterEach(async () => {
  await engine.stop();
  await redis.stop();
});

/** When the bucket was swept last, once that is later than `than`, and when its next sweep is due (ms by Redis' clock). */
const sweptAfter = async (than: number) =>
  await until('the next sweep to be noted', async () => {
    const { swept_at } = await readLedger(engine.redis, { id: engine.resource, bucket: engine.bucket }, 1);
    const swept = Date.parse(swept_at ?? '');
    const due = Number(await engine.redis.zscore(SWEEPS_KEY, engine.resource));
    return swept > than && due > swept + 2 * CLAIM_MS && { swept, due };
  });

/** Has the bucket swept now, as one whose account began `age` milliseconds ago; answers with how long (ms) after that sweep the next one is due. */
async function pauseAtAge(age: number): Promise<number> {
  const { swept } = await sweptAfter(0);
  const began = swept - age;
  const marks = createArchiveMarks({ store: engine.cloud.store, bucket: ARCHIVE_BUCKET });
  await marks.setWatermark({ id: engine.resource, bucket: engine.bucket }, { since: 0, begun: began, at: swept });
  await engine.redis.zadd(SWEEPS_KEY, 0, engine.resource);
  const next = await sweptAfter(swept);
  return next.due - next.swept;
}

/** Milliseconds that a sweep may take on a busy machine: the next one counts from its end. */
const SLOW_MS = 20_000;

it('a new bucket is swept every minute', async () => {
  const { swept, due } = await sweptAfter(0);
  expect(due - swept).toBeGreaterThanOrEqual(MINUTE_MS);
  expect(due - swept).toBeLessThan(MINUTE_MS + SLOW_MS);
});

it('a bucket is new for ten minutes', async () => {
  const young = await pauseAtAge(10 * MINUTE_MS - SLOW_MS);
  expect(young).toBeGreaterThanOrEqual(MINUTE_MS);
  expect(young).toBeLessThan(MINUTE_MS + SLOW_MS);
  const old = await pauseAtAge(10 * MINUTE_MS);
  expect(old).toBeGreaterThanOrEqual(LEDGER_MS);
  expect(old).toBeLessThan(LEDGER_MS + SLOW_MS);
});
