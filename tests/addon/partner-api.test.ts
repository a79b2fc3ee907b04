import { ListBucketsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createBudget } from '../../src/queues/budget.ts';
import { shardKeys, WEBHOOKED_KEY } from '../../src/queues/keys.ts';
import type { Log } from '../../src/schema/log.ts';
import { redisText } from '../support/redis-text.ts';
import { until } from '../support/until.ts';
import { type AddonWorld, BASIC, startAddonWorld } from './addon-world.ts';

const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

let world: AddonWorld;

beforeAll(async () => {
  world = await startAddonWorld();
  await world.work();
});
afterAll(async () => await world.stop());

const buckets = async () => ((await world.store.s3().send(new ListBucketsCommand({}))).Buckets ?? []).map((bucket) => bucket.Name);

describe('authentication', () => {
  test('the vector of Heroku’s documentation is what Basic means', () => {
    expect(Buffer.from('addon-slug:super-secret').toString('base64')).toBe('YWRkb24tc2x1ZzpzdXBlci1zZWNyZXQ=');
  });

  test.each([
    ['nothing', ''],
    ['a wrong password', `Basic ${Buffer.from('line-d:super-secret-passwore').toString('base64')}`],
    ['another user', `Basic ${Buffer.from('line-e:super-secret-password').toString('base64')}`],
    ['a bearer token', 'Bearer super-secret-password'],
    ['user and password the other way round', `Basic ${Buffer.from('super-secret-password:line-d').toString('base64')}`],
  ])('%s is answered 401, and nothing is made', async (_what, authorization) => {
    const { uuid, body } = world.heroku.create();
    for (const [method, path] of [
      ['POST', '/heroku/resources'],
      ['PUT', `/heroku/resources/${uuid}`],
      ['DELETE', `/heroku/resources/${uuid}`],
    ] as const) {
      const answer = await world.call(method, path, body, { authorization });
      expect(answer.status).toBe(401);
      expect(answer.headers.get('www-authenticate')).toContain('Basic');
    }
    expect(await world.resources.stateOf(uuid)).toBeUndefined();
  });
});

