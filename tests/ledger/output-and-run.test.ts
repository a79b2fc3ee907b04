// An output that starts a run itself is decided in two halves, which may be lost apart.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { shardKeys } from '../../src/queues/keys.ts';
import { unchanged } from '../../src/queues/layout.ts';
import { openAccount } from '../../src/queues/ledger.ts';
import type { VersionRef } from '../../src/schema/ledger-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { eventOf } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

let redis: TestRedis;
let engine: TestEngine;

beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, {
    ok: async (dyno) => {
      await dyno.output(5);
      return dyno.accept();
    },
    silent: async (dyno) => await Promise.resolve(dyno.accept()),
  });
});
afterAll(async () => {
  await engine.stop();
  await redis.stop();
});

const account = async () => await openAccount(engine.redis, engine.resource, unchanged(1), 0);
const missing = async (versions: readonly VersionRef[]) => await (await account()).missing(versions);
const decided = () => until('every event to be decided', () => engine.cloud.undeleted === 0);
const launched = (runId: string) =>
  until('the launch', async () => (await engine.show(runId))?.history.some(({ what }) => what === 'launched'));
/** Saves an output of the task that starts a run itself; its event follows. */
const put = (taskId: string): VersionRef => {
  const key = `in/${randomUUID()}`;
  const versionId = engine.cloud.put(key, '{"run":[{"cmd":"ok"}]}', { ld_task_id: taskId, ld_run: 'true' });
  return { bucket: engine.bucket, key, versionId };
};

/** Forgets what was delivered, ignored or set aside, as a loss of Redis does; records stay. */
const forgetAccount = async () => {
  const hours = await engine.redis.keys(`${shardKeys(0).account(engine.resource)}:*`);
  await engine.redis.del(...hours);
};

it('accounts for an output that starts a run by its delivery and by that run, both', async () => {
  const runId = engine.upload([{ cmd: 'silent', timeout: 60 }]);
  await launched(runId);
  const version = put(`${runId}.0.0`);
  await engine.ended(runId);
  await engine.ended(engine.runIdOf(version.key, version.versionId));
  await decided();
  expect(await missing([version])).toEqual([]);
  await forgetAccount();
  expect(await missing([version])).toEqual([version]);
  // a backfill does not offer it: it has run
  expect(await (await account()).undecided([version])).toEqual([]);
  engine.cloud.sendEvents([eventOf(engine.bucket, version.key, version.versionId)]);
  await decided();
  expect(await missing([version])).toEqual([]);
  expect((await engine.show(runId))?.history.filter(({ what }) => what === 'output' || what === 'late_output')).toHaveLength(1);
});

it.each([
  ['never was launched', (waiting: string) => `${waiting}.1.0`],
  ['is gone', () => 'r0-00000000000000000000.0.0'],
])('accounts for an output that starts a run and whose task %s', async (_what, taskOf) => {
  const waiting = engine.upload([
    { cmd: 'silent', timeout: 60 },
    { cmd: 'ok', timeout: 60 },
  ]);
  await launched(waiting);
  const version = put(taskOf(waiting));
  const runId = engine.runIdOf(version.key, version.versionId);
  await engine.ended(runId);
  await decided();
  expect(await missing([version])).toEqual([]);
  // it was led to by a run that has left Redis since, as one of before the two halves were told apart
  await engine.redis.hset(shardKeys(0).run(runId), 'depth', 1);
  await forgetAccount();
  expect(await missing([version])).toEqual([version]);
  engine.cloud.sendEvents([eventOf(engine.bucket, version.key, version.versionId)]);
  await decided();
  expect(await missing([version])).toEqual([]);
  await engine.runs.cancel(waiting, 'test');
  await engine.ended(waiting);
});
