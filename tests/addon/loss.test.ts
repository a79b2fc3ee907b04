// Redis is rolled back to before what Heroku was told: neither an installation nor a removal is lost with it.
import { ListBucketsCommand } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ledgerKey, STORE_KEY } from '../../src/queues/keys.ts';
import { createResourceBackup } from '../../src/queues/resource-backup.ts';
import { until } from '../support/until.ts';
import { type AddonWorld, startAddonWorld } from './addon-world.ts';

/** Milliseconds: after a start of Redis everything waits for five seconds, and jobs come back with a delay; a worker boots within it, too. */
const BACK_MS = 60_000;

let world: AddonWorld;

beforeEach(async () => {
  world = await startAddonWorld();
});
afterEach(async () => await world.stop());

const bucketsOf = async (uuid: string) =>
  ((await world.store.s3().send(new ListBucketsCommand({}))).Buckets ?? []).filter(({ Name }) => Name?.includes(uuid)).length;
const stateIs = (uuid: string, state: string | undefined) =>
  until(`${uuid} ${state}`, async () => (await world.resources.stateOf(uuid)) === state, BACK_MS);
const install = async () => {
  const { uuid, body } = world.heroku.create();
  expect((await world.call('POST', '/heroku/resources', body)).status).toBe(202);
  return { uuid, body };
};
const remove = async (uuid: string) => (await world.call('DELETE', `/heroku/resources/${uuid}`)).status;
const beats = async () => Number(await world.redis.hget(STORE_KEY, 'beat'));
const onlyTombstone = async (uuid: string) => {
  const allowed = [`af:audit:${uuid}`, `af:resource:${uuid}`];
  await until(`nothing left of ${uuid}`, async () => (await world.redis.keys(`*${uuid}*`)).every((key) => allowed.includes(key)), BACK_MS);
};

test('what was installed, exchanged or removed meanwhile is so afterwards', async () => {
  const worker = world.workerProcess();
  // the boot of the whole worker comes before it
  const upgraded = await world.provisioned({}, BACK_MS);
  const [gone, goneByLate] = [await world.provisioned(), await world.provisioned()];
  world.heroku.fault('POST /oauth/token', { status: 503 });
  const half = await install();
  const tokenCalls = () => world.heroku.calls.filter(({ path }) => path === '/oauth/token');
  await until('its first try', () => tokenCalls().some(({ status }) => status === 503));
  await until('a beat', async () => (await beats()) > 0);

  const remembered = await beats();
  const rollBack = await world.redisServer.remember();
  world.heroku.fault('POST /oauth/token', undefined);
  await stateIs(half.uuid, 'provisioned');
  const whole = await install();
  expect((await world.call('PUT', `/heroku/resources/${upgraded}`, { plan: 'premium' })).status).toBe(200);
  await stateIs(whole.uuid, 'provisioned');
  expect(await remove(gone)).toBe(204);
  await stateIs(gone, 'removed');
  // one of which the archive has nothing but the order
  world.heroku.fault('GET /apps/', { status: 503 });
  expect(await remove(goneByLate)).toBe(204);
  await until('beats that are lost', async () => (await beats()) >= remembered + 2);
  const exchanged = tokenCalls().filter(({ status }) => status === 200).length;

  await rollBack();
  world.heroku.fault('GET /apps/', undefined);
  await until('another epoch', async () => (await world.redis.hget(STORE_KEY, 'epoch')) === '2', BACK_MS);
  for (const uuid of [gone, goneByLate]) {
    await stateIs(uuid, 'removed');
    await onlyTombstone(uuid);
    expect(await bucketsOf(uuid)).toBe(0);
    expect(await remove(uuid)).toBe(410);
  }
  expect((await world.resources.get(upgraded))?.plan).toBe('premium');
  for (const { uuid, body } of [half, whole]) {
    await stateIs(uuid, 'provisioned');
    expect(world.heroku.addon(uuid).state).toBe('provisioned');
    expect(await bucketsOf(uuid)).toBe(1);
    const held = await until('its credentials', () => world.resources.secret(uuid, 'credentials'), BACK_MS);
    expect(world.heroku.addon(uuid).config['LD_AWS_ACCESS_KEY_ID']).toBe(held.accessKeyId);
    expect((await world.call('POST', '/heroku/resources', body)).status).toBe(202);
  }
  // a code works once: whoever lost its tokens gets them back
  expect(tokenCalls().filter(({ status }) => status === 200 || status === 400)).toHaveLength(exchanged);
  await worker.stop();
}, 120_000);

