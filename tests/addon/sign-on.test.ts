import { createHash, randomUUID } from 'node:crypto';
import { Hono } from 'hono';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type PrincipalEnv, requirePrincipal } from '../../src/http/principal.ts';
import { contentSecurityPolicy } from '../../src/http/security-headers.ts';
import { csrfToken, sessionPrincipal } from '../../src/http/session.ts';
import { readSignOn } from '../../src/http/sso-token.ts';
import { createSessions } from '../../src/queues/sessions.ts';
import { type AddonWorld, SALT, startAddonWorld } from './addon-world.ts';

const FORM = { authorization: '', 'content-type': 'application/x-www-form-urlencoded' };
const USER = '11111111-2222-3333-4444-555555555555';
const EMAIL = 'user@example.com';
const sha = (algorithm: string, ...parts: string[]) => createHash(algorithm).update(parts.join(':')).digest('hex');
const seconds = () => Math.floor(Date.now() / 1000);

let world: AddonWorld;
let uuid: string;

beforeAll(async () => {
  world = await startAddonWorld();
  await world.work();
  uuid = await world.provisioned();
});
afterAll(async () => await world.stop());

/** A form as Heroku makes it, with what is changed in it. */
function form(more: Record<string, string> = {}, id = uuid): URLSearchParams {
  const timestamp = more['timestamp'] ?? String(seconds());
  return new URLSearchParams({
    id,
    resource_id: id,
    resource_token: sha('sha1', id, SALT, timestamp),
    token: sha('sha1', id, SALT, timestamp),
    user_scoped_resource_token: sha('sha256', id, SALT, timestamp, USER, more['email'] ?? EMAIL),
    timestamp,
    'nav-data': 'eyJhZGRvbiI6ImxpbmUtZCJ9',
    email: EMAIL,
    user_id: USER,
    app: 'example-app',
    context_app: 'example-app',
    ...more,
  });
}
const signOn = (body: URLSearchParams | string) => world.call('POST', '/heroku/sso', String(body), FORM);
const cookieOf = (answer: { headers: Headers }) => /autofiles=([^;]+)/.exec(answer.headers.getSetCookie().join('\n'))?.[1];

describe('the vectors of Heroku’s documentation', () => {
  const salt = '2f97bfa52ca102f8874716e2eb1d3b4920ad0be4';
  const at = 1_267_597_772;
  const id = '01234567-89ab-cdef-0123-456789abcdef';
  const vector = (fields: Record<string, string>, legacy = false) =>
    readSignOn(new URLSearchParams({ resource_id: id, timestamp: String(at), user_id: USER, email: EMAIL, ...fields }), {
      salt,
      legacy,
      now: at * 1000,
    });

  test('the token of one user', () => {
    const token = 'fccd3b47ca946c9187833cc35a2b8ebefbcd2f5a8ef2d9a37ed890e2e4928523';
    expect(vector({ user_scoped_resource_token: token })).toMatchObject({ resource: id, email: EMAIL });
  });

  test('the token of the resource, behind its switch alone', () => {
    const token = '7659cc00fc08ff8b7bb76cd8c9762bcf528b4173';
    expect(vector({ resource_token: token }, true)).toMatchObject({ resource: id });
    expect(vector({ resource_token: token })).toBeUndefined();
    expect(vector({ resource_token: token, user_scoped_resource_token: '0'.repeat(64) }, true)).toBeUndefined();
  });
});

