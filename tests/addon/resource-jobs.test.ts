// Jobs of whole resources, and what is found of a resource when its end and its coming back meet: both found by chaos.
import { randomUUID } from 'node:crypto';
import { Worker } from 'bullmq';
import { afterEach, expect, it } from 'vitest';
import { type AddonWorkerDeps, startAddonWorker } from '../../src/processors/addon.ts';
import { isDue } from '../../src/processors/credentials.ts';
import { createAudit } from '../../src/queues/audit.ts';
import { connect } from '../../src/queues/connection.ts';
import { ADDON_PREFIX, ADDON_QUEUE, bucketKey, RESOURCES_KEY } from '../../src/queues/keys.ts';
import { createLocks } from '../../src/queues/locks.ts';
import { createResourceBackup } from '../../src/queues/resource-backup.ts';
import { createResourceJobs } from '../../src/queues/resource-jobs.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { startRedis } from '../support/redis-server.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start() {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  ends.push(server.stop, () => redis.disconnect());
  return redis;
}

it('a job that a worker put minutes ahead is tried as soon as somebody orders it again', async () => {
  const redis = await start();
  const jobs = createResourceJobs({ connection: redis, onError: () => {} });
  ends.push(jobs.close);
  let tries = 0;
  const worker = new Worker(
    ADDON_QUEUE,
    async () => {
      tries += 1;
      await (tries === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve());
    },
    { connection: redis, prefix: ADDON_PREFIX, settings: { backoffStrategy: () => 360_000 } },
  );
  ends.push(async () => await worker.close());
  const failed = new Promise((resolve) => worker.once('failed', resolve));
  await jobs.add({ kind: 'deprovision', resource: 'one' });
  await failed;
  await Promise.all([jobs.add({ kind: 'deprovision', resource: 'one' }), jobs.add({ kind: 'deprovision', resource: 'one' })]);
  // of two who order it the slower one may come when that try is over and done with, and leads to one more
  await until('its second try', () => tries >= 2);
});

it('a resource whose removal ends while it is put back is found nowhere', async () => {
  const redis = await start();
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  const id = randomUUID();
  const bucket = `ld-private-${id}`;
  await resources.put({ id, app: '', bucket, region: 'us-east-1', plan: 'basic' });
  await resources.change(id, { from: ['', 'provisioned'], set: { state: 'deprovisioning' } });
  const resource = await resources.get(id);
  if (resource === undefined) throw new Error('no resource');
  // between the look at the record and the putting back
  let buried = false;
  const late = new Proxy(redis, {
    get: (target, name) => {
      if (name !== 'setnx') return Reflect.get(target, name);
      return async (key: string, value: string) => {
        if (!buried) await resources.bury(resource);
        buried = true;
        return await target.setnx(key, value);
      };
    },
  });
  const backup = createResourceBackup({ redis: late });
  const { text } = (await backup.dump(id)) ?? { text: '' };
  await backup.restore(text);
  expect(buried).toBe(true);
  expect(await resources.stateOf(id)).toBe('removed');
  expect(await redis.exists(bucketKey(bucket))).toBe(0);
  expect(await redis.sismember(RESOURCES_KEY, id)).toBe(0);
});

