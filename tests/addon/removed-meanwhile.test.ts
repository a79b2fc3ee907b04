// A removal that comes while a resource is being made has the word, whatever the job that makes it is at.
import { randomUUID } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import type { AddonPlatform, BucketAdmin } from '../../src/clients/addon-ports.ts';
import { rotate } from '../../src/processors/credentials.ts';
import { type AddonDeps, provisionAddon } from '../../src/processors/provision.ts';
import { createAudit } from '../../src/queues/audit.ts';
import { connect } from '../../src/queues/connection.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedis } from '../support/redis-server.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const HOUR_MS = 3_600_000;
const tokens = { access: 'a', refresh: 'r', expiresAt: Date.now() + HOUR_MS };
const log = { debug() {}, info() {}, warn() {}, error() {} };
const none = async () => await Promise.resolve();

async function start() {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  ends.push(server.stop, () => redis.disconnect());
  const clock = { now: Date.now() };
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 1)), now: () => clock.now });
  const buckets = new Set<string>();
  const told: Record<string, string>[] = [];
  /** Add-ons of which Heroku was told that they are gone. */
  const untold: string[] = [];
  let issued = 0;
  const admin = {
    make: async (bucket: string) => void (await Promise.resolve(buckets.add(bucket))),
    notify: none,
    emptyPage: async () => await Promise.resolve(0),
    remove: async (bucket: string) => void (await Promise.resolve(buckets.delete(bucket))),
  };
  const addons = {
    setConfig: async (_id: string, vars: Readonly<Record<string, string>>) => void (await Promise.resolve(told.push({ ...vars }))),
    provisioned: none,
    deprovisioned: async (id: string) => void (await Promise.resolve(untold.push(id))),
    subscribe: none,
  };
  /** What the job has; Heroku's and S3's sides are scripted. */
  const deps = (more: {
    info: AddonPlatform['info'];
    probe?: AddonDeps['probe'];
    make?: BucketAdmin['make'];
    remove?: BucketAdmin['remove'];
  }): AddonDeps => ({
    resources,
    issuer: {
      forBucket: async () => {
        issued += 1;
        const ends = clock.now + 12 * HOUR_MS;
        return await Promise.resolve({ accessKeyId: `key-${issued}`, secretAccessKey: 's', sessionToken: 't', expiresAt: ends });
      },
    } as AddonDeps['issuer'],
    platform: {} as AddonDeps['platform'],
    now: () => clock.now,
    log,
    buckets: { ...admin, make: more.make ?? admin.make, remove: more.remove ?? admin.remove } as unknown as BucketAdmin,
    queueArn: async () => await Promise.resolve('arn'),
    oauth: { exchange: async () => await Promise.resolve(tokens) } as unknown as AddonDeps['oauth'],
    audit: createAudit({ redis }),
    archive: undefined,
    whole: async () => await Promise.resolve(1),
    addons: { ...addons, info: more.info } as unknown as AddonPlatform,
    probe: more.probe ?? (async () => await Promise.resolve('partner' as const)),
  });
  const claim = async () => {
    const id = randomUUID();
    clock.now += 1;
    await resources.claim(
      { id, app: '', bucket: `ld-private-${id}`, region: 'us-east-1', plan: 'basic', state: 'provisioning' },
      { grant: { code: 'c', expiresAt: 0 } },
    );
    return id;
  };
  const remove = async (id: string) =>
    await resources.change(id, { from: ['provisioning', 'provisioned'], set: { state: 'deprovisioning' }, unset: ['grant', 'pending'] });
  const bury = async (id: string) => {
    const resource = await resources.get(id);
    if (resource === undefined) throw new Error(`no resource ${id}`);
    await resources.bury(resource);
  };
  return { resources, clock, buckets, told, untold, admin, deps, claim, remove, bury };
}
const on = (app: string) => async () =>
  (await Promise.resolve({ app: { id: app, name: app }, name: 'line-d-x' })) as Awaited<ReturnType<AddonPlatform['info']>>;

