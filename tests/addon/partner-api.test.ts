import { randomUUID } from 'node:crypto';
import { ListBucketsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSealerOf } from '../../src/cli/wiring.ts';
import { type PartnerDeps, partnerRoutes } from '../../src/http/partner-routes.ts';
import { createResourceArchive } from '../../src/processors/resource-archive.ts';
import { createAudit } from '../../src/queues/audit.ts';
import { createBudget } from '../../src/queues/budget.ts';
import { connect } from '../../src/queues/connection.ts';
import { giveUpAfter } from '../../src/queues/give-up.ts';
import { planUndoKey, resourceLockKey, shardKeys, WEBHOOKED_KEY } from '../../src/queues/keys.ts';
import { createLocks } from '../../src/queues/locks.ts';
import { createPlanUndo } from '../../src/queues/plan-undo.ts';
import { createResourceBackup } from '../../src/queues/resource-backup.ts';
import { createResources } from '../../src/queues/resources.ts';
import { Failure } from '../../src/schema/failures.ts';
import type { Log } from '../../src/schema/log.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
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

describe('change of plan', () => {
  test('up and down, any number of times, written in the audit log once', async () => {
    const uuid = await world.provisioned();
    for (const [plan, status] of [
      ['premium', 200],
      ['premium', 200],
      ['free', 200],
      ['gold', 422],
    ] as const) {
      expect((await world.call('PUT', `/heroku/resources/${uuid}`, { plan, heroku_id: 'app1@heroku.com' })).status).toBe(status);
    }
    expect((await world.resources.get(uuid))?.plan).toBe('free');
    const changes = (await world.audit.list(uuid, { limit: 10 })).filter((entry) => entry.action === 'plan.change');
    expect(changes.map((entry) => entry.detail)).toEqual(['premium → free', 'basic → premium']);
  });

  describe('that the archive does not take', () => {
    /** A change of plan by routes whose archive waits for `put` before it writes; answers with its status. */
    const changedWith = (
      put: () => Promise<void>,
      { redis = world.redis, ...parts }: { redis?: Redis } & Partial<Pick<PartnerDeps, 'resources' | 'planAudit'>> = {},
    ) => {
      const archive = createResourceArchive({
        store: {
          ...world.clients.store,
          put: async (...order) => {
            await put();
            return await world.clients.store.put(...order);
          },
        },
        archiveBucket: world.config.archiveBucket,
        backup: createResourceBackup({ redis }),
        log: quiet,
      });
      const routes = partnerRoutes({
        addonId: 'line-d',
        addonPassword: 'super-secret-password',
        resources: world.resources,
        jobs: { add: () => Promise.reject(new Error('a change of plan is no job')) },
        locks: createLocks({ redis }),
        audit: world.audit,
        planAudit: world.audit,
        planUndo: createPlanUndo({ redis }),
        archive,
        region: 'us-east-1',
        asyncDeprovision: false,
        localPlan: false,
        addressOf: () => '127.0.0.1',
        now: Date.now,
        id: randomUUID,
        log: quiet,
        ...parts,
      });
      return async (uuid: string, plan: string) => {
        const headers = { authorization: BASIC, 'content-type': 'application/json' };
        return (await routes.request(`/${uuid}`, { method: 'PUT', headers, body: JSON.stringify({ plan }) })).status;
      };
    };
    const planOf = async (uuid: string) => (await world.resources.get(uuid))?.plan;
    const changes = async (uuid: string) =>
      (await world.audit.list(uuid, { limit: 10 })).flatMap(({ action, detail }) => (action === 'plan.change' ? [detail] : []));
    const archived = async (uuid: string): Promise<string> =>
      JSON.parse((await world.clients.store.text('autofiles-archive', `resources/${uuid}.json`, undefined, 100_000)) ?? '{}').record.plan;

    test('is not in force, and can be asked for again', async () => {
      const uuid = await world.provisioned();
      let away = true;
      const change = changedWith(async () => {
        if (away) throw new Failure('s3_unavailable', 'It is away.');
      });
      expect(await change(uuid, 'premium')).toBe(503);
      expect(await planOf(uuid)).toBe('basic');
      expect(await changes(uuid)).toEqual([]);
      away = false;
      expect(await change(uuid, 'premium')).toBe(200);
      expect(await planOf(uuid)).toBe('premium');
      expect(await archived(uuid)).toBe('premium');
      expect(await changes(uuid)).toEqual(['basic → premium']);
    });

    test('in time is not in force either, and the archive hears of it', async () => {
      const uuid = await world.provisioned();
      const held = Promise.withResolvers<void>();
      const change = changedWith(() => held.promise);
      expect(await change(uuid, 'premium')).toBe(503);
      expect(await planOf(uuid)).toBe('basic');
      held.resolve();
      await until('the archive to have it', async () => (await world.redis.exists(resourceLockKey('plan', uuid))) === 0);
      expect(await archived(uuid)).toBe('basic');
      expect(await change(uuid, 'premium')).toBe(200);
      expect(await changes(uuid)).toEqual(['basic → premium']);
    });

    /** What web has of a Redis behind a proxy, and gives up after 300 ms. */
    const impatientWeb = async () => {
      const proxy = await startRedisProxy(world.redisServer.socket);
      const redis = connect({ socket: proxy.socket }, () => {});
      await redis.ping();
      giveUpAfter(redis, 300);
      const close = async () => {
        redis.disconnect();
        await proxy.close();
      };
      return { proxy, redis, resources: createResources({ redis, sealer: createSealerOf(world.config), now: Date.now }), close };
    };

    test.each(['the answer of the change', 'the archive', 'the audit log'])(
      'while Redis goes away for longer than web waits for it, at %s, is not in force when it is back',
      async (where) => {
        const uuid = await world.provisioned();
        const { proxy, redis, resources, close } = await impatientWeb();
        try {
          const audit = createAudit({ redis });
          let once = true;
          const goesAway = (here: string) => {
            if (here !== where || !once) return false;
            once = false;
            proxy.turnTo('/nowhere');
            return true;
          };
          const change = changedWith(
            async () => {
              if (goesAway('the archive')) redis.disconnect(true);
            },
            {
              redis,
              resources: {
                ...resources,
                change: async (...order) => {
                  if (goesAway('the answer of the change')) void proxy.loseNextReply();
                  return await resources.change(...order);
                },
              },
              planAudit: {
                ...audit,
                append: async (...order) => {
                  if (goesAway('the audit log')) redis.disconnect(true);
                  return await audit.append(...order);
                },
              },
            },
          );
          expect(await change(uuid, 'premium')).toBe(503);
          expect(await planOf(uuid)).toBe('premium');
          // as long as an outage that outlasts its lock
          await world.redis.del(resourceLockKey('plan', uuid));
          proxy.turnTo(world.redisServer.socket);
          await until('it to be set back', async () => (await planOf(uuid)) === 'basic');
          await until('the archive to have it', async () => (await archived(uuid)) === 'basic');
          await until('the next one to be allowed', async () => (await world.redis.exists(resourceLockKey('plan', uuid))) === 0);
          expect(await change(uuid, 'premium')).toBe(200);
          expect((await changes(uuid))[0]).toBe('basic → premium');
        } finally {
          await close();
        }
      },
    );

    /** A change of plan whose process dies before Heroku is told, when the archive has it; its lock ends. */
    const diesChanging = async (uuid: string) => {
      const died = Promise.withResolvers<void>();
      const never = new Promise<never>(() => {});
      const change = changedWith(async () => {}, {
        planAudit: {
          append: async () => {
            died.resolve();
            return await never;
          },
        },
        resources: {
          ...world.resources,
          // nor does it set anything back
          change: async (...order) => (order[1].held === undefined ? await world.resources.change(...order) : await never),
        },
      });
      void change(uuid, 'premium');
      await died.promise;
      expect([await planOf(uuid), await archived(uuid)]).toEqual(['premium', 'premium']);
      await world.redis.del(resourceLockKey('plan', uuid));
    };
    /** A worker looks at all resources as soon as it is there. */
    const looked = async (uuid: string) => {
      const stop = await world.work();
      await until('a look', async () => (await world.redis.exists(planUndoKey(uuid))) === 0);
      await stop();
    };

    test('is set back by a worker where web dies before Heroku is told, also in the archive', async () => {
      const uuid = await world.provisioned();
      await diesChanging(uuid);
      await looked(uuid);
      expect([await planOf(uuid), await archived(uuid)]).toEqual(['basic', 'basic']);
      expect(await changes(uuid)).toEqual(['back to basic: Heroku was not told of another']);
      expect(await changedWith(async () => {})(uuid, 'premium')).toBe(200);
      expect(await world.redis.exists(planUndoKey(uuid))).toBe(0);
    });

    const refused = async (uuid: string, plan: string) =>
      await changedWith(() => Promise.reject(new Failure('s3_unavailable', 'It is away.')))(uuid, plan);

    test('is set back to what Heroku has, should the next one fail, too', async () => {
      const uuid = await world.provisioned();
      await diesChanging(uuid);
      expect(await refused(uuid, 'standard')).toBe(503);
      expect(await planOf(uuid)).toBe('basic');
    });

    test('is left as it is on another start of Redis, which may have forgotten that Heroku was told', async () => {
      const uuid = await world.provisioned();
      await diesChanging(uuid);
      const undo = JSON.parse((await world.redis.get(planUndoKey(uuid))) ?? '{}');
      await world.redis.set(planUndoKey(uuid), JSON.stringify({ ...undo, start: 'before' }));
      expect(await refused(uuid, 'standard')).toBe(503);
      expect(await planOf(uuid)).toBe('premium');
    });

    test('while Redis is away sets nothing back that Heroku was told afterwards', async () => {
      const uuid = await world.provisioned();
      const { proxy, redis, resources, close } = await impatientWeb();
      try {
        const setBack: boolean[] = [];
        const failed = changedWith(
          async () => {
            proxy.turnTo('/nowhere');
            redis.disconnect(true);
          },
          {
            redis,
            planAudit: createAudit({ redis }),
            resources: {
              ...resources,
              change: async (...order) => {
                const changed = await resources.change(...order);
                if (order[1].set?.plan === 'basic') setBack.push(changed.done);
                return changed;
              },
            },
          },
        );
        expect(await failed(uuid, 'premium')).toBe(503);
        await world.redis.del(resourceLockKey('plan', uuid));
        expect(await changedWith(async () => {})(uuid, 'premium')).toBe(200);
        proxy.turnTo(world.redisServer.socket);
        await until('the next try', () => setBack.length > 0);
        expect(setBack).toEqual([false]);
        expect(await planOf(uuid)).toBe('premium');
      } finally {
        await close();
      }
    });
  });

  test('of an add-on that never was is 404, of a removed one 410', async () => {
    expect((await world.call('PUT', '/heroku/resources/01234567-89ab-cdef-0123-456789abcdef', { plan: 'free' })).status).toBe(404);
    const uuid = await world.provisioned();
    await world.call('DELETE', `/heroku/resources/${uuid}`);
    expect((await world.call('PUT', `/heroku/resources/${uuid}`, { plan: 'free' })).status).toBe(410);
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
