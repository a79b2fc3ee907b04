// Tokens of OAuth end after hours: they are replaced in time, by one process, and once more when Heroku does not take one.
import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createSealerOf } from '../../src/cli/wiring.ts';
import { createAddonParts } from '../../src/cli/wiring-addon.ts';
import { createHerokuTokens } from '../../src/processors/heroku-tokens.ts';
import { connect } from '../../src/queues/connection.ts';
import { createLocks } from '../../src/queues/locks.ts';
import { until } from '../support/until.ts';
import { type AddonWorld, startAddonWorld } from './addon-world.ts';
import { CUSTOMER } from './heroku-side.ts';

let world: AddonWorld;
let uuid: string;
const open: (() => unknown)[] = [];

beforeAll(async () => {
  world = await startAddonWorld({
    env: { AUTOFILES_CUSTOMER_OAUTH_ID: CUSTOMER.id, AUTOFILES_CUSTOMER_OAUTH_SECRET: CUSTOMER.secret },
  });
  await world.work();
});
afterAll(async () => await world.stop());
beforeEach(async () => {
  uuid = await world.provisioned();
  world.heroku.calls.length = 0;
});
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

/** What a process has of the add-on; each call is another process. */
function process() {
  const redis = connect(world.config.redis, () => {});
  const parts = createAddonParts({ config: world.config, redis, sealer: createSealerOf(world.config), onError: () => {} });
  open.push(async () => {
    await parts.jobs.close();
    redis.disconnect();
  });
  return parts;
}
const refreshes = () => world.heroku.calls.filter(({ path }) => path === '/oauth/token').length;
const refused = () => world.heroku.calls.filter(({ status }) => status === 401).length;
const list = (parts: ReturnType<typeof process>) => parts.platform.list(world.heroku.addon(uuid).appId);

