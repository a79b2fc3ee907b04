// Redis that refuses for a while is nobody's fault: found by chaos, files were set aside because Redis was read-only when their messages had come
// eight times.
import { randomUUID } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { decideAtLast } from '../../src/processors/events.ts';
import { connect } from '../../src/queues/connection.ts';
import { createPlanner } from '../../src/queues/planner.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { eventDeps } from '../support/event-deps.ts';
import { startRedis } from '../support/redis-server.ts';
import { ScriptedCloud } from '../support/scripted-cloud.ts';
import { seedId } from '../support/seed-runs.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

it.each([
  ['read-only', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE'], /^READONLY/],
  ['full', ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0'], /^OOM/],
] as const)('an event whose message came often is not set aside because Redis is %s just now', async (_how, breaks, mends, error) => {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  const cloud = new ScriptedCloud('bucket', {});
  const planner = createPlanner({ shard: 0, connection: redis, onError: () => {}, failpoint: () => {} });
  ends.push(
    server.stop,
    () => redis.disconnect(),
    () => cloud.close(),
    planner.close,
  );
  const id = randomUUID();
  const bucket = `ld-private-${id}`;
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  await resources.put({ id, app: '', bucket, region: 'us-east-1', plan: 'basic' });
  const runs = createRuns({ redis });
  const runId = seedId('file');
  let broken = true;
  const deps = eventDeps({
    runs: {
      ...runs,
      accept: async (run) => {
        if (broken) await redis.call(breaks[0], ...breaks.slice(1));
        try {
          return await runs.accept(run);
        } finally {
          await redis.call(mends[0], ...mends.slice(1));
        }
      },
    },
    resources,
    store: {
      ...cloud.store,
      head: async () => ({
        size: 4,
        etag: 'e',
        versionId: 'v1',
        modifiedAt: Date.now(),
        metadata: { ld_code: '{"run":[{"cmd":"work"}]}' },
      }),
    },
    planners: [planner],
    place: () => runId,
  });
  const event = { bucket, key: 'in/a', versionId: 'v1', eventName: 'ObjectCreated:Put', size: 4, time: Date.now() };
  await expect(decideAtLast(deps, event, 20)).rejects.toThrow(error);
  expect(await redis.keys('*quarantine*')).toEqual([]);
  broken = false;
  await decideAtLast(deps, event, 21);
  expect(await redis.keys(`*${runId}`)).not.toEqual([]);
});
