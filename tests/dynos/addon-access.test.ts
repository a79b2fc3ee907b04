// What an installed add-on is reached by: tokens, names, links that sign in; also after a restart.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { eventually, platformWith } from './platform.ts';
import { type AddonAnswer, accepted, open, setup } from './provided-addons.ts';

describe('add-ons', () => {
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