describe('a token of Heroku', () => {
  test('that is not taken any more is refreshed once, and the call made again', async () => {
    world.heroku.expireTokens();
    const parts = process();
    expect(await list(parts)).toEqual([]);
    expect([refused(), refreshes()]).toEqual([1, 1]);
    // from then on the new one serves, also in another process
    await list(process());
    expect([refused(), refreshes()]).toEqual([1, 1]);
  });

  test('is refreshed by one process, however many find at once that it ended', async () => {
    world.heroku.expireTokens();
    await Promise.all([process(), process(), process()].flatMap((parts) => [list(parts), list(parts), parts.addons.info(uuid)]));
    expect(refreshes()).toBe(1);
  });

  test('is replaced before it ends, without a refused call', async () => {
    const held = await world.resources.secret(uuid, 'partner');
    if (held === undefined) throw new Error('the resource has no token');
    await world.resources.change(uuid, { secrets: { partner: { ...held, expiresAt: Date.now() + 60_000 } } });
    await list(process());
    expect([refused(), refreshes()]).toEqual([0, 1]);
    const next = await world.resources.secret(uuid, 'partner');
    expect(next?.access).not.toBe(held.access);
    expect(next?.expiresAt).toBeGreaterThan(Date.now() + 3_600_000);
  });

  test('that cannot be refreshed is a refusal that names neither token, and is not tried for ever', async () => {
    world.heroku.expireTokens();
    world.heroku.fault('POST /oauth/token', { status: 400, body: { id: 'invalid_grant', message: 'No such token.' } });
    try {
      const failure = await list(process()).catch((error: unknown) => error);
      expect(failure).toMatchObject({
        code: 'heroku_refused',
        message: expect.stringContaining('OAuth refresh_token: HTTP 400 invalid_grant'),
      });
      const held = await world.resources.secret(uuid, 'partner');
      expect(String(failure)).not.toContain(held?.access);
      expect(String(failure)).not.toContain(held?.refresh);
      expect(refreshes()).toBe(1);
    } finally {
      world.heroku.fault('POST /oauth/token', undefined);
    }
  });

  test('is kept when the identity service is away, so that a later refresh works', async () => {
    world.heroku.expireTokens();
    world.heroku.fault('POST /oauth/token', { status: 503 });
    await expect(list(process())).rejects.toMatchObject({ code: 'heroku_unavailable' });
    world.heroku.fault('POST /oauth/token', undefined);
    expect(await list(process())).toEqual([]);
  });

  test("of an owner's consent is refreshed by the client that it was given to, and goes before the add-on's own", async () => {
    const { appId } = world.heroku.addon(uuid);
    const given = world.heroku.consent(
      `https://id.heroku.com/oauth/authorize?client_id=${CUSTOMER.id}&code_challenge_method=S256&code_challenge=${challengeOf('v')}`,
      { apps: [appId], email: 'owner@example.com' },
    );
    const parts = process();
    const customer = await parts.customerOAuth?.exchange(given.code, { verifier: 'v' });
    if (customer === undefined) throw new Error('there is no client for consents');
    await world.resources.change(uuid, { set: { permission: 'customer' }, secrets: { customer } });
    world.heroku.calls.length = 0;
    await list(parts);
    expect(world.heroku.calls.at(-1)?.auth).toBe(`Bearer ${customer.access}`);
    world.heroku.expireTokens();
    await list(parts);
    const next = await world.resources.secret(uuid, 'customer');
    expect(next?.access).not.toBe(customer.access);
    expect(world.heroku.calls.at(-1)?.auth).toBe(`Bearer ${next?.access}`);
    expect(refreshes()).toBe(1);
  });

  describe('that is refreshed', () => {
    const tokens = (name: string, ms: number) => ({ access: `${name}-access`, refresh: `${name}-refresh`, expiresAt: Date.now() + ms });

    /** A consent whose refresh Heroku answers when it is told to. `token`: what the caller of the refresh gets. */
    const heldBack = async (resources = world.resources) => {
      await world.resources.change(uuid, { set: { permission: 'customer' }, secrets: { customer: tokens('a', 60_000) } });
      const asked = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<void>();
      const source = createHerokuTokens({
        resources,
        locks: createLocks({ redis: world.redis }),
        oauth: {
          exchange: () => Promise.reject(new Error('nothing is exchanged here')),
          refresh: async () => {
            asked.resolve();
            await answer.promise;
            return tokens('a2', 3_600_000);
          },
        },
        staticToken: 'static',
        now: Date.now,
      });
      const token = source.ofApp(world.heroku.addon(uuid).appId);
      await asked.promise;
      return { token, answer: answer.resolve };
    };

    test('does not take the place of a consent that was given meanwhile', async () => {
      const { token, answer } = await heldBack();
      const b = tokens('b', 3_600_000);
      await world.resources.change(uuid, { secrets: { customer: b } });
      answer();
      expect(await token).toBe(b.access);
      expect(await world.resources.secret(uuid, 'customer')).toEqual(b);
    });

    test('is kept when Redis is back that was away meanwhile: Heroku may take the old one no more', async () => {
      let tries = 0;
      const { token, answer } = await heldBack({
        ...world.resources,
        change: async (...order) => {
          tries += 1;
          if (tries < 3) throw new Error('Command timed out');
          return await world.resources.change(...order);
        },
      });
      answer();
      await expect(token).rejects.toThrow('Command timed out');
      await until('it to be kept', async () => (await world.resources.secret(uuid, 'customer'))?.refresh === 'a2-refresh');
    });

    test('does not bring a consent back that was withdrawn meanwhile', async () => {
      const { token, answer } = await heldBack();
      await world.resources.change(uuid, { set: { permission: 'partner' }, unset: ['customer'] });
      answer();
      expect(await token).toBe((await world.resources.secret(uuid, 'partner'))?.access);
      expect(await world.resources.secret(uuid, 'customer')).toBeUndefined();
    });
  });
});

const challengeOf = (verifier: string): string => createHash('sha256').update(verifier).digest('base64url');
