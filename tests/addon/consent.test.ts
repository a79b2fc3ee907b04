// An owner lets Autofiles start the app's dynos, in the session that asked and nowhere else.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSessions } from '../../src/queues/sessions.ts';
import { type AddonWorld, startAddonWorld } from './addon-world.ts';
import { CUSTOMER } from './heroku-side.ts';

let world: AddonWorld;
let uuid: string;
let appId: string;

beforeAll(async () => {
  world = await startAddonWorld({
    dynosAllowed: false,
    env: { AUTOFILES_CUSTOMER_OAUTH_ID: CUSTOMER.id, AUTOFILES_CUSTOMER_OAUTH_SECRET: CUSTOMER.secret },
  });
  await world.work();
  uuid = await world.provisioned();
  appId = world.heroku.addon(uuid).appId;
});
afterAll(async () => await world.stop());

/** A browser with a session for the resource. */
async function browser(resource = uuid) {
  const secret = await createSessions({ redis: world.redis }).begin({ resource, by: 'sso', name: 'owner@example.com' });
  const cookie = `autofiles=${secret}`;
  const get = (path: string) => world.call('GET', path, undefined, { authorization: '', cookie, accept: 'text/html' });
  const csrf = async () => /name="csrf" value="([^"]+)"/.exec((await get('/settings')).text)?.[1] ?? '';
  return {
    get,
    post: async (path: string) =>
      await world.call('POST', path, new URLSearchParams({ csrf: await csrf() }).toString(), {
        authorization: '',
        cookie,
        'content-type': 'application/x-www-form-urlencoded',
      }),
    /** Asks, and answers with where Heroku is. */
    ask: async () => (await get('/settings/consent')).headers.get('location') ?? '',
    back: (query: Record<string, string>) => get(`/settings/consent/callback?${new URLSearchParams(query)}`),
  };
}
const owner = () => ({ apps: [appId], email: 'owner@example.com' });
const permission = async () => (await world.resources.get(uuid))?.permission;

describe('consent', () => {
  test('is asked for with the least scope, a state and PKCE; given, it starts the dynos of the app', async () => {
    expect(await permission()).toBe('none');
    const at = await browser();
    expect((await at.get('/settings')).text).toContain('Nobody has let Autofiles start dynos');
    const { code, state, scope } = world.heroku.consent(await at.ask(), owner());
    expect(scope).toBe('write-protected');
    const answer = await at.back({ code, state });
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/settings']);
    expect(await permission()).toBe('customer');
    expect((await at.get('/settings')).text).toContain('by consent at Heroku');
    const { access } = (await world.resources.secret(uuid, 'customer')) ?? { access: '' };
    const list = await fetch(`${world.heroku.url}/apps/${appId}/dynos`, { headers: { authorization: `Bearer ${access}` } });
    expect(list.status).toBe(200);
    expect((await world.audit.list(uuid, { limit: 1 }))[0]).toMatchObject({
      actor: 'owner@example.com',
      action: 'consent.give',
      detail: expect.stringContaining('owner@example.com'),
    });
    // no token stands in Redis in clear
    const stored = JSON.stringify(await world.redis.hgetall(`af:resource:${uuid}`));
    expect(stored).not.toContain(access);
  });

  test('is taken back: the token is forgotten, and who may start dynos is found out again', async () => {
    const at = await browser();
    expect((await at.post('/settings/consent/withdraw')).status).toBe(303);
    expect(await permission()).toBe('none');
    expect(await world.resources.secret(uuid, 'customer')).toBeUndefined();
    expect((await world.audit.list(uuid, { limit: 1 }))[0]).toMatchObject({ action: 'consent.withdraw' });
  });

  test('works once, in the session that asked, for the resource that asked', async () => {
    const [mine, other] = [await browser(), await browser()];
    const given = world.heroku.consent(await mine.ask(), owner());
    // a state that was never given, another session of the same owner, and one of another resource
    expect((await mine.back({ code: given.code, state: 'x'.repeat(43) })).status).toBe(403);
    expect((await other.back(given)).status).toBe(403);
    // what was shown to a stranger is used up
    expect((await mine.back(given)).status).toBe(403);
    const stranger = await browser(await world.provisioned());
    expect((await stranger.back(world.heroku.consent(await mine.ask(), owner()))).status).toBe(403);
    expect(await permission()).toBe('none');
    const nobody = await world.call('GET', `/settings/consent/callback?code=${given.code}&state=${given.state}`, undefined, {
      authorization: '',
    });
    expect(nobody.status).toBe(401);
  });

  test('that Heroku or the owner refuses, or that is good for another app, changes nothing and says so', async () => {
    const at = await browser();
    const { state } = world.heroku.consent(await at.ask(), owner());
    const refused = await at.back({ error: 'access_denied', state });
    expect([refused.status, refused.text]).toEqual([403, expect.stringContaining('access_denied')]);
    const elsewhere = await at.back(world.heroku.consent(await at.ask(), { apps: ['another-app'], email: 'other@example.com' }));
    expect([elsewhere.status, elsewhere.text]).toEqual([403, expect.stringContaining('may not start dynos')]);
    // a code that somebody planted was asked for with another verifier
    const planted = world.heroku.consent(await (await browser()).ask(), owner());
    const swapped = await at.back({ code: planted.code, state: world.heroku.consent(await at.ask(), owner()).state });
    expect(swapped.status).toBe(502);
    expect(await permission()).toBe('none');
    expect(await world.resources.secret(uuid, 'customer')).toBeUndefined();
  });

  test('is not offered where no OAuth client is configured', async () => {
    const without = await startAddonWorld();
    try {
      await without.work();
      const resource = await without.provisioned();
      const secret = await createSessions({ redis: without.redis }).begin({ resource, by: 'sso', name: 'owner' });
      const get = (path: string) => without.call('GET', path, undefined, { authorization: '', cookie: `autofiles=${secret}` });
      expect((await get('/settings')).text).not.toContain('/settings/consent');
      expect((await get('/settings/consent')).status).toBe(404);
    } finally {
      await without.stop();
    }
  });
});
