// A run that somebody accepts who does not know yet that its resource is being removed: found by chaos, its jobs were left for a year.
import { randomUUID } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { type DeprovisionDeps, deprovision } from '../../src/processors/deprovision.ts';
import { decideAtLast } from '../../src/processors/events.ts';
import { createAudit } from '../../src/queues/audit.ts';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { connect } from '../../src/queues/connection.ts';
import { resourceKey, shardKeys } from '../../src/queues/keys.ts';
import { createPurge } from '../../src/queues/purge.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createSessions } from '../../src/queues/sessions.ts';
import { createTokens } from '../../src/queues/tokens.ts';
import { withMarker } from '../../src/schema/command.ts';
import { eventDeps } from '../support/event-deps.ts';
import { startRedis } from '../support/redis-server.ts';
import { ScriptedCloud } from '../support/scripted-cloud.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start() {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  const cloud = new ScriptedCloud('bucket', {});
  ends.push(
    server.stop,
    () => redis.disconnect(),
    () => cloud.close(),
  );
  const id = randomUUID();
  const open = () => createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  const resources = open();
  await resources.put({ id, app: '', bucket: `ld-private-${id}`, region: 'us-east-1', plan: 'basic' });
  return { redis, cloud, id, resources, open, runs: createRuns({ redis }) };
}

/** What a removal has; Heroku's and S3's sides do nothing. */
function removing({ redis, cloud, resources, runs }: Pick<Awaited<ReturnType<typeof start>>, 'redis' | 'cloud' | 'resources' | 'runs'>) {
  const never = () => Promise.reject(new Error('not asked for here'));
  return {
    resources,
    runs,
    purge: createPurge({ redis, shards: () => 1 }),
    archive: undefined,
    whole: () => Promise.resolve(0),
    tokens: createTokens({ redis, now: Date.now }),
    sessions: createSessions({ redis }),
    buckets: { make: never, notify: never, close: async () => {}, emptyPage: async () => 0, remove: async () => {} },
    identity: async () => ({ account: '000000000000', arn: 'arn:aws:iam::000000000000:user/engine', chained: false }),
    platform: cloud.platform,
    addons: { info: never, setConfig: never, provisioned: never, deprovisioned: never, subscribe: never },
    audit: createAudit({ redis }),
    asyncDeprovision: false,
    now: Date.now,
    failpoint: () => {},
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
  } satisfies DeprovisionDeps;
}

it('is cancelled before its record goes, and nothing of it is left', async () => {
  const { redis, cloud, id, resources, runs } = await start();
  await resources.change(id, { from: ['', 'provisioned'], set: { state: 'deprovisioning' } });
  const late = seedId('late');
  const cancelled: string[] = [];
  const deps: DeprovisionDeps = {
    ...removing({ redis, cloud, resources, runs }),
    buckets: {
      ...removing({ redis, cloud, resources, runs }).buckets,
      // everything was cancelled, and now an event comes to its end that was read before
      remove: async () => await seedRuns(redis, [{ runId: late, resource: id }]),
    },
    runs: {
      ...runs,
      cancel: async (run, by) => {
        cancelled.push(run);
        return await runs.cancel(run, by);
      },
    },
  };
  await deprovision(deps, id);
  expect(cancelled).toEqual([late]);
  expect(await redis.keys(`*${late}*`)).toEqual([]);
  expect(await resources.stateOf(id)).toBe('removed');
});

it('the dynos of the add-on that the app has had since are not stopped with it', async () => {
  const { redis, cloud, id, resources, runs } = await start();
  const [own, forgotten, other] = [seedId('own'), seedId('forgotten'), seedId('other')];
  await seedRuns(redis, [
    { runId: own, resource: id },
    { runId: other, resource: randomUUID() },
  ]);
  await resources.change(id, { from: ['', 'provisioned'], set: { app: 'app', state: 'deprovisioning' } });
  const stopped = new Set<string>();
  const dynos = [own, forgotten, other].map((run) => ({
    id: run,
    name: 'run.1',
    state: 'up' as const,
    size: 'basic',
    type: 'run',
    createdAt: 0,
    command: withMarker('work', `${run}.0.0`, 1),
  }));
  const deps: DeprovisionDeps = {
    ...removing({ redis, cloud, resources, runs }),
    platform: {
      ...cloud.platform,
      list: async () => await Promise.resolve(dynos),
      stop: async (_app, dyno) => void (await Promise.resolve(stopped.add(dyno))),
    },
  };
  await deprovision(deps, id);
  expect([...stopped].toSorted()).toEqual([own, forgotten].toSorted());
});

