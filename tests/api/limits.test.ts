// How often and how much anybody may send.
import { once } from 'node:events';
import { type AddressInfo, connect as connectSocket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { createAdaptorServer } from '@hono/node-server';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SERVER_LIMITS } from '../../src/cli/server-limits.ts';
import { resourceKey } from '../../src/queues/keys.ts';
import { createRateLimit } from '../../src/queues/rate-limit.ts';
import { tombstoneOf } from '../../src/queues/resource-record.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createSessions } from '../../src/queues/sessions.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

let server: TestRedis;
let redis: Redis;
const webs: TestWeb[] = [];

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis({ path: server.socket });
  // the server is away in one of the tests
  redis.on('error', () => {});
});
afterAll(async () => {
  for (const web of webs) await web.close();
  redis?.disconnect();
  await server?.stop();
});

/** In production mode, where the router's X-Forwarded-For is the address. */
async function web(env: Record<string, string>): Promise<TestWeb> {
  const opened = await openTestWeb(server, {
    env: {
      AUTOFILES_MODE: 'production',
      AUTOFILES_ARCHIVE_BUCKET: 'acme-archive',
      AUTOFILES_ADDON_PASSWORD: 'super-secret-password',
      ...env,
    },
  });
  webs.push(opened);
  return opened;
}
const from = (address: string, more: Record<string, string> = {}) => ({ headers: { 'x-forwarded-for': address, ...more } });
const statuses = async (times: number, call: () => Promise<Response>) => {
  const found: number[] = [];
  for (let i = 0; i < times; i += 1) found.push((await call()).status);
  return found;
};

it('as many calls as a minute has may come at once, then one by one', async () => {
  const rate = createRateLimit({ redis });
  const waits = await Promise.all(Array.from({ length: 70 }, () => rate.take('test', 'a', 60)));
  expect(waits.filter((wait) => wait === 0).length).toBeGreaterThanOrEqual(60);
  expect(Math.max(...waits)).toBeGreaterThan(0);
  expect(Math.max(...waits)).toBeLessThanOrEqual(1000);
  expect(await rate.take('test', 'b', 60)).toBe(0);
  await until('the next one', async () => (await rate.take('test', 'a', 60)) === 0);
  expect(await redis.pttl('af:rate:test:a')).toBeLessThanOrEqual(60_000);
});

it('a resource’s calls are limited together, and nobody else’s with them', async () => {
  const one = await web({ AUTOFILES_CALLS_PER_RESOURCE: '3' });
  const another = await web({ AUTOFILES_CALLS_PER_RESOURCE: '3' });
  const call = (address: string) => one.call('GET', '/v1/runs', from(address));
  expect(await statuses(3, () => call('192.0.2.1'))).toEqual([200, 200, 200]);
  const refused = await call('192.0.2.2');
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(20);
  expect(await refused.json()).toMatchObject({
    title: 'rate_limited',
    status: 429,
    retry: true,
    detail: expect.stringContaining(one.resource),
  });
  expect((await another.call('GET', '/v1/runs', from('192.0.2.1'))).status).toBe(200);
});

it('an address’s calls are limited together; the network of an IPv6 address is one', async () => {
  const one = await web({ AUTOFILES_CALLS_PER_ADDRESS: '2' });
  const call = (address: string) => one.call('GET', '/openapi.json', from(address));
  expect(await statuses(3, () => call('192.0.2.10'))).toEqual([200, 200, 429]);
  // what the client itself wrote in front of the router's word changes nothing
  expect((await call('198.51.100.1, 192.0.2.10')).status).toBe(429);
  expect((await call('::ffff:192.0.2.10')).status).toBe(429);
  expect([
    (await call('2001:db8::1')).status,
    (await call('2001:DB8:0:0:9::9')).status,
    (await call('2001:db8:0:0:1:2:3:4')).status,
  ]).toEqual([200, 200, 429]);
  expect((await call('2001:db8:0:1::1')).status).toBe(200);
});

