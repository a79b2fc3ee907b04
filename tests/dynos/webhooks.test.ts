import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { startPartner } from './partner.ts';
import { eventually, platformWith } from './platform.ts';

interface Told {
  headers: IncomingHttpHeaders;
  raw: string;
  // The tests state what they expect of it.
  event: {
    id: string;
    action: string;
    data: { name: string; state: string };
    previous_data: { state?: string };
    sequence: number;
    webhook_metadata: unknown;
  };
}

/** A receiver of webhooks that answers as it is told. */
async function startReceiver(status: (told: Told[]) => number) {
  const told: Told[] = [];
  const server = createServer((request, response) => {
    let raw = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      raw += chunk;
    });
    request.on('end', () => {
      told.push({ headers: request.headers, raw, event: JSON.parse(raw) });
      response.writeHead(status(told)).end();
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/hook`,
    told,
    close: () =>
      new Promise<void>((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

describe('webhooks', () => {
  const open: { close: () => Promise<void> }[] = [];
  const setup = async (status: (told: Told[]) => number = () => 204, settings: Parameters<typeof platformWith>[1] = {}) => {
    const receiver = await startReceiver(status);
    const platform = await platformWith({ Procfile: 'web: sleep 60\n' }, { copies: 'plain', webhookRetryMs: 5, ...settings });
    open.push(platform, receiver);
    const subscribe = (body: Record<string, unknown> = {}) =>
      platform.call(
        'POST',
        '/apps/myapp/webhooks',
        { include: ['api:dyno'], level: 'notify', url: receiver.url, ...body },
        {
          accept: 'application/vnd.heroku+json; version=3.webhooks',
          authorization: `Basic ${Buffer.from(':secret-token').toString('base64')}`,
        },
      );
    return { ...platform, receiver, subscribe };
  };
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });

  it("tells a dyno's life, signed over the raw body with the secret that was shown once", async () => {
    const platform = await setup();
    const made = await platform.subscribe({ level: 'sync', authorization: 'Bearer mine' });
    expect(made.status).toBe(201);
    const secret = made.headers.get('heroku-webhook-secret') ?? '';
    expect(secret.length).toBeGreaterThan(30);
    const { id } = (await made.json()) as { id: string };
    const { name } = await platform.run('true');
    await platform.ended(name);
    await eventually('the end is told', () => platform.receiver.told.at(-1)?.event.action === 'destroy');
    expect(platform.receiver.told.map(({ event }) => [event.action, event.data.state, event.previous_data.state])).toEqual([
      ['create', 'starting', undefined],
      ['update', 'up', 'starting'],
      ['update', 'complete', 'up'],
      ['destroy', 'complete', undefined],
    ]);
    for (const { headers, raw, event } of platform.receiver.told) {
      expect(headers['heroku-webhook-hmac-sha256']).toBe(createHmac('sha256', secret).update(raw).digest('base64'));
      expect(headers.authorization).toBe('Bearer mine');
      expect(event).toMatchObject({
        resource: 'dyno',
        actor: { email: 'you@localhost' },
        version: 'application/vnd.heroku+json; version=3',
        data: { name, command: 'true', type: 'run', app: { name: 'myapp' } },
        webhook_metadata: { event: { include: 'api:dyno' }, webhook: { id } },
      });
    }
    const sequences = platform.receiver.told.map(({ event }) => event.sequence);
    expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
    const shown = JSON.stringify(await platform.json('GET', '/apps/myapp/webhooks'));
    expect(shown).toContain(platform.receiver.url);
    expect(shown).not.toContain(secret);
  });

  it('tries `sync` again and in order until it is taken, `notify` once', async () => {
    let refused = 0;
    const platform = await setup(() => {
      refused += 1;
      return refused <= 3 ? 500 : 200;
    });
    await platform.subscribe({ level: 'sync', secret: 'known' });
    await platform.call('PATCH', '/apps/myapp/config-vars', { A: '1' });
    const { name } = await platform.run('true');
    await platform.ended(name);
    await eventually('all is told', () => platform.receiver.told.length === 7);
    expect(platform.receiver.told.map(({ event }) => event.action)).toEqual([
      'create',
      'create',
      'create',
      'create',
      'update',
      'update',
      'destroy',
    ]);
    const deliveries = () => platform.json<{ status: string; num_attempts: number }[]>('GET', '/apps/myapp/webhook-deliveries');
    await eventually('all are marked', async () => (await deliveries()).every(({ status }) => status === 'succeeded'));
    expect((await deliveries()).map((one) => one.num_attempts).sort()).toEqual([1, 1, 1, 4]);

    const once = await setup(() => 500);
    await once.subscribe();
    const second = await once.run('true');
    await once.ended(second.name);
    const ended = () => once.json<{ status: string; num_attempts: number }[]>('GET', '/apps/myapp/webhook-deliveries');
    await eventually('all have failed', async () => (await ended()).filter(({ status }) => status === 'failed').length === 4);
    expect(once.receiver.told).toHaveLength(4);
  });

  it('delivers after a restart what was not taken before', async () => {
    let down = true;
    const platform = await setup(() => (down ? 503 : 200), { webhookRetryMs: 50 });
    await platform.subscribe({ level: 'sync' });
    const { name } = await platform.run('true');
    await platform.ended(name);
    await eventually('a try', () => platform.receiver.told.length > 0);
    await platform.dynos.close();
    down = false;
    const told = platform.receiver.told.length;
    open.unshift(await platformWith({}, { dir: platform.dir, appDir: platform.app, copies: 'plain', webhookRetryMs: 5 }));
    await eventually('the rest', () => platform.receiver.told.slice(told).some(({ event }) => event.action === 'destroy'));
    // a try that the stop cut off may have arrived all the same: the same event is then told again
    const once = platform.receiver.told.slice(told).filter(({ event }, index, all) => event.id !== all[index - 1]?.event.id);
    expect(once.map(({ event }) => event.action)).toEqual(['create', 'update', 'update', 'destroy']);
  });

  it('tells of releases, the formation and add-ons, stops with the removal, and refuses what it cannot tell', async () => {
    const partner = await startPartner(() => ({ status: 200, body: { id: 'x', config: {} } }));
    open.push(partner);
    const platform = await setup(() => 200, { providers: [partner.provider] });
    const made = await platform.subscribe({ include: ['api:release', 'api:formation', 'api:addon'] });
    const { id } = (await made.json()) as { id: string };
    await platform.json('PATCH', '/apps/myapp/config-vars', { A: '1' });
    await platform.json('PATCH', '/apps/myapp/formation', { updates: [{ type: 'web', quantity: 0 }] });
    await platform.json('POST', '/apps/myapp/addons', { plan: 'line-d' });
    const seen = () => platform.receiver.told.map(({ event }) => `${JSON.parse(JSON.stringify(event)).resource} ${event.action}`).sort();
    await eventually('four events', () => seen().length === 4);
    expect(seen()).toEqual(['addon create', 'formation update', 'release create', 'release create']);
    expect((await platform.call('DELETE', `/apps/myapp/webhooks/${id}`)).status).toBe(200);
    await platform.json('PATCH', '/apps/myapp/config-vars', { A: '2' });
    expect(await platform.json('GET', '/apps/myapp/webhooks')).toEqual([]);
    for (const [body, message] of [
      [{ include: ['api:weather'] }, /api:weather/],
      [{ url: 'http://example.com/' }, /expected https/],
      [{ level: 'often' }, /level/],
    ] as const) {
      const answer = await platform.subscribe(body);
      expect([answer.status, await answer.json()]).toEqual([422, { id: 'invalid_params', message: expect.stringMatching(message) }]);
    }
    expect(platform.receiver.told).toHaveLength(4);
  });

  it("lets an add-on's provider subscribe to what it was granted", async () => {
    const partner = await startPartner(() => ({ status: 202, body: { id: 'x' } }));
    open.push(partner);
    const platform = await setup(() => 200, { providers: [partner.provider] });
    const { id } = await platform.json<{ id: string }>('POST', '/apps/myapp/addons', { plan: 'line-d' });
    const { code } = partner.calls[0]?.body['oauth_grant'] ?? { code: '' };
    const grant = new URLSearchParams({ grant_type: 'authorization_code', code, client_secret: 'client-secret' });
    const answer = await fetch(`${platform.base}/oauth/token`, { method: 'POST', body: grant });
    const { access_token } = (await answer.json()) as { access_token: string };
    const subscribe = (include: string) =>
      platform.call(
        'POST',
        `/addons/${id}/webhooks`,
        { include: [include], level: 'sync', url: platform.receiver.url },
        { authorization: `Bearer ${access_token}` },
      );
    expect((await subscribe('api:release')).status).toBe(403);
    expect((await subscribe('api:dyno')).status).toBe(201);
    await platform.run('true');
    await eventually('it is told', () => platform.receiver.told.length > 0);
  });
});

describe('answers', () => {
  it('carry an ETag, and 304 when nothing changed', async () => {
    const platform = await platformWith({}, { copies: 'plain' });
    try {
      const first = await platform.call('GET', '/apps/myapp/config-vars');
      const tag = first.headers.get('etag') ?? '';
      const same = await platform.call('GET', '/apps/myapp/config-vars', undefined, { 'if-none-match': tag });
      expect([same.status, await same.text()]).toEqual([304, '']);
      await platform.json('PATCH', '/apps/myapp/config-vars', { A: '1' });
      expect((await platform.call('GET', '/apps/myapp/config-vars', undefined, { 'if-none-match': tag })).status).toBe(200);
      expect(await platform.json('GET', '/apps/myapp/collaborators')).toMatchObject([{ role: 'owner', user: { email: 'you@localhost' } }]);
    } finally {
      await platform.close();
    }
  });
});
