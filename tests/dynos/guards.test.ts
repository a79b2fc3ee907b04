import { request } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { platformWith } from './platform.ts';

describe('the API guards itself', () => {
  const open: { close: () => Promise<void> }[] = [];
  const setup = async (...args: Parameters<typeof platformWith>) => {
    const platform = await platformWith(...args);
    open.push(platform);
    const refusal = async (body: unknown, method = 'POST', path = '/apps/myapp/dynos'): Promise<[number, string, string]> => {
      const answer = await platform.call(method, path, body);
      const { id, message } = (await answer.json()) as { id: string; message: string };
      return [answer.status, id, message];
    };
    return { ...platform, refusal };
  };
  afterEach(async () => {
    for (const platform of open.splice(0)) await platform.close();
  });

  it('takes the token as Bearer and as the password of Basic, and nothing else', async () => {
    const platform = await setup({});
    const status = async (authorization: string) => (await platform.call('GET', '/account', undefined, { authorization })).status;
    expect(await status('Bearer secret-token')).toBe(200);
    expect(await status(`Basic ${Buffer.from(':secret-token').toString('base64')}`)).toBe(200);
    expect(await status(`Basic ${Buffer.from('me@example.com:secret-token').toString('base64')}`)).toBe(200);
    for (const wrong of [
      '',
      'Bearer',
      'Bearer secret-tokem',
      'Bearer secret-token2',
      'Basic !!',
      `Basic ${Buffer.from('secret-token:').toString('base64')}`,
    ]) {
      expect(await status(wrong)).toBe(401);
    }
    const answer = await fetch(`${platform.base}/account`, { headers: { accept: 'application/vnd.heroku+json; version=3' } });
    expect([answer.status, await answer.json()]).toEqual([401, { id: 'unauthorized', message: 'Invalid credentials provided.' }]);
  });

  it('speaks version 3 only', async () => {
    const platform = await setup({});
    const status = async (accept: string) => (await platform.call('GET', '/account', undefined, { accept })).status;
    expect(await status('application/vnd.heroku+json; version=3')).toBe(200);
    expect(await status('application/vnd.heroku+json;version=3.sdk')).toBe(200);
    expect(await status('application/vnd.heroku+json; version=2')).toBe(406);
    expect(await status('application/vnd.heroku+json; version=31')).toBe(406);
    expect(await status('*/*')).toBe(406);
  });

  it('refuses a Host that is not loopback and a page of another site', async () => {
    const platform = await setup({});
    const status = (headers: Record<string, string>): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const all = { accept: 'application/vnd.heroku+json; version=3', authorization: 'Bearer secret-token', ...headers };
        request(`${platform.base}/account`, { headers: all }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        })
          .on('error', reject)
          .end();
      });
    expect(await status({ host: 'localhost:1' })).toBe(200);
    expect(await status({ host: 'evil.example' })).toBe(403);
    expect(await status({ host: '127.0.0.1.evil.example' })).toBe(403);
    expect(await status({ origin: 'http://localhost:3000' })).toBe(200);
    expect(await status({ origin: 'https://evil.example' })).toBe(403);
    expect(await status({ origin: 'null' })).toBe(403);
  });

  it('gives every answer a Request-Id and says how many calls are left, then 429 until the bucket fills again', async () => {
    let time = Date.now();
    const platform = await setup({}, { rateLimit: 60, now: () => time });
    const first = await platform.call('GET', '/account', undefined, { 'request-id': 'mine' });
    expect(first.headers.get('request-id')).toMatch(/^mine,[0-9a-f-]{36}$/);
    expect(first.headers.get('ratelimit-remaining')).toBe('59');
    for (let calls = 1; calls < 60; calls += 1) await platform.call('GET', '/account');
    expect(await platform.refusal(undefined, 'GET', '/account')).toEqual([429, 'rate_limit', expect.stringContaining('rate limit')]);
    expect(await platform.json('GET', '/account/rate-limits')).toEqual({ remaining: 0 });
    time += 60_000;
    expect((await platform.call('GET', '/account')).status).toBe(200);
    expect((await platform.call('GET', '/account')).status).toBe(429);
  });

  it('refuses bodies that do not fit, saying what and where', async () => {
    const platform = await setup({});
    const expectInvalid = async (body: unknown, message: RegExp) => {
      expect(await platform.refusal(body)).toEqual([422, 'invalid_params', expect.stringMatching(message)]);
    };
    await expectInvalid({}, /command/);
    await expectInvalid({ command: 7 }, /"\/command": must be string/);
    await expectInvalid({ command: '' }, /command/);
    await expectInvalid({ command: 'a\0b' }, /NUL/);
    await expectInvalid({ command: 'true', time_to_live: 0 }, /time_to_live/);
    await expectInvalid({ command: 'true', time_to_live: 86_401 }, /time_to_live/);
    await expectInvalid({ command: 'true', size: 'huge' }, /size is "huge"; expected one of eco, basic/);
    await expectInvalid({ command: 'true', type: '../x' }, /type/);
    await expectInvalid({ command: 'true', env: { A: { b: 1 } } }, /env/);
    await expectInvalid({ command: 'true', env: { 'A=B': '1' } }, /"A=B" is no name/);
    await expectInvalid({ command: 'true', env: { BIG: 'x'.repeat(65_537) } }, /env BIG has 65537 bytes; at most 65536/);
    await expectInvalid([], /object/);
    expect(await platform.refusal('{"command":')).toEqual([400, 'bad_request', expect.stringContaining('JSON')]);
    expect(await platform.refusal({ '1A': 'x' }, 'PATCH', '/apps/myapp/config-vars')).toEqual([
      422,
      'invalid_params',
      expect.stringContaining('"1A"'),
    ]);
    expect((await platform.call('POST', '/apps/myapp/dynos', `{"command":"${'x'.repeat(5_000_000)}"}`)).status).toBe(413);
    expect(await platform.list()).toEqual([]);
  });

  it('answers 404 for another app and an unknown path', async () => {
    const platform = await setup({});
    const { id } = await platform.json<{ id: string }>('GET', '/apps/myapp');
    expect((await platform.call('GET', `/apps/${id}/dynos`)).status).toBe(200);
    for (const path of ['/apps/other', '/apps/other/dynos', '/apps/other/config-vars']) {
      const answer = await platform.call('GET', path);
      expect([answer.status, await answer.json()]).toEqual([404, { id: 'not_found', message: "Couldn't find that app.", resource: 'app' }]);
    }
    expect((await platform.call('GET', '/nothing')).status).toBe(404);
  });

  it('refuses more dynos than the limit', async () => {
    const platform = await setup({}, { maxDynos: 2 });
    await platform.run('sleep 60');
    await platform.run('sleep 60');
    const answer = await platform.call('POST', '/apps/myapp/dynos', { command: 'true' });
    expect([answer.status, await answer.json()]).toEqual([
      422,
      { id: 'cannot_run_above_limit', message: 'Cannot run more than 2 Basic size dynos.', limit: 2, size: 'Basic' },
    ]);
  });

  it('lists in pages by id', async () => {
    const platform = await setup({});
    const started = await Promise.all(Array.from({ length: 5 }, () => platform.run('sleep 60')));
    const ids = started.map(({ id }) => id).sort();
    const page = async (range: string): Promise<[number, string | null, string[]]> => {
      const answer = await platform.call('GET', '/apps/myapp/dynos', undefined, { range });
      const items = (await answer.json()) as { id: string }[];
      return [answer.status, answer.headers.get('next-range'), items.map(({ id }) => id)];
    };
    expect(await page('id ..; max=1000')).toEqual([200, null, ids]);
    const [status, next, first] = await page('id ..; max=3');
    expect([status, first]).toEqual([206, ids.slice(0, 3)]);
    expect(await page(next ?? '')).toEqual([200, null, ids.slice(3)]);
    expect(await page('id ..; max=3, order=desc')).toEqual([206, expect.stringContaining('order=desc'), ids.toReversed().slice(0, 3)]);
    expect((await platform.call('GET', '/apps/myapp/dynos', undefined, { range: 'name ..' })).status).toBe(416);
  });
});
