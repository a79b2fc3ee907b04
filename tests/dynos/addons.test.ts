import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { type PartnerCall, type PartnerReply, startPartner } from './partner.ts';
import { eventually, platformWith } from './platform.ts';

interface AddonAnswer {
  id: string;
  name: string;
  state: string;
  config_vars: string[];
  web_url: string;
  provision_message: string;
  plan: { name: string };
}
interface Tokens {
  access_token: string;
  refresh_token: string;
  expires_in: number;
}

const accepted: PartnerReply = { status: 202, body: { id: 'x', message: 'is being provisioned' } };

describe('add-ons', () => {
  const open: { close: () => Promise<void> }[] = [];
  const setup = async (reply: (call: PartnerCall) => PartnerReply, settings: Parameters<typeof platformWith>[1] = {}) => {
    const partner = await startPartner(reply);
    const platform = await platformWith({ Procfile: 'web: sleep 60\n' }, { providers: [partner.provider], copies: 'plain', ...settings });
    open.push(platform, partner);
    const create = (body: Record<string, unknown> = {}): Promise<AddonAnswer> =>
      platform.json('POST', '/apps/myapp/addons', { plan: { name: 'line-d' }, ...body });
    const exchange = async (parameters: Record<string, string>): Promise<Tokens> => {
      const answer = await fetch(`${platform.base}/oauth/token`, {
        method: 'POST',
        body: new URLSearchParams({ client_secret: 'client-secret', ...parameters }),
      });
      expect(answer.status).toBe(200);
      return (await answer.json()) as Tokens;
    };
    const tokens = (): Promise<Tokens> => {
      const { code } = partner.calls[0]?.body['oauth_grant'] ?? { code: '' };
      return exchange({ grant_type: 'authorization_code', code });
    };
    const as = (token: string) => (method: string, path: string, body?: unknown) =>
      platform.call(method, path, body, { authorization: `Bearer ${token}` });
    const apiLog = async (): Promise<string[]> =>
      (await platform.logs({ dyno: 'api' }))
        .map((line) => line.slice(line.indexOf(']: ') + 3))
        .filter((line) => !line.startsWith('Scaled'));
    return { ...platform, partner, create, exchange, tokens, as, apiLog };
  };
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });

  it('provisions in the background: grant, token, config, then one release that the app is restarted with', async () => {
    const platform = await setup(() => accepted);
    const made = await platform.create({ config: { foo: 'bar', flag: true } });
    expect(made).toMatchObject({
      state: 'provisioning',
      name: expect.stringMatching(/^line-d-[a-z]+-\d{5}$/),
      config_vars: [],
      provision_message: 'is being provisioned',
      plan: { name: 'line-d:free', price: { cents: 0 } },
      addon_service: { name: 'line-d' },
      app: { name: 'myapp' },
    });
    const [call] = platform.partner.calls;
    expect(call).toMatchObject({
      method: 'POST',
      path: '/heroku/resources',
      // The official example of the header is made of `addon-slug` and this password; here the slug is line-d.
      headers: {
        authorization: `Basic ${Buffer.from('line-d:super-secret').toString('base64')}`,
        'content-type': 'application/json',
        accept: 'application/vnd.heroku-addons+json; version=3',
      },
      body: {
        uuid: made.id,
        name: made.name,
        plan: 'free',
        region: 'amazon-web-services::us-east-1',
        options: { foo: 'bar', flag: 'true' },
        callback_url: `${platform.base}/addons/${made.id}`,
        oauth_grant: { type: 'authorization_code', code: expect.stringMatching(/^\S{20,}$/) },
      },
    });

    const { access_token, expires_in } = await platform.tokens();
    expect([access_token, expires_in]).toEqual([expect.stringMatching(/^HRKU-/), 28_800]);
    const partner = platform.as(access_token);
    const config = [
      { name: 'LD_S3_BUCKET', value: 'ld-private-1' },
      { name: 'LD_REGION', value: 'us-east-1' },
    ];
    const patched = await partner('PATCH', `/addons/${made.id}/config`, { config });
    expect([patched.status, await patched.json()]).toEqual([200, config]);
    expect(await platform.json('GET', '/apps/myapp/config-vars')).toEqual({});
    expect(await platform.apiLog()).toEqual([]);

    expect((await partner('POST', `/addons/${made.id}/actions/provision`)).status).toBe(200);
    expect(await platform.json('GET', '/apps/myapp/config-vars')).toEqual({ LD_S3_BUCKET: 'ld-private-1', LD_REGION: 'us-east-1' });
    expect(await platform.json('GET', `/apps/myapp/addons/${made.name}`)).toMatchObject({
      state: 'provisioned',
      config_vars: ['LD_S3_BUCKET', 'LD_REGION'],
    });
    const completed = `@ref:${made.name} completed provisioning, setting LD_S3_BUCKET, LD_REGION`;
    expect(await platform.apiLog()).toEqual([
      `${completed} by user line-d@addons.heroku.com`,
      'Release v2 created by user line-d@addons.heroku.com',
    ]);
    expect((await platform.json<unknown[]>('GET', '/apps/myapp/releases')).at(-1)).toMatchObject({
      description: completed,
      user: { email: 'line-d@addons.heroku.com' },
    });
    expect(await platform.output('echo $LD_S3_BUCKET')).toEqual(['ld-private-1']);
    // Once is enough, however often it is said.
    expect((await partner('POST', `/addons/${made.id}/actions/provision`)).status).toBe(200);
    await partner('PATCH', `/addons/${made.id}/config`, { config: [{ name: 'LD_REGION', value: null }] });
    expect(await platform.json('GET', '/apps/myapp/config-vars')).toEqual({ LD_S3_BUCKET: 'ld-private-1' });
    expect(await platform.json<unknown[]>('GET', '/apps/myapp/releases')).toHaveLength(3);
  });

  it("lets an add-on's token do what partners may, with its own add-on alone, until the add-on is gone", async () => {
    const platform = await setup((call) => (call.method === 'DELETE' ? { status: 204 } : accepted));
    const made = await platform.create();
    const { access_token, refresh_token } = await platform.tokens();
    const status = async (method: string, path: string, token = access_token) => (await platform.as(token)(method, path)).status;
    expect(await status('GET', `/addons/${made.id}`)).toBe(200);
    expect(await status('GET', '/addons')).toBe(200);
    expect(await status('GET', '/apps/myapp')).toBe(200);
    expect(await status('GET', '/apps/myapp/dynos')).toBe(200);
    for (const [method, path] of [
      ['GET', '/apps/myapp/config-vars'],
      ['PATCH', '/apps/myapp/config-vars'],
      ['GET', '/apps/myapp/formation'],
      ['GET', '/account'],
      ['DELETE', `/apps/myapp/addons/${made.id}`],
      ['POST', '/apps/myapp/addons'],
      ['GET', '/addons/another/config'],
      ['POST', '/apps/myapp/log-sessions'],
    ] as const)
      expect([path, await status(method, path)]).toEqual([path, 403]);
    const fresh = await platform.exchange({ grant_type: 'refresh_token', refresh_token });
    expect(await status('GET', `/addons/${made.id}`, fresh.access_token)).toBe(200);
    await platform.json('DELETE', `/apps/myapp/addons/${made.id}`, { force: false });
    for (const token of [access_token, fresh.access_token]) expect(await status('GET', '/addons', token)).toBe(401);
  });

  it('takes a code once, within five minutes, with the client secret, and a token for eight hours', async () => {
    let time = Date.now();
    const platform = await setup(() => accepted, { now: () => time });
    const made = await platform.create();
    const { code } = platform.partner.calls[0]?.body['oauth_grant'] ?? { code: '' };
    const status = async (parameters: Record<string, string>): Promise<number> =>
      (await fetch(`${platform.base}/oauth/token?${new URLSearchParams(parameters)}`, { method: 'POST' })).status;
    const wanted = { grant_type: 'authorization_code', code, client_secret: 'client-secret' };
    expect(await status({ ...wanted, client_secret: 'wrong' })).toBe(401);
    expect(await status({ ...wanted, grant_type: 'password' })).toBe(400);
    time += 299_000;
    const { access_token } = await platform.tokens();
    expect(await status(wanted)).toBe(401);
    time += 28_799_000;
    expect((await platform.as(access_token)('GET', `/addons/${made.id}`)).status).toBe(200);
    time += 1_000;
    expect((await platform.as(access_token)('GET', `/addons/${made.id}`)).status).toBe(401);
    const second = await setup(() => accepted, { now: () => time });
    await second.create();
    const late = second.partner.calls[0]?.body['oauth_grant'] ?? { code: '' };
    time += 300_000;
    expect(
      await (await fetch(`${second.base}/oauth/token?${new URLSearchParams({ ...wanted, code: late.code })}`, { method: 'POST' })).json(),
    ).toEqual({
      id: 'unauthorized',
      message: 'The authorization code is unknown, used or over.',
    });
  });

  it('installs at once what is answered with 200, under another name when asked, and protects its config vars', async () => {
    const platform = await setup(() => ({ status: 200, body: { id: 'x', config: { LD_S3_BUCKET: 'b' }, message: 'Welcome' } }));
    const made = await platform.create({ name: 'mine', attachment: { name: 'foo' } });
    expect(made).toMatchObject({ name: 'mine', state: 'provisioned', config_vars: ['FOO_S3_BUCKET'], provision_message: 'Welcome' });
    expect(await platform.json('GET', '/apps/myapp/config-vars')).toEqual({ FOO_S3_BUCKET: 'b' });
    expect(await platform.json('PATCH', '/apps/myapp/config-vars', { FOO_S3_BUCKET: 'mine', OTHER: '1' })).toEqual({
      id: 'invalid_params',
      message: 'Cannot overwrite attachment values FOO_S3_BUCKET.',
    });
    const second = await platform.json<{ id: string; name: string }>('POST', '/addon-attachments', {
      addon: { name: 'mine' },
      app: 'myapp',
    });
    expect(second.name).toBe('LD');
    expect(await platform.json('GET', '/apps/myapp/config-vars')).toEqual({ FOO_S3_BUCKET: 'b', LD_S3_BUCKET: 'b' });
    const attachments = await platform.json<{ name: string }[]>('GET', `/addons/${made.id}/addon-attachments`);
    expect(attachments.map(({ name }) => name).sort()).toEqual(['FOO', 'LD']);
    await platform.json('DELETE', `/addon-attachments/${second.id}`);
    expect(await platform.json('GET', '/apps/myapp/config-vars')).toEqual({ FOO_S3_BUCKET: 'b' });
    expect(await platform.json('DELETE', '/addon-attachments/FOO')).toMatchObject({ id: 'invalid_params' });
    expect(await platform.json('POST', '/apps/myapp/addons', { plan: 'line-d:basic' })).toMatchObject({
      id: 'invalid_params',
      message: expect.stringContaining('only once'),
    });
  });

  it('passes on the words of a provider that refuses, and makes nothing', async () => {
    const platform = await setup(() => ({ status: 422, body: { message: 'No more buckets today.' } }));
    const answer = await platform.call('POST', '/apps/myapp/addons', { plan: 'line-d' });
    expect([answer.status, await answer.json()]).toEqual([422, { id: 'invalid_params', message: 'No more buckets today.' }]);
    expect(await platform.json('GET', '/apps/myapp/addons')).toEqual([]);
    const unknown = await platform.call('POST', '/apps/myapp/addons', { plan: { name: 'line-d:huge' } });
    expect([unknown.status, await unknown.json()]).toEqual([
      422,
      { id: 'invalid_params', message: `Couldn't find either the add-on service or the add-on plan of "line-d:huge".` },
    ]);
  });

  it('asks again when no answer came, with the same uuid, and has removed what it cannot know to exist', async () => {
    let broken = true;
    const platform = await setup((call) => (broken ? 'hang up' : call.method === 'DELETE' ? { status: 204 } : accepted));
    const answer = await platform.call('POST', '/apps/myapp/addons', { plan: 'line-d' });
    expect([answer.status, await answer.json()]).toEqual([
      503,
      { id: 'service_unavailable', message: expect.stringContaining('could not be provisioned') },
    ]);
    const posts = platform.partner.calls.filter(({ method }) => method === 'POST');
    expect(new Set(posts.map(({ body }) => body['uuid'])).size).toBe(1);
    expect(posts.length).toBeGreaterThan(1);
    broken = false;
    await eventually('the provider is told', () =>
      platform.partner.calls.some(({ method, path }) => method === 'DELETE' && path.includes(posts[0]?.body['uuid'] ?? '')),
    );
    expect((await platform.create()).state).toBe('provisioning');
  });

  it('removes: config vars, tokens and the attachment go with one release', async () => {
    const platform = await setup((call) =>
      call.method === 'DELETE' ? { status: 200, body: {} } : { status: 200, body: { id: 'x', config: { LD_S3_BUCKET: 'b' } } },
    );
    const { id, name } = await platform.create();
    const [app] = await Promise.all([platform.json<{ id: string }>('GET', '/apps/myapp')]);
    const answer = await platform.json<AddonAnswer>('DELETE', `/apps/${app.id}/addons/${id}`, { force: false });
    expect(answer).toMatchObject({ id, name, state: 'deprovisioned' });
    expect(platform.partner.calls.at(-1)).toMatchObject({ method: 'DELETE', path: `/heroku/resources/${id}` });
    expect((await platform.call('GET', `/apps/myapp/addons/${name}`)).status).toBe(404);
    expect(await platform.json('GET', '/apps/myapp/config-vars')).toEqual({});
    expect((await platform.apiLog()).slice(2)).toEqual([
      `Detach LD (@ref:${name}) by user you@localhost`,
      'Release v3 created by user you@localhost',
    ]);
  });

  it('gives a provider that answers 202 its time to remove', async () => {
    const platform = await setup((call) => (call.method === 'DELETE' ? { status: 202, body: {} } : accepted));
    const { id } = await platform.create();
    const { access_token } = await platform.tokens();
    const partner = platform.as(access_token);
    await partner('PATCH', `/addons/${id}/config`, { config: [{ name: 'LD_REGION', value: 'r' }] });
    await partner('POST', `/addons/${id}/actions/provision`);
    expect(await platform.json('DELETE', `/apps/myapp/addons/${id}`)).toMatchObject({ state: 'deprovisioning' });
    const { name } = await platform.run('sleep 60');
    expect((await partner('POST', `/apps/myapp/dynos/${name}/actions/stop`)).status).toBe(202);
    expect(await platform.json('GET', '/apps/myapp/config-vars')).toEqual({ LD_REGION: 'r' });
    expect((await partner('POST', `/addons/${id}/actions/deprovision`)).status).toBe(200);
    expect((await platform.call('GET', `/addons/${id}`)).status).toBe(404);
    expect(await platform.json('GET', '/apps/myapp/config-vars')).toEqual({});
  });

  it('shows a provisioning that the provider gave up', async () => {
    const platform = await setup(() => accepted);
    const { id } = await platform.create();
    const { access_token } = await platform.tokens();
    expect((await platform.as(access_token)('POST', `/addons/${id}/actions/deprovision`)).status).toBe(200);
    expect(await platform.json('GET', `/apps/myapp/addons/${id}`)).toMatchObject({ state: 'deprovisioned' });
    expect(await platform.json('GET', '/apps/myapp/addons')).toEqual([]);
  });

  it('changes plans, and passes on a refusal', async () => {
    const platform = await setup((call) => {
      if (call.method === 'POST') return { status: 200, body: { id: 'x', config: { LD_S3_BUCKET: 'b' } } };
      return call.body['plan'] === 'free'
        ? { status: 422, body: { message: 'Too many runs for free.' } }
        : { status: 200, body: { message: 'Bigger now' } };
    });
    const { id, name } = await platform.create();
    const changed = await platform.json('PATCH', `/apps/myapp/addons/${name}`, { plan: { name: 'line-d:basic' } });
    expect(changed).toMatchObject({ plan: { name: 'line-d:basic', price: { cents: 1_500 } }, provision_message: 'Bigger now' });
    expect(platform.partner.calls.at(-1)).toMatchObject({ method: 'PUT', path: `/heroku/resources/${id}`, body: { plan: 'basic' } });
    expect(await platform.json('PATCH', `/apps/myapp/addons/${name}`, { plan: { name: 'line-d:free' } })).toEqual({
      id: 'invalid_params',
      message: 'Too many runs for free.',
    });
    expect(await platform.json('GET', `/addons/${id}`)).toMatchObject({ plan: { name: 'line-d:basic' }, config_vars: ['LD_S3_BUCKET'] });
  });

  it('resolves by id, name, service and attachment, lists services and plans', async () => {
    const platform = await setup(() => ({ status: 200, body: { id: 'x', config: {} } }));
    const { id, name } = await platform.create();
    for (const addon of [id, name, 'line-d', 'LD']) {
      expect(await platform.json('POST', '/actions/addons/resolve', { addon, app: 'myapp' })).toMatchObject([
        { id, addon_service: { name: 'line-d' } },
      ]);
    }
    expect(await platform.json('POST', '/actions/addons/resolve', { addon: 'nope', app: null })).toMatchObject({
      id: 'not_found',
      resource: 'add_on',
    });
    expect(await platform.json('POST', '/actions/addon-attachments/resolve', { addon_attachment: 'LD', app: 'myapp' })).toMatchObject([
      { name: 'LD', addon: { id }, web_url: expect.stringContaining('/addons-sso/') },
    ]);
    expect(await platform.json('GET', '/addon-services/line-d')).toMatchObject({ name: 'line-d', human_name: 'line^d' });
    const plans = await platform.json<{ name: string }[]>('GET', '/addon-services/line-d/plans');
    expect(plans.map((plan) => plan.name).sort()).toEqual(['line-d:basic', 'line-d:free']);
  });

  it("signs the user in by a link that works once, with the provider's tokens in a form", async () => {
    const platform = await setup(() => ({ status: 200, body: { id: 'x', config: {} } }));
    const { id, web_url } = await platform.create();
    const page = await fetch(web_url);
    const html = await page.text();
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(html).toContain(`action="${platform.partner.base}/heroku/sso"`);
    const field = (name: string): string => new RegExp(`name="${name}" value="([^"]*)"`).exec(html)?.[1] ?? '';
    const salted = `${id}:2f97bfa52ca102f8874716e2eb1d3b4920ad0be4:${field('timestamp')}`;
    expect(field('resource_token')).toBe(createHash('sha1').update(salted).digest('hex'));
    const account = await platform.json<{ id: string; email: string }>('GET', '/account');
    expect(field('user_scoped_resource_token')).toBe(createHash('sha256').update(`${salted}:${account.id}:${account.email}`).digest('hex'));
    expect([field('resource_id'), field('app'), field('email'), field('user_id')]).toEqual([id, 'myapp', account.email, account.id]);
    expect(Math.abs(Number(field('timestamp')) - Date.now() / 1000)).toBeLessThan(60);
    expect((await fetch(web_url)).status).toBe(403);
    expect((await fetch(web_url.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')))).status).toBe(403);
    expect(await platform.json('GET', `/apps/myapp/addons/${id}/sso`)).toMatchObject({
      method: 'post',
      action: `${platform.partner.base}/heroku/sso`,
    });
  });

  it('goes on after a restart: the add-on, its tokens and what its provider has to be told', async () => {
    let refuses = true;
    const platform = await setup((call) => (call.method === 'DELETE' ? (refuses ? { status: 500 } : { status: 204 }) : accepted));
    const { id } = await platform.create();
    const { access_token } = await platform.tokens();
    const first = await platform.json<AddonAnswer>('GET', `/addons/${id}`);
    await platform.dynos.close();
    const again = await platformWith(
      {},
      { dir: platform.dir, appDir: platform.app, copies: 'plain', providers: [platform.partner.provider] },
    );
    open.unshift(again);
    expect(await again.json('GET', `/addons/${id}`)).toMatchObject({ name: first.name, state: 'provisioning' });
    const partner = (method: string, path: string) => again.call(method, path, undefined, { authorization: `Bearer ${access_token}` });
    expect((await partner('POST', `/addons/${id}/actions/provision`)).status).toBe(200);
    expect(await again.json('DELETE', `/apps/myapp/addons/${id}`)).toMatchObject({ state: 'deprovisioned' });
    expect(await again.json('GET', '/addons')).toEqual([]);
    await again.dynos.close();
    refuses = false;
    const told = platform.partner.calls.length;
    const third = await platformWith(
      {},
      { dir: platform.dir, appDir: platform.app, copies: 'plain', providers: [platform.partner.provider] },
    );
    open.unshift(third);
    await eventually('the provider is told', () =>
      platform.partner.calls.slice(told).some(({ method, path }) => method === 'DELETE' && path.endsWith(id)),
    );
  });
});