describe('provisioning', () => {
  test('is promised at once and done in the background: bucket, credentials, config vars, the word to Heroku', async () => {
    const { uuid, appId, body } = world.heroku.create();
    const answer = await world.call('POST', '/heroku/resources', body);
    expect(answer.status).toBe(202);
    expect(answer.json).toEqual({ id: uuid, message: 'line-D is being provisioned and will be available shortly.' });
    await world.provisionedWhole(uuid);
    expect(world.heroku.addon(uuid).state).toBe('provisioned');
    const { config, actions } = world.heroku.addon(uuid);
    expect(Object.keys(config).sort()).toEqual([
      'LD_AWS_ACCESS_KEY_ID',
      'LD_AWS_SECRET_ACCESS_KEY',
      'LD_AWS_SESSION_TOKEN',
      'LD_REGION',
      'LD_S3_BUCKET',
    ]);
    expect(config['LD_S3_BUCKET']).toBe(`ld-private-${uuid}`);
    expect(actions).toEqual({ provision: 1 });
    const resource = await world.resources.get(uuid);
    expect(resource).toMatchObject({ app: appId, plan: 'basic', permission: 'partner', bucket: `ld-private-${uuid}` });
    // the credentials work on the bucket, and its events are told
    const mine = {
      accessKeyId: config['LD_AWS_ACCESS_KEY_ID'] ?? '',
      secretAccessKey: config['LD_AWS_SECRET_ACCESS_KEY'] ?? '',
      sessionToken: config['LD_AWS_SESSION_TOKEN'] ?? '',
    };
    const put = await world.store.s3(mine).send(new PutObjectCommand({ Bucket: config['LD_S3_BUCKET'], Key: 'in/a', Body: 'x' }));
    expect(put.VersionId).toMatch(/\S/);
    expect((await world.audit.list(uuid, { limit: 10 })).map((entry) => [entry.actor, entry.action])).toEqual([
      ['engine', 'resource.provisioned'],
      ['heroku', 'resource.provision'],
    ]);
  });

  test('ten times the same call at once is one resource and one answer', async () => {
    const { uuid, body } = world.heroku.create();
    const answers = await Promise.all(Array.from({ length: 10 }, () => world.call('POST', '/heroku/resources', body)));
    expect(new Set(answers.map((answer) => `${answer.status} ${answer.text}`)).size).toBe(1);
    expect(answers[0]?.status).toBe(202);
    await until('provisioned', () => world.heroku.addon(uuid).state === 'provisioned');
    expect(await world.call('POST', '/heroku/resources', body)).toMatchObject({ status: 202, text: answers[0]?.text });
    expect(world.heroku.addon(uuid).actions).toEqual({ provision: 1 });
    expect(world.heroku.calls.filter((call) => call.path === `/addons/${uuid}/config`)).toHaveLength(1);
    expect((await buckets()).filter((name) => name?.includes(uuid))).toHaveLength(1);
  });

  test.each([
    ['a plan that is not offered', { plan: 'platinum' }, 'There is no plan "platinum". Choose one of free, basic, standard, premium.'],
    ['the plan of local clouds', { plan: 'local' }, 'There is no plan "local".'],
    ['another region', { region: 'amazon-web-services::eu-west-1' }, 'not available in the region amazon-web-services::eu-west-1'],
    ['an id that is no uuid', { uuid: '../../etc' }, 'The request is wrong at /uuid'],
    ['an id in capitals', { uuid: '01234567-89AB-CDEF-0123-456789ABCDEF' }, 'The request is wrong at /uuid'],
  ])('%s is refused with words for the customer', async (_what, more, words) => {
    const { body } = world.heroku.create(more);
    const answer = await world.call('POST', '/heroku/resources', body);
    expect(answer.status).toBe(422);
    expect(answer.json.message).toContain(words);
  });

  test('a body that is no JSON, or far too large, is refused in JSON', async () => {
    expect((await world.call('POST', '/heroku/resources', 'no json')).json.message).toContain('not JSON');
    const answer = await world.call('POST', '/heroku/resources', JSON.stringify({ uuid: 'x'.repeat(100_000) }));
    expect(answer.status).toBe(413);
  });

  test('while Heroku does not know the add-on yet, the job waits and goes on', async () => {
    const { uuid, body } = world.heroku.create();
    world.heroku.fault(`GET /addons/${uuid}`, { status: 404, body: { id: 'not_found', message: 'Couldn’t find that add-on.' } });
    expect((await world.call('POST', '/heroku/resources', body)).status).toBe(202);
    await until(
      'two refused looks',
      () => world.heroku.calls.filter((call) => call.path === `/addons/${uuid}` && call.status === 404).length >= 2,
    );
    world.heroku.fault(`GET /addons/${uuid}`, undefined);
    await until('provisioned', () => world.heroku.addon(uuid).state === 'provisioned');
    expect(world.heroku.calls.filter((call) => call.path === '/oauth/token' && call.status >= 400)).toEqual([]);
  });

  test('a grant that Heroku does not take ends it for good: nothing is left, and the customer reads why', async () => {
    const { uuid, body } = world.heroku.create({
      oauth_grant: { code: 'used-before', expires_at: '2026-01-01T00:00:00Z', type: 'authorization_code' },
    });
    expect((await world.call('POST', '/heroku/resources', body)).status).toBe(202);
    await until('failed', async () => (await world.resources.stateOf(uuid)) === 'failed');
    expect((await buckets()).filter((name) => name?.includes(uuid))).toEqual([]);
    const again = await world.call('POST', '/heroku/resources', body);
    expect(again.status).toBe(422);
    expect(again.json.message).toContain('could not be set up');
    expect((await world.call('DELETE', `/heroku/resources/${uuid}`)).status).toBe(204);
    await until('removed', async () => (await world.resources.stateOf(uuid)) === 'removed');
  });
});

