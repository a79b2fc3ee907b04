// A run that somebody accepts who does not know yet that its resource is being removed: found by chaos, its jobs were left for a year.
import { randomUUID } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { type DeprovisionDeps, deprovision } from '../../src/processors/deprovision.ts';
import { createAudit } from '../../src/queues/audit.ts';
import { connect } from '../../src/queues/connection.ts';
import { createPurge } from '../../src/queues/purge.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createSessions } from '../../src/queues/sessions.ts';
import { createTokens } from '../../src/queues/tokens.ts';
import { startRedis } from '../support/redis-server.ts';
import { ScriptedCloud } from '../support/scripted-cloud.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

it('is cancelled before its record goes, and nothing of it is left', async () => {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  const cloud = new ScriptedCloud('bucket', {});
  ends.push(
    server.stop,
    () => redis.disconnect(),
    () => cloud.close(),
  );
  const id = randomUUID();
  const now = Date.now;
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now });
  await resources.put({ id, app: '', bucket: `ld-private-${id}`, region: 'us-east-1', plan: 'basic' });
  await resources.change(id, { from: ['', 'provisioned'], set: { state: 'deprovisioning' } });
  const runs = createRuns({ redis });
  const late = seedId('late');
  const cancelled: string[] = [];
  const never = () => Promise.reject(new Error('not asked for here'));
  const deps: DeprovisionDeps = {
    resources,
    runs: {
      ...runs,
      cancel: async (run, by) => {
        cancelled.push(run);
        return await runs.cancel(run, by);
      },
    },
    purge: createPurge({ redis, shards: 1 }),
    tokens: createTokens({ redis, now }),
    sessions: createSessions({ redis }),
    buckets: {
      make: never,
      notify: never,
      close: async () => {},
      emptyPage: async () => 0,
      // everything was cancelled, and now an event comes to its end that was read before
      remove: async () => await seedRuns(redis, [{ runId: late, resource: id }]),
    },
    identity: async () => ({ account: '000000000000', arn: 'arn:aws:iam::000000000000:user/engine', chained: false }),
    platform: cloud.platform,
    addons: { info: never, setConfig: never, provisioned: never, deprovisioned: never, subscribe: never },
    audit: createAudit({ redis }),
    asyncDeprovision: false,
    now,
    failpoint: () => {},
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
  };
  await deprovision(deps, id);
  expect(cancelled).toEqual([late]);
  expect(await redis.keys(`*${late}*`)).toEqual([]);
  expect(await resources.stateOf(id)).toBe('removed');
});