it('makes no bucket after the removal has removed it', async () => {
  const { resources, buckets, deps, claim, remove, admin, bury } = await start();
  const id = await claim();
  await provisionAddon(
    deps({
      info: on('app-1'),
      probe: async () => {
        await remove(id);
        await admin.remove(`ld-private-${id}`);
        return 'partner';
      },
    }),
    id,
  );
  await bury(id);
  expect([...buckets]).toEqual([]);
  expect(await resources.stateOf(id)).toBe('removed');
});

it('leaves no bucket that it made while the removal was past it', async () => {
  const { buckets, deps, claim, remove, admin } = await start();
  const id = await claim();
  const make = async (bucket: string) => {
    await remove(id);
    await admin.remove(bucket);
    await admin.make(bucket);
  };
  await provisionAddon(deps({ info: on('app-1'), make }), id);
  expect([...buckets]).toEqual([]);
});

it.each(['conflict', 's3_unavailable'] as const)('a job whose removal of the bucket ends with %s comes again for it', async (code) => {
  const { resources, buckets, deps, claim, remove, bury, admin } = await start();
  const id = await claim();
  const make = async (bucket: string) => {
    await remove(id);
    await bury(id);
    await admin.make(bucket);
  };
  // a bucket that was made a moment ago is often not to be removed yet
  const refuse = async () => await Promise.reject(new Failure(code, 'Remove bucket: OperationAborted.'));
  await expect(provisionAddon(deps({ info: on('app-1'), make, remove: refuse }), id)).rejects.toThrow('OperationAborted');
  await expect(provisionAddon(deps({ info: on('app-1'), remove: refuse }), id)).rejects.toThrow('OperationAborted');
  expect([...buckets]).toEqual([`ld-private-${id}`]);
  await provisionAddon(deps({ info: on('app-1') }), id);
  expect([...buckets]).toEqual([]);
  expect(await resources.stateOf(id)).toBe('removed');
});

it('a job whose removal of the bucket fails while the resource is being removed comes again until it is', async () => {
  const { buckets, deps, claim, remove, bury, admin } = await start();
  const id = await claim();
  const make = async (bucket: string) => {
    await remove(id);
    await admin.make(bucket);
  };
  const refuse = async () => await Promise.reject(new Failure('conflict', 'Remove bucket: OperationAborted.'));
  await expect(provisionAddon(deps({ info: on('app-1'), make, remove: refuse }), id)).rejects.toThrow('OperationAborted');
  // its bucket is closed first, and the archive told: that is the removal's to do
  await expect(provisionAddon(deps({ info: on('app-1') }), id)).rejects.toThrow('being removed');
  await bury(id);
  await provisionAddon(deps({ info: on('app-1') }), id);
  expect([...buckets]).toEqual([]);
});

/** What another worker does that has the job now: it comes to its end. */
const elsewhere = async (resources: Awaited<ReturnType<typeof start>>['resources'], id: string) =>
  await resources.change(id, { from: ['provisioning'], set: { state: 'provisioned' } });

it('a job that was taken from a frozen worker leaves the bucket to the one that finished it', async () => {
  const { resources, buckets, deps, claim, admin } = await start();
  const id = await claim();
  const make = async (bucket: string) => {
    await admin.make(bucket);
    await elsewhere(resources, id);
  };
  await provisionAddon(deps({ info: on('app-1'), make }), id);
  expect([...buckets]).toEqual([`ld-private-${id}`]);
  expect(await resources.stateOf(id)).toBe('provisioned');
});

it('a job that was taken from a frozen worker gives up nothing that another one has finished', async () => {
  const { resources, buckets, deps, claim, admin, untold } = await start();
  const id = await claim();
  const make = async (bucket: string) => {
    await admin.make(bucket);
    await elsewhere(resources, id);
    throw new Failure('conflict', 'What was found before it froze.');
  };
  await provisionAddon(deps({ info: on('app-1'), make }), id);
  expect([...buckets]).toEqual([`ld-private-${id}`]);
  expect(untold).toEqual([]);
  expect(await resources.secret(id, 'partner')).toEqual(tokens);
});

