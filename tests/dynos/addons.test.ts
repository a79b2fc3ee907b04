// How add-ons come and go on the platform: what their provider is asked, and what the app has of it.
import { describe, expect, it } from 'vitest';
import { eventually } from './platform.ts';
import { type AddonAnswer, accepted, setup } from './provided-addons.ts';

describe('add-ons', () => {
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
});