it('an event that comes when the bucket is gone is not accounted for by a process that does not know so yet', async () => {
  const { redis, cloud, id, resources, open, runs } = await start();
  const elsewhere = open();
  await elsewhere.ofBucket(`ld-private-${id}`);
  const resource = await resources.get(id);
  if (resource === undefined) throw new Error('no resource');
  await resources.change(id, { from: ['', 'provisioned'], set: { state: 'deprovisioning' } });
  await resources.bury(resource);
  const before = await redis.keys(`*${id}*`);
  const deps = eventDeps({
    runs,
    resources: elsewhere,
    store: cloud.store,
    planners: [],
    place: () => seedId('late'),
  });
  expect((await elsewhere.ofBucket(`ld-private-${id}`))?.id).toBe(id);
  await decideAtLast(
    deps,
    { bucket: `ld-private-${id}`, key: 'out/x', versionId: 'v1', eventName: 'ObjectCreated:Put', size: 1, time: Date.now() },
    1,
  );
  expect(await redis.keys(`*${id}*`)).toEqual(before);
});

it('that is accepted when its resource is gone ends, and nothing of it is left, here or in the archive', async () => {
  const server = await startRedis();
  ends.push(server.stop);
  const engine = await startTestEngine(server, { work: (dyno) => dyno.accept('up') });
  ends.push(engine.stop);
  const { id, bucket } = await engine.otherResource();
  const budget = createBudget({ redis: engine.redis, perHour: 1_000_000_000, log: { debug() {}, info() {}, warn() {}, error() {} } });
  await budget.pause(ADDON_ACCOUNT, id);
  const runId = engine.upload([{ cmd: 'work' }], undefined, bucket);
  await until('it waits', async () => (await engine.redis.hget(shardKeys(0).run(runId), 'p:0.0')) === 'throttle');
  const resource = await engine.resources.get(id);
  if (resource === undefined) throw new Error('no resource');
  // as if it had been accepted only now
  await engine.resources.change(id, { from: ['', 'provisioned'], set: { state: 'deprovisioning' } });
  await engine.resources.bury(resource);
  await budget.resume(ADDON_ACCOUNT, id);
  // both at one look: what is of the run is taken away after what is of its resource
  await until('nothing but the tombstone', async () => {
    const [ofIt, ofRun] = [await engine.redis.keys(`*${id}*`), await engine.redis.keys(`*${runId}*`)];
    return ofRun.length === 0 && ofIt.every((key) => key === resourceKey(id));
  });
  expect([...engine.cloud.objects.keys()].filter((key) => key.includes(runId))).toEqual([]);
  expect(engine.cloud.postsOf(runId)).toEqual([]);
});

it('that ends while its resource is being removed takes nothing away that the removal still needs', async () => {
  const server = await startRedis();
  ends.push(server.stop);
  const engine = await startTestEngine(server, { work: (dyno) => dyno.accept('up') });
  ends.push(engine.stop);
  const { id, bucket } = await engine.otherResource();
  const [first, second] = [
    engine.upload([{ cmd: 'work', timeout: 600 }], undefined, bucket),
    engine.upload([{ cmd: 'work', timeout: 600 }], undefined, bucket),
  ];
  const watched = async () => await engine.redis.hlen(shardKeys(0).watch(id));
  await until('both launched', async () => (await watched()) === 2);
  await engine.resources.change(id, { from: ['', 'provisioned'], set: { state: 'deprovisioning' } });
  await engine.runs.cancel(first, 'deprovision');
  await engine.ended(first);
  await until('it to be archived', async () => (await engine.redis.hexists(shardKeys(0).run(first), 'arch')) === 1);
  expect(await engine.redis.hget(shardKeys(0).run(second), 'state')).toBe('running');
  expect(await watched()).toBe(1);
});