it('leaves no bucket that it made after another worker had given up, nor one whose removal broke off', async () => {
  const { resources, buckets, deps, claim, admin, untold } = await start();
  const id = await claim();
  let failures = 1;
  const remove = async (bucket: string) => {
    failures -= 1;
    if (failures >= 0) throw new Failure('s3_unavailable', 'HTTP 503 SlowDown.');
    await admin.remove(bucket);
  };
  const gaveUp = async (bucket: string) => {
    await admin.make(bucket);
    throw new Failure('conflict', 'Somebody else has it.');
  };
  const make = async (bucket: string) => {
    await expect(provisionAddon(deps({ info: on('app-1'), make: gaveUp, remove }), id)).rejects.toThrow('SlowDown');
    await admin.make(bucket);
  };
  await provisionAddon(deps({ info: on('app-1'), make }), id);
  expect([...buckets]).toEqual([]);
  // nothing but the job that broke off knows whom to tell
  await provisionAddon(deps({ info: on('app-1') }), id);
  expect(untold).toEqual([id]);
  expect(await resources.get(id)).toMatchObject({ state: 'failed', error: expect.stringContaining('Somebody else has it.') });
  expect(await resources.secret(id, 'partner')).toBeUndefined();
});

it('leaves the app to the add-on that was installed after the removal', async () => {
  const { resources, deps, claim, remove, bury } = await start();
  const old = await claim();
  let next = '';
  await provisionAddon(
    deps({
      info: async () => {
        await remove(old);
        await bury(old);
        next = await claim();
        await resources.change(next, { set: { app: 'app-2', state: 'provisioned' } });
        await resources.index({ id: next, bucket: `ld-private-${next}`, app: 'app-2' });
        return await on('app-2')();
      },
    }),
    old,
  );
  expect(await resources.ofApp('app-2')).toBe(next);
  // nor does a call of it that was under way
  await resources.index({ id: old, bucket: `ld-private-${old}`, app: 'app-2' });
  expect(await resources.ofApp('app-2')).toBe(next);
});

it('credentials that an order before this one left untold are not what this one gives', async () => {
  const { resources, clock, told, deps, claim } = await start();
  const id = await claim();
  const parts = deps({ info: on('app-3') });
  await provisionAddon(parts, id);
  const resource = await resources.get(id);
  if (resource === undefined) throw new Error('not provisioned');
  clock.now += 7 * HOUR_MS;
  const silent = { ...parts, addons: { ...parts.addons, setConfig: async () => await Promise.reject(new Error('Heroku is away')) } };
  await expect(rotate(silent, resource)).rejects.toThrow('away');
  // soon after: what was made is told
  expect(await rotate(parts, resource)).toBe(true);
  expect(told.at(-1)?.['LD_AWS_ACCESS_KEY_ID']).toBe('key-2');

  clock.now += 7 * HOUR_MS;
  await expect(rotate(silent, resource)).rejects.toThrow('away');
  clock.now += HOUR_MS;
  // keys have leaked: all that were made up to now are to be replaced
  expect(await rotate(parts, resource, { before: clock.now })).toBe(true);
  expect(told.at(-1)?.['LD_AWS_ACCESS_KEY_ID']).toBe('key-4');
});

it('a rotation that was taken from a frozen worker leaves the app and its dynos the credentials that another one made', async () => {
  const { resources, clock, told, deps, claim } = await start();
  const id = await claim();
  const parts = deps({ info: on('app-4') });
  await provisionAddon(parts, id);
  const resource = await resources.get(id);
  if (resource === undefined) throw new Error('not provisioned');
  clock.now += 7 * HOUR_MS;
  let frozen = true;
  const late = {
    ...parts,
    addons: {
      ...parts.addons,
      setConfig: async (addon: string, vars: Readonly<Record<string, string>>) => {
        // keys have leaked: all that were made up to now are to be replaced
        if (frozen) expect(await rotate(parts, resource, { before: clock.now })).toBe(true);
        frozen = false;
        await parts.addons.setConfig(addon, vars);
      },
    },
  };
  await rotate(late, resource);
  expect(told.at(-1)?.['LD_AWS_ACCESS_KEY_ID']).toBe('key-3');
  expect((await resources.secret(id, 'credentials'))?.accessKeyId).toBe('key-3');
});