test('rolled back between the purge and the tombstone, a removal takes away once more what came back', async () => {
  let pass = 0;
  const [held, purged] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await world.work((name) => {
    if (name === 'deprovision.archived') {
      pass += 1;
      if (pass === 1) {
        held.resolve();
        throw new Error('not now');
      }
    }
    if (name === 'deprovision.purged' && pass === 2) {
      process.kill(world.redisServer.pid, 'SIGKILL');
      purged.resolve();
    }
  });
  const uuid = await world.provisioned();
  await world.redis.hset(ledgerKey(uuid), 'bucket', `ld-private-${uuid}`);
  expect(await remove(uuid)).toBe(204);
  await held.promise;
  const rollBack = await world.redisServer.remember();
  await purged.promise;
  await rollBack();
  await stateIs(uuid, 'removed');
  await onlyTombstone(uuid);
});

test('before anybody has noticed the loss, Heroku’s calls find what Redis does not know', async () => {
  const stop = await world.work();
  const rollBack = await world.redisServer.remember();
  const [stays, goes, gone] = [await install(), await install(), await install()];
  for (const { uuid } of [stays, goes, gone]) await stateIs(uuid, 'provisioned');
  expect(await remove(gone.uuid)).toBe(204);
  await stateIs(gone.uuid, 'removed');
  await stop();
  await rollBack();
  for (const { uuid } of [stays, goes, gone]) expect(await world.resources.stateOf(uuid)).toBeUndefined();

  expect((await world.call('POST', '/heroku/resources', stays.body)).status).toBe(202);
  expect(await world.resources.stateOf(stays.uuid)).toBe('provisioned');
  expect((await world.call('PUT', `/heroku/resources/${stays.uuid}`, { plan: 'premium' })).status).toBe(200);
  expect((await world.call('POST', '/heroku/resources', gone.body)).status).toBe(410);
  expect(await remove(gone.uuid)).toBe(410);
  const removing = remove(goes.uuid);
  await world.work();
  expect(await removing).toBe(204);
  await stateIs(goes.uuid, 'removed');
  expect(await bucketsOf(goes.uuid)).toBe(0);
});

test('what cannot be kept outside Redis is not promised', async () => {
  const uuid = await (async () => {
    await world.work();
    return await world.provisioned();
  })();
  const { body } = world.heroku.create();
  await world.store.close();
  expect((await world.call('POST', '/heroku/resources', body)).status).toBe(503);
  expect(await remove(uuid)).toBe(503);
});

test('a record comes back when it is farther in its life than the one that stands, and only then', async () => {
  const lives = ['none', 'provisioning', 'exchanged', 'provisioned', 'failed', 'deprovisioning', 'removed'] as const;
  const backup = createResourceBackup({ redis: world.redis });
  const place = { app: 'app', region: 'us-east-1', plan: 'basic' };
  const partner = { access: 'a', refresh: 'r', expiresAt: 1 };
  const put = async (id: string, life: (typeof lives)[number]) => {
    if (life === 'none') return;
    const resource = { ...place, id, bucket: `ld-private-${id}` };
    const state = life === 'exchanged' ? 'provisioning' : life === 'removed' ? 'deprovisioning' : life;
    await world.resources.claim({ ...resource, state }, life === 'exchanged' ? { partner } : {});
    await world.resources.index(resource);
    if (life === 'removed') await world.resources.bury(resource);
  };
  for (const [i, archived] of lives.entries()) {
    if (archived === 'none') continue;
    for (const [j, standing] of lives.entries()) {
      const id = `${archived}-${standing}`;
      await put(id, archived);
      const { text } = (await backup.dump(id)) ?? { text: '' };
      await world.redis.del(`af:resource:${id}`);
      await put(id, standing);
      expect(await backup.restore(text), id).toBe(i > j && !(archived === 'removed' && standing === 'deprovisioning'));
      expect(await backup.restore(text), `${id} again`).toBe(false);
      const expected = archived === 'removed' && standing !== 'none' && standing !== 'removed' ? 'deprovisioning' : lives[Math.max(i, j)];
      const state = await world.resources.stateOf(id);
      expect(state, id).toBe(expected === 'exchanged' ? 'provisioning' : expected);
      expect((await world.redis.smembers('af:resources')).includes(id), id).toBe(state !== 'removed');
      if (expected === 'exchanged') expect(await world.resources.secret(id, 'partner'), id).toEqual(partner);
    }
  }
});