describe('refused calls', () => {
  it('of an address are few; then nothing of it is taken', async () => {
    const one = await web({ AUTOFILES_REFUSED_PER_ADDRESS: '3' });
    const call = (token: string | undefined, address = '192.0.2.20') => one.call('GET', '/v1/runs', { token, ...from(address) });
    expect(await statuses(4, () => call('guess'))).toEqual([401, 401, 401, 429]);
    expect((await call(one.token)).status).toBe(429);
    expect((await call(one.token, '192.0.2.21')).status).toBe(200);
  });

  it('alone count where Heroku calls for all customers, and those of events not at all', async () => {
    const one = await web({ AUTOFILES_REFUSED_PER_ADDRESS: '3', AUTOFILES_CALLS_PER_ADDRESS: '1' });
    const basic = (password: string) => `Basic ${Buffer.from(`line-d:${password}`).toString('base64')}`;
    const id = '01234567-89ab-cdef-0123-456789abcdef';
    // one that Redis does not know is asked for in the archive, which is not there
    await redis.hset(resourceKey(id), tombstoneOf({ id, app: '', bucket: `ld-private-${id}`, region: 'us-east-1', plan: 'free' }));
    const remove = (password: string) =>
      one.call('DELETE', `/heroku/resources/${id}`, {
        token: undefined,
        ...from('192.0.2.30', { authorization: basic(password) }),
      });
    expect(await statuses(6, () => remove('super-secret-password'))).toEqual([410, 410, 410, 410, 410, 410]);
    const hook = () => one.call('POST', '/heroku/webhooks?resource=x', { token: undefined, body: {}, ...from('192.0.2.30') });
    // the signature is their guard: strangers can have Heroku's own addresses send what is refused
    expect(await statuses(6, hook)).toEqual([401, 401, 401, 401, 401, 401]);
    expect(await statuses(4, () => remove('a-guessed-password'))).toEqual([401, 401, 401, 429]);
    const closed = await remove('super-secret-password');
    expect(closed.status).toBe(429);
    expect(Number(closed.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  });
});

it('no limit stands in the way while Redis is away', async () => {
  const one = await web({});
  await server.crash();
  try {
    expect((await one.call('GET', '/openapi.json', from('192.0.2.40'))).status).toBe(200);
  } finally {
    await server.restart();
  }
});

describe('a body', () => {
  it('that is too large is not read to its end, whatever its length is said to be', async () => {
    const one = await web({});
    const serving = createAdaptorServer({ fetch: (request) => one.fetch(request) });
    serving.listen(0, '127.0.0.1');
    await once(serving, 'listening');
    const { port } = serving.address() as AddressInfo;
    let sent = 0;
    const endless = new ReadableStream({
      pull: (controller) => {
        sent += 65_536;
        // a gigabyte, were it taken
        if (sent > 1_073_741_824) controller.close();
        else controller.enqueue(new Uint8Array(65_536));
      },
    });
    try {
      const status = await fetch(`http://127.0.0.1:${port}/v1/tokens`, {
        method: 'POST',
        headers: { authorization: `Bearer ${one.token}`, 'content-type': 'application/json' },
        body: endless,
        duplex: 'half',
      } as RequestInit).then(
        (response) => response.status,
        () => 'cut',
      );
      // the answer, or the end of the connection, comes first: whichever the client sees
      expect([413, 'cut']).toContain(status);
      expect(sent).toBeLessThan(67_108_864);
    } finally {
      serving.close();
      if ('closeAllConnections' in serving) serving.closeAllConnections();
    }
    expect((await one.call('POST', '/v1/tokens', { body: { name: 'x'.repeat(600_000), scope: 'read' } })).status).toBe(413);
  });

  it('of the page that takes whole files has a limit of its own', async () => {
    const one = await web({});
    const form = new FormData();
    form.set('file', new File([new Uint8Array(1_000_000)], 'a.bin'));
    const send = (path: string) => one.fetch(new Request(`http://127.0.0.1${path}`, { method: 'POST', body: form }));
    // only then is it asked who sends it
    expect((await send('/files/upload')).status).toBe(401);
    expect((await send('/files/form')).status).toBe(413);
    expect((await send('/v1/uploads')).status).toBe(413);
  });

  it('of that page holds before anything of the body is read, for whoever has a session, too', async () => {
    const one = await web({});
    const secret = await createSessions({ redis }).begin({ resource: one.resource, by: 'sso', name: 'owner@example.com' });
    await createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now }).put({
      id: one.resource,
      app: 'app',
      bucket: 'ld-private-upload',
      region: 'us-east-1',
      plan: 'free',
    });
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent += 1_000_000;
        controller.enqueue(new Uint8Array(1_000_000));
        // four times what the page takes: a server that reads to the end has its end
        if (sent >= 100_000_000) controller.close();
      },
    });
    const answer = await one.fetch(
      new Request('http://127.0.0.1/files/upload', {
        method: 'POST',
        headers: { cookie: `autofiles=${secret}; __Host-autofiles=${secret}`, 'content-type': 'multipart/form-data; boundary=x' },
        body: endless,
        duplex: 'half',
      } as RequestInit),
    );
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain('more than 25 MB');
    expect(sent).toBeLessThan(40_000_000);
  });

  it('that is compressed is not unpacked: a bomb of 100 MB is 100 KB that are no JSON', async () => {
    const one = await web({});
    const answer = await one.fetch(
      new Request('http://127.0.0.1/v1/tokens', {
        method: 'POST',
        headers: { authorization: `Bearer ${one.token}`, 'content-type': 'application/json', 'content-encoding': 'gzip' },
        body: gzipSync(Buffer.alloc(104_857_600, ' ')),
      }),
    );
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ title: 'request_invalid', detail: expect.stringContaining('not JSON') });
  });
});

it('who sends too slowly is cut off', async () => {
  const serving = createAdaptorServer({
    fetch: () => new Response('ok'),
    serverOptions: { ...SERVER_LIMITS, headersTimeout: 100, requestTimeout: 200, connectionsCheckingInterval: 20 },
  });
  serving.listen(0, '127.0.0.1');
  await once(serving, 'listening');
  const socket = connectSocket((serving.address() as AddressInfo).port, '127.0.0.1');
  try {
    socket.write('POST / HTTP/1.1\r\nHost: x\r\n');
    socket.setEncoding('utf8');
    let answer = '';
    socket.on('data', (chunk: string) => {
      answer += chunk;
    });
    await once(socket, 'close');
    expect(answer).toContain('408');
  } finally {
    socket.destroy();
    serving.close();
  }
});