describe('signing on', () => {
  test('begins a session, hands Heroku’s navigation back and says so in the audit log', async () => {
    const answer = await signOn(form());
    expect(answer.status).toBe(303);
    expect(answer.headers.get('location')).toBe('/');
    const cookies = answer.headers.getSetCookie();
    expect(cookies.find((cookie) => cookie.startsWith('autofiles='))).toMatch(/HttpOnly.*SameSite=Lax|SameSite=Lax.*HttpOnly/);
    expect(cookies.find((cookie) => cookie.startsWith('heroku-nav-data='))).toContain('eyJhZGRvbiI6ImxpbmUtZCJ9');
    const secret = cookieOf(answer) ?? '';
    const runs = await world.call('GET', '/v1/runs', undefined, { authorization: '', cookie: `autofiles=${secret}` });
    expect(runs.status).toBe(200);
    expect((await world.audit.list(uuid, { limit: 1 }))[0]).toMatchObject({ actor: EMAIL, action: 'session.begin' });
    // Redis knows no cookie
    const dump = await Promise.all(
      (await world.redis.keys('af:session*')).map(async (key) => key + JSON.stringify(await world.redis.type(key))),
    );
    expect(dump.join()).not.toContain(secret);
  });

  const now = seconds;
  const forged: readonly [string, () => URLSearchParams | string][] = [
    ['nothing', () => ''],
    ['a wrong salt', () => form({ user_scoped_resource_token: sha('sha256', uuid, 'x'.repeat(40), String(now()), USER, EMAIL) })],
    ['SHA-1 in the field of SHA-256', () => form({ user_scoped_resource_token: sha('sha1', uuid, SALT, String(now())) })],
    ['an empty token beside a good old one', () => form({ user_scoped_resource_token: '' })],
    [
      'a good old token alone',
      () => {
        const f = form();
        f.delete('user_scoped_resource_token');
        return f;
      },
    ],
    ['another resource with this one’s token', () => form({ resource_id: randomUUID() })],
    ['another user', () => form({ user_id: randomUUID() })],
    ['an address with a colon', () => form({ email: 'a:b@example.com' })],
    ['an address with a line break', () => form({ email: 'a@example.com\r\nset-cookie: x=y' })],
    ['six minutes ago', () => form({ timestamp: String(now() - 360) })],
    ['six minutes ahead', () => form({ timestamp: String(now() + 360) })],
    ['a far future', () => form({ timestamp: '99999999999' })],
    ['a negative time', () => form({ timestamp: `-${now()}` })],
    ['a time in another notation', () => form({ timestamp: '1e9' })],
    ['a time with a fraction', () => form({ timestamp: `${now()}.0` })],
    ['a field that comes twice', () => `${form()}&resource_id=${uuid}`],
    ['an id in capitals', () => form({}, uuid.toUpperCase())],
    ['a resource that never was', () => form({}, randomUUID())],
    ['fields joined differently', () => form({ timestamp: `${now()}:${USER}` })],
    ['a form of 100 KB', () => form({ app: 'x'.repeat(100_000) })],
  ];
  test.each(forged)('%s is refused without a cookie', async (_what, make) => {
    const answer = await signOn(make());
    expect(answer.status).toBe(403);
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(answer.text).toContain('help.heroku.com');
  });

  test('the same form twice at once is one session, and later none', async () => {
    const body = form({ email: 'twice@example.com' });
    const answers = await Promise.all(Array.from({ length: 5 }, () => signOn(body)));
    expect(answers.map((answer) => answer.status).sort()).toEqual([303, 403, 403, 403, 403]);
    expect((await signOn(body)).status).toBe(403);
  });

  test('by GET there is no such thing', async () => {
    expect((await world.call('GET', `/heroku/sso?${form()}`, undefined, { authorization: '' })).status).toBe(404);
  });

  test('a session that somebody planted ends', async () => {
    const planted = cookieOf(await signOn(form({ email: 'attacker@example.com' }))) ?? '';
    const answer = await world.call('POST', '/heroku/sso', String(form({ email: 'victim@example.com' })), {
      ...FORM,
      cookie: `autofiles=${planted}`,
    });
    expect(answer.status).toBe(303);
    expect(cookieOf(answer)).not.toBe(planted);
    const with_ = (secret: string) => world.call('GET', '/v1/runs', undefined, { authorization: '', cookie: `autofiles=${secret}` });
    expect((await with_(planted)).status).toBe(401);
  });

  test('nobody signs on to a removed resource, and its sessions are over', async () => {
    const gone = await world.provisioned();
    const secret = cookieOf(await signOn(form({}, gone))) ?? '';
    expect(secret).not.toBe('');
    await world.call('DELETE', `/heroku/resources/${gone}`);
    expect((await world.call('GET', '/v1/runs', undefined, { authorization: '', cookie: `autofiles=${secret}` })).status).toBe(401);
    expect((await signOn(form({ email: 'late@example.com' }, gone))).status).toBe(403);
  });
});

describe('a session’s writes', () => {
  let app: Hono<PrincipalEnv>;
  let secret: string;
  beforeEach(async () => {
    const sessions = createSessions({ redis: world.redis });
    const deps = { sessions, resources: world.resources, secure: true };
    secret = await sessions.begin({ resource: uuid, by: 'sso', name: EMAIL });
    app = new Hono<PrincipalEnv>();
    app.get('/form', (c) => c.text(csrfToken(deps, c) ?? ''));
    app.post('/act', requirePrincipal([sessionPrincipal(deps)]), (c) => c.json(c.var.principal));
    app.onError((error, c) => c.text(error.message, 'status' in error && typeof error.status === 'number' ? (error.status as 403) : 500));
  });
  const cookie = () => `__Host-autofiles=${secret}`;
  const act = async (headers: Record<string, string>, body?: string) =>
    await app.request('/act', { method: 'POST', headers: { cookie: cookie(), ...headers }, ...(body === undefined ? {} : { body }) });
  const token = async () => await (await app.request('/form', { headers: { cookie: cookie() } })).text();

  test('need the token of a page, in a header or a form', async () => {
    const csrf = await token();
    expect((await act({ 'x-csrf-token': csrf })).status).toBe(200);
    expect((await act({ 'content-type': 'application/x-www-form-urlencoded' }, `csrf=${encodeURIComponent(csrf)}&a=1`)).status).toBe(200);
  });

  test.each([
    ['no token', async () => ({})],
    ['another session’s token', async () => ({ 'x-csrf-token': createHash('sha256').update('csrf\nother').digest('base64url') })],
    ['the cookie itself as token', async () => ({ 'x-csrf-token': secret })],
    ['the right token from another site', async () => ({ 'x-csrf-token': await token(), 'sec-fetch-site': 'cross-site' })],
    ['the right token from a sister host', async () => ({ 'x-csrf-token': await token(), 'sec-fetch-site': 'same-site' })],
  ])('with %s are refused', async (_what, headers) => {
    expect((await act(await headers())).status).toBe(403);
  });
});

describe('a link of `autofiles open`', () => {
  test('signs on once', async () => {
    const sessions = createSessions({ redis: world.redis });
    const code = await sessions.link({ resource: uuid, by: 'local', name: 'you' });
    const open = () => world.call('GET', `/session/open?code=${code}`, undefined, { authorization: '' });
    const answers = await Promise.all([open(), open()]);
    expect(answers.map((answer) => answer.status).sort()).toEqual([303, 403]);
    expect((await open()).status).toBe(403);
  });

  test('is made by the local token alone', async () => {
    expect((await world.call('POST', '/session/links')).status).toBe(401);
  });
});

test('every answer carries the headers that keep a page in its place', async () => {
  for (const path of ['/healthz', '/v1/runs', '/nowhere', '/session/open']) {
    const { headers } = await world.call('GET', path, undefined, { authorization: '' });
    expect(headers.get('content-security-policy')).toBe(contentSecurityPolicy());
    expect(headers.get('content-security-policy')).not.toContain('unsafe');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('cache-control')).toContain('no-store');
    expect(headers.get('referrer-policy')).toBe('same-origin');
  }
});
