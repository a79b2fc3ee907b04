// What is done to a resource is cut off at every step: the next try, or the next process, goes on, and nothing is left half done.
import { ListBucketsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ADDON_FAILPOINTS, type Failpoint, type FailpointName } from '../../src/schema/failpoint.ts';
import { type AddonWorld, startAddonWorld } from '../addon/addon-world.ts';
import { until } from '../support/until.ts';

const ROTATE: readonly FailpointName[] = ['rotate.issued', 'rotate.kept', 'rotate.told'];
/** Made seven hours ago, as far as anybody knows. */
const sevenHoursAgo = () => Date.now() - 25_200_000;

let world: AddonWorld;

beforeAll(async () => {
  world = await startAddonWorld();
});
afterAll(async () => await world.stop());

const bucketsOf = async (uuid: string) =>
  ((await world.store.s3().send(new ListBucketsCommand({}))).Buckets ?? []).filter(({ Name }) => Name?.includes(uuid));

/** Cuts off once at the point; `reached` tells whether it did. */
function cutAt(point: string): { failpoint: Failpoint; reached: () => boolean } {
  let cut = false;
  const failpoint: Failpoint = (name) => {
    if (name !== point || cut) return;
    cut = true;
    throw new Error(`cut off at ${name}`);
  };
  return { failpoint, reached: () => cut };
}

const points = (life: string) =>
  Object.keys(ADDON_FAILPOINTS).filter((name) => name.startsWith(`${life}.`) && name !== 'provision.exchanged');

async function expectProvisioned(uuid: string): Promise<void> {
  await until('provisioned', async () => (await world.resources.stateOf(uuid)) === 'provisioned');
  expect(await bucketsOf(uuid)).toHaveLength(1);
  const addon = world.heroku.addon(uuid);
  expect(addon.state).toBe('provisioned');
  expect((await world.resources.secret(uuid, 'credentials'))?.accessKeyId).toBe(addon.config['LD_AWS_ACCESS_KEY_ID']);
  expect(await world.resources.secret(uuid, 'pending')).toBeUndefined();
  expect(await world.resources.secret(uuid, 'grant')).toBeUndefined();
}

async function expectRemoved(uuid: string): Promise<void> {
  await until('removed', async () => (await world.resources.stateOf(uuid)) === 'removed');
  await until('its job is gone', async () => (await world.redis.keys(`*${uuid}*`)).length === 2);
  expect(await bucketsOf(uuid)).toEqual([]);
  expect((await world.call('DELETE', `/heroku/resources/${uuid}`)).status).toBe(410);
}

/** The app has the old ones or the new ones, and both work. */
async function expectAppWorks(uuid: string): Promise<void> {
  const told = world.heroku.addon(uuid).config;
  const s3 = world.store.s3({
    accessKeyId: told['LD_AWS_ACCESS_KEY_ID'] ?? '',
    secretAccessKey: told['LD_AWS_SECRET_ACCESS_KEY'] ?? '',
    sessionToken: told['LD_AWS_SESSION_TOKEN'] ?? '',
  });
  await s3.send(new PutObjectCommand({ Bucket: `ld-private-${uuid}`, Key: 'in/between', Body: 'x' }));
}

async function expectRotated(uuid: string, old: string | undefined): Promise<void> {
  await until('rotated', async () => {
    const now = await world.resources.secret(uuid, 'credentials');
    return now?.accessKeyId !== old && (await world.resources.secret(uuid, 'pending')) === undefined;
  });
  const held = await world.resources.secret(uuid, 'credentials');
  expect(held?.accessKeyId).toBe(world.heroku.addon(uuid).config['LD_AWS_ACCESS_KEY_ID']);
}

/** A resource that no worker looks after, with its old access key. */
async function provisionedBefore(): Promise<{ uuid: string; old: string | undefined }> {
  const stop = await world.work();
  const uuid = await world.provisioned();
  await stop();
  return { uuid, old: (await world.resources.secret(uuid, 'credentials'))?.accessKeyId };
}

async function age(uuid: string): Promise<void> {
  const held = await world.resources.secret(uuid, 'credentials');
  if (held !== undefined) await world.resources.setCredentials(uuid, { ...held, issuedAt: sevenHoursAgo() });
}

test.each([...points('provision'), ...ROTATE])('provisioning goes on after it was cut off at %s', async (point) => {
  const { uuid, body } = world.heroku.create();
  const cut = cutAt(point);
  const stop = await world.work(cut.failpoint);
  expect((await world.call('POST', '/heroku/resources', body)).status).toBe(202);
  await expectProvisioned(uuid);
  expect(cut.reached()).toBe(true);
  await stop();
});

test('a crash between the exchange of the grant and the keeping of its tokens ends as a failure that leaves nothing', async () => {
  const { uuid, body } = world.heroku.create();
  const stop = await world.work(cutAt('provision.exchanged').failpoint);
  await world.call('POST', '/heroku/resources', body);
  await until('failed', async () => (await world.resources.stateOf(uuid)) === 'failed');
  await stop();
  expect(await bucketsOf(uuid)).toEqual([]);
  expect((await world.call('POST', '/heroku/resources', body)).status).toBe(422);
});

test.each(points('deprovision'))('removing goes on after it was cut off at %s', async (point) => {
  const cut = cutAt(point);
  const stop = await world.work(cut.failpoint);
  const uuid = await world.provisioned();
  await world.store.s3().send(new PutObjectCommand({ Bucket: `ld-private-${uuid}`, Key: 'in/a', Body: 'x' }));
  expect((await world.call('DELETE', `/heroku/resources/${uuid}`)).status).toBe(204);
  await expectRemoved(uuid);
  expect(cut.reached()).toBe(true);
  await stop();
});

test.each(ROTATE)('a rotation goes on after it was cut off at %s, and one truth is left', async (point) => {
  const { uuid, old } = await provisionedBefore();
  const cut = cutAt(point);
  await age(uuid);
  const stop = await world.work(cut.failpoint);
  await until('cut off', cut.reached);
  await expectAppWorks(uuid);
  await expectRotated(uuid, old);
  await expectAppWorks(uuid);
  await stop();
});

test('a process killed while it provisions, rotates or removes leaves the rest to the next one', async () => {
  const { uuid, body } = world.heroku.create();
  const provisioner = world.workerProcess('provision.bucket:1');
  expect((await world.call('POST', '/heroku/resources', body)).status).toBe(202);
  expect(await provisioner.ended).toBe('SIGKILL');
  const stop = await world.work();
  await expectProvisioned(uuid);
  await stop();

  const old = (await world.resources.secret(uuid, 'credentials'))?.accessKeyId;
  await age(uuid);
  expect(await world.workerProcess('rotate.kept:1').ended).toBe('SIGKILL');
  await expectAppWorks(uuid);
  const again = await world.work();
  await expectRotated(uuid, old);
  await again();

  const remover = world.workerProcess('deprovision.closed:1');
  expect((await world.call('DELETE', `/heroku/resources/${uuid}`)).status).toBe(204);
  expect(await remover.ended).toBe('SIGKILL');
  await world.work();
  await expectRemoved(uuid);
});
