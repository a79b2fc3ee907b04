// A change of plan counts when it is answered, and is as it was when it is not, whatever is away meanwhile.
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSealerOf } from '../../src/cli/wiring.ts';
import { type PartnerDeps, partnerRoutes } from '../../src/http/partner-routes.ts';
import { createResourceArchive } from '../../src/processors/resource-archive.ts';
import { createAudit } from '../../src/queues/audit.ts';
import { connect } from '../../src/queues/connection.ts';
import { giveUpAfter } from '../../src/queues/give-up.ts';
import { planUndoKey, resourceLockKey } from '../../src/queues/keys.ts';
import { createLocks } from '../../src/queues/locks.ts';
import { createPlanUndo } from '../../src/queues/plan-undo.ts';
import { createResourceBackup } from '../../src/queues/resource-backup.ts';
import { createResources } from '../../src/queues/resources.ts';
import { Failure } from '../../src/schema/failures.ts';
import type { Log } from '../../src/schema/log.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { until } from '../support/until.ts';
import { type AddonWorld, BASIC, startAddonWorld } from './addon-world.ts';

let world: AddonWorld;

beforeAll(async () => {
  world = await startAddonWorld();
  await world.work();
});
afterAll(async () => await world.stop());

const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

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

    /** What web has of a Redis behind a proxy, and gives up after a second: of much less a busy machine takes it all for itself. */
    const impatientWeb = async () => {
      const proxy = await startRedisProxy(world.redisServer.socket);
      const redis = connect({ socket: proxy.socket }, () => {});
      await redis.ping();
      giveUpAfter(redis, 1_000);
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
