// Secrets are planted by using the add-on, and then looked for wherever they must not be.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSessions } from '../../src/queues/sessions.ts';
import { createTokens } from '../../src/queues/tokens.ts';
import { redisText } from '../support/redis-text.ts';
import { until } from '../support/until.ts';
import { type AddonWorld, SALT, startAddonWorld } from './addon-world.ts';

let world: AddonWorld;
beforeAll(async () => {
  world = await startAddonWorld();
  await world.work();
});
afterAll(async () => await world?.stop());

test('no secret is in the logs, in Redis, on pages or in errors', async () => {
  const { uuid, body } = world.heroku.create();
  const { code } = body['oauth_grant'] as { code: string };
  await world.call('POST', '/heroku/resources', body);
  await until('provisioned', async () => (await world.resources.stateOf(uuid)) === 'provisioned');
  const [partner, credentials] = await Promise.all([world.resources.secret(uuid, 'partner'), world.resources.secret(uuid, 'credentials')]);
  const session = await createSessions({ redis: world.redis }).begin({ resource: uuid, by: 'sso', name: 'owner@example.com' });
  const { token } = await createTokens({ redis: world.redis, now: Date.now }).make({ resource: uuid, scope: 'write', name: 'x', by: 'x' });
  const canaries: Readonly<Record<string, string | undefined>> = {
    'password of the manifest': world.env.AUTOFILES_ADDON_PASSWORD,
    'salt of sign-on': SALT,
    'client secret': world.env.AUTOFILES_OAUTH_CLIENT_SECRET,
    'operator’s password': world.env.AUTOFILES_OPERATOR_PASSWORD,
    'master key': world.env.AUTOFILES_MASTER_KEY,
    'engine’s own key': world.env.AUTOFILES_SECRET_ACCESS_KEY,
    'code of the grant': code,
    'access token': partner?.access,
    'refresh token': partner?.refresh,
    'secret key': credentials?.secretAccessKey,
    'session token': credentials?.sessionToken,
    'secret of the webhook': world.heroku.addon(uuid).hooks[0]?.secret,
    session,
    'API token': token,
  };
  for (const [name, canary] of Object.entries(canaries)) expect([name, (canary ?? '').length > 9]).toEqual([name, true]);
  const found = (text: string) =>
    Object.entries(canaries)
      .filter(([, canary]) => text.includes(canary ?? ''))
      .map(([name]) => name);
  // the instrument works
  expect(found(`x${session}x`)).toEqual(['session']);

  // calls that fail with everything in them that may come back out
  const everything = Object.values(canaries).join(' ');
  const cookie = { authorization: '', cookie: `autofiles=${session}` };
  const bearer = { authorization: `Bearer ${token}` };
  world.heroku.fault('POST /apps', { status: 500, body: { id: 'x', message: 'broken' } });
  const answers = await Promise.all([
    ...['/', '/runs', '/settings', '/files', '/v1/resource', '/v1/audit', '/v1/tokens', '/v1/webhooks', '/nowhere'].map((path) =>
      world.call('GET', path, undefined, cookie),
    ),
    world.call('GET', '/admin/resources', undefined, {
      authorization: `Basic ${Buffer.from(`operator:${world.env.AUTOFILES_OPERATOR_PASSWORD}`).toString('base64')}`,
    }),
    world.call('GET', '/metrics', undefined, bearer),
    world.call('POST', '/v1/tokens', { name: 1 }, bearer),
    world.call('GET', '/v1/runs/x', undefined, { authorization: `Bearer ${everything.replaceAll(' ', '')}` }),
    world.call('POST', '/heroku/sso', `resource_id=${uuid}&user_scoped_resource_token=${SALT}`, {
      authorization: '',
      'content-type': 'application/x-www-form-urlencoded',
    }),
    world.call('POST', `/heroku/webhooks?resource=${uuid}`, everything, { authorization: '' }),
    world.call('POST', '/heroku/resources', { ...body, plan: 'platinum', uuid: crypto.randomUUID() }),
    world.call('PUT', `/heroku/resources/${uuid}`, 'no json'),
  ]);
  expect(answers.filter(({ status }) => status < 400).length).toBeGreaterThanOrEqual(10);
  expect(answers.filter(({ status }) => status >= 400).length).toBeGreaterThanOrEqual(7);
  for (const { text, headers } of answers)
    expect([text.slice(0, 80), found(text + JSON.stringify([...headers]))]).toEqual([text.slice(0, 80), []]);

  // a rotation that fails on its way, and a removal
  world.heroku.fault('PATCH', { status: 500, body: { id: 'x', message: 'broken' } });
  await world.call('POST', '/v1/credentials/rotate', {}, bearer);
  await until('a failed rotation', () => world.lines.some(({ message }) => message === 'resource job not done yet'));
  const everywhere = await redisText(world.redis);
  for (const [key, text] of everywhere) expect([key, found(key + text)]).toEqual([key, []]);
  world.heroku.fault('PATCH', undefined);
  await world.call('DELETE', `/heroku/resources/${uuid}`);
  expect(world.lines.length).toBeGreaterThan(4);
  // as they come, before anything is redacted
  for (const line of world.lines) expect([line.message, found(JSON.stringify(line))]).toEqual([line.message, []]);
});