it('of any number of orders of one resource for new credentials one waits and one is fulfilled at a time, the last one too', async () => {
  const redis = await start();
  const clock = { now: Date.now() };
  const jobs = createResourceJobs({ connection: redis, onError: () => {} });
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: () => clock.now });
  const audit = createAudit({ redis });
  const id = randomUUID();
  await resources.put({ id, app: 'app', bucket: `ld-private-${id}`, region: 'us-east-1', plan: 'basic' });
  const order = async () => {
    const begin = clock.now;
    // the last one first: the highest counts, whatever the order of their coming
    for (let i = 100; i > 0; i -= 1) await jobs.add({ kind: 'rotate', resource: id, before: begin - 100 + i });
    clock.now += 1;
  };
  const waiting = async () => {
    const names = await redis.keys(`${ADDON_PREFIX}:${ADDON_QUEUE}:rotate-*`);
    const kinds = await Promise.all(names.map(async (name) => await redis.type(name)));
    return kinds.filter((kind) => kind === 'hash').length;
  };
  const release = Promise.withResolvers<void>();
  let issued = 0;
  const forBucket = async () => {
    issued += 1;
    const name = `key-${issued}`;
    await release.promise;
    return { accessKeyId: name, secretAccessKey: 's', sessionToken: 't', expiresAt: clock.now + 43_200_000 };
  };
  const told: string[] = [];
  await order();
  expect(await waiting()).toBe(1);
  // what a rotation needs, and a look at all resources, which comes once and then not in the time of this test
  const deps: Partial<AddonWorkerDeps> = {
    resources,
    jobs,
    audit,
    locks: createLocks({ redis }),
    issuer: { forBucket },
    platform: {
      setConfigVars: async (_app: string, vars: Readonly<Record<string, string>>) => {
        told.push(vars['LD_AWS_ACCESS_KEY_ID'] ?? '');
        await Promise.resolve();
      },
    } as unknown as AddonWorkerDeps['platform'],
    rewrapWebhooks: () => Promise.resolve(0),
    whole: () => Promise.resolve(0),
    connection: redis,
    lockMs: 5_000,
    lookMs: 3_600_000,
    now: () => clock.now,
    failpoint: () => {},
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
  };
  const worker = await startAddonWorker(deps as AddonWorkerDeps);
  ends.push(jobs.close, worker.stop, release.resolve);
  await until('the first issue', () => issued === 1);
  clock.now += 60_000;
  await order();
  expect(await waiting()).toBeLessThanOrEqual(2);
  release.resolve();
  await until(
    'the end of all',
    async () => (await waiting()) === 0 && (await resources.secret(id, 'credentials'))?.accessKeyId === 'key-2',
  );
  expect(told).toEqual(['key-1', 'key-2']);
  const entries = await audit.list(id, { limit: 10 });
  expect(entries.filter(({ action }) => action === 'credentials.rotated')).toHaveLength(2);
});

it('what is left of a resource that failed goes also when Redis lost the job that was at it', async () => {
  const redis = await start();
  const jobs = createResourceJobs({ connection: redis, onError: () => {} });
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  const id = randomUUID();
  const resource = { id, app: '', bucket: `ld-private-${id}`, region: 'us-east-1', plan: 'basic', state: 'failed' as const };
  await resources.claim(resource, { partner: { access: 'a', refresh: 'r', expiresAt: 0 } });
  await resources.index(resource);
  const gone: string[] = [];
  const deps: Partial<AddonWorkerDeps> = {
    resources,
    jobs,
    locks: createLocks({ redis }),
    buckets: {
      emptyPage: () => Promise.resolve(0),
      remove: async (bucket: string) => void (await Promise.resolve(gone.push(bucket))),
    } as unknown as AddonWorkerDeps['buckets'],
    addons: {
      deprovisioned: async (addon: string) => void (await Promise.resolve(gone.push(addon))),
    } as unknown as AddonWorkerDeps['addons'],
    rewrapWebhooks: () => Promise.resolve(0),
    whole: () => Promise.resolve(0),
    connection: redis,
    lockMs: 5_000,
    lookMs: 3_600_000,
    now: Date.now,
    failpoint: () => {},
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
  };
  const worker = await startAddonWorker(deps as AddonWorkerDeps);
  ends.push(jobs.close, worker.stop);
  await until('its tokens to be gone', async () => (await resources.secret(id, 'partner')) === undefined, 5_000);
  expect(gone).toEqual([`ld-private-${id}`, id]);
});

it('credentials of hours ago are replaced, also those that were made for an order and not told since', () => {
  const hour = 3_600_000;
  const now = Date.now();
  const made = (ago: number) => ({
    accessKeyId: 'A',
    secretAccessKey: 's',
    sessionToken: 't',
    issuedAt: now - ago,
    expiresAt: now - ago + 12 * hour,
  });
  // the order came a second before they were made
  for (const [ago, due] of [
    [hour, false],
    [13 * hour, true],
  ] as const)
    expect(isDue('a resource', made(ago), now, now - ago - 1_000)).toBe(due);
  expect(isDue('a resource', made(hour), now, now - hour + 1_000)).toBe(true);
});