describe('removal', () => {
  test('bucket, credentials, keys and tokens go; a tombstone says 410 for ever', async () => {
    const uuid = await world.provisioned();
    const { config } = world.heroku.addon(uuid);
    const keys = {
      accessKeyId: config['LD_AWS_ACCESS_KEY_ID'] ?? '',
      secretAccessKey: config['LD_AWS_SECRET_ACCESS_KEY'] ?? '',
      sessionToken: config['LD_AWS_SESSION_TOKEN'] ?? '',
    };
    const s3 = world.store.s3(keys);
    for (const Key of ['a', 'b', 'b']) await s3.send(new PutObjectCommand({ Bucket: config['LD_S3_BUCKET'], Key, Body: Key }));
    expect((await world.call('DELETE', `/heroku/resources/${uuid}`)).status).toBe(204);
    await until('removed', async () => (await world.resources.stateOf(uuid)) === 'removed');
    expect((await buckets()).filter((name) => name?.includes(uuid))).toEqual([]);
    await expect(s3.send(new PutObjectCommand({ Bucket: config['LD_S3_BUCKET'], Key: 'late', Body: 'x' }))).rejects.toThrow();
    expect(await world.resources.secret(uuid, 'credentials')).toBeUndefined();
    expect(await world.resources.secret(uuid, 'partner')).toBeUndefined();
    await until('the job is gone', async () => (await world.redis.keys(`*${uuid}*`)).length <= 2);
    expect((await world.redis.keys(`*${uuid}*`)).sort()).toEqual([`af:audit:${uuid}`, `af:resource:${uuid}`]);
    expect((await world.call('DELETE', `/heroku/resources/${uuid}`)).status).toBe(410);
    const { body } = world.heroku.create({ uuid });
    expect((await world.call('POST', '/heroku/resources', body)).status).toBe(410);
    expect(await world.resources.stateOf(uuid)).toBe('removed');
  });

  test('no list of all resources names it any more', async () => {
    const uuid = await world.provisioned();
    const budget = createBudget({ redis: world.redis, perHour: 1, log: quiet });
    const [first, second] = ['r0-00000000000000000001.0.0', 'r0-00000000000000000002.0.0'];
    const order = { account: 'partner', resource: uuid, concurrency: 1 };
    // one holds the only place, the other waits for it
    expect((await budget.request({ ...order, task: first })).answer).toBe('granted');
    expect((await budget.request({ ...order, task: second })).answer).toBe('queued');
    await budget.pause('partner', uuid);
    await world.redis.sadd(WEBHOOKED_KEY, uuid);
    await world.redis.hset(shardKeys(0).watch(uuid), 'dyno', `${first}|1|0|run.1`);
    await world.redis.sadd(shardKeys(0).watched, uuid);
    await world.redis.zadd(shardKeys(0).stops, 1, `${uuid}|dyno|run.1`);
    await world.call('DELETE', `/heroku/resources/${uuid}`);
    await until('removed', async () => (await world.resources.stateOf(uuid)) === 'removed');
    const naming = async () => {
      const all = await redisText(world.redis);
      // BullMQ's own of the jobs: its last events tell of this one, too
      const others = [...all].filter(([key]) => !key.startsWith('{af:addon}:'));
      return others.filter(([key, text]) => `${key}${text}`.includes(uuid) || text.includes(first)).map(([key]) => key);
    };
    expect((await naming()).sort()).toEqual([`af:audit:${uuid}`, `af:resource:${uuid}`]);
  });

  test('the dynos of its tasks are stopped before the answer, other one-offs of the app live on', async () => {
    const uuid = await world.provisioned();
    const { appId } = world.heroku.addon(uuid);
    world.heroku.dynos.set('ours', { app: appId, command: 'work # r0-00000000000000000000.0.0/1' });
    world.heroku.dynos.set('theirs', { app: appId, command: 'rails console' });
    expect((await world.call('DELETE', `/heroku/resources/${uuid}`)).status).toBe(204);
    expect(world.heroku.stopped).toContain('ours');
    expect([...world.heroku.dynos.keys()]).toContain('theirs');
  });

  test('in the middle of provisioning ends it', async () => {
    const { uuid, body } = world.heroku.create();
    world.heroku.fault(`GET /addons/${uuid}`, { status: 404, body: { id: 'not_found', message: 'not yet' } });
    await world.call('POST', '/heroku/resources', body);
    expect((await world.call('DELETE', `/heroku/resources/${uuid}`)).status).toBe(204);
    await until('removed', async () => (await world.resources.stateOf(uuid)) === 'removed');
    expect((await buckets()).filter((name) => name?.includes(uuid))).toEqual([]);
    world.heroku.fault(`GET /addons/${uuid}`, undefined);
  });

  test('of what never was is 410, however the id is spelled', async () => {
    for (const id of ['01234567-89ab-cdef-0123-456789abcdef', 'x', 'a%2Fb', 'af:resource']) {
      expect((await world.call('DELETE', `/heroku/resources/${id}`)).status).toBe(410);
    }
  });
});

test('no answer takes three seconds, not even while Redis is away', async () => {
  const { uuid, body } = world.heroku.create();
  const stopped = await world.redisServer.crash();
  const began = performance.now();
  const answer = await world.call('POST', '/heroku/resources', body);
  const took = performance.now() - began;
  await world.redisServer.restart();
  expect(stopped).toBeUndefined();
  expect(answer.status).toBe(503);
  expect(answer.json.message).toContain('Autofiles cannot answer');
  expect(took).toBeLessThan(25_000);
  await until(
    'Redis serves again',
    async () => (await world.call('POST', '/heroku/resources', body, { authorization: BASIC })).status === 202,
  );
  // so does the worker, which connects anew by itself: it is stopped next
  await world.provisionedWhole(uuid);
});
