// Who is told of ended runs: over real HTTPS, signed, sent again, with a log; and nobody whose address is not public.

import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { lookup, Resolver } from 'node:dns/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWebhookWorker } from '../../src/cli/webhook-worker.ts';
import { createWebhookPost, isPublicAddress, resolveAll } from '../../src/clients/webhook-post.ts';
import { readConfig } from '../../src/schema/config.ts';
import type { DeliveryView } from '../../src/schema/webhook-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';
import { type Receiver, startReceiver } from '../support/webhook-receiver.ts';

let server: TestRedis;
let engine: TestEngine;
let web: TestWeb;
let worker: { stop(): Promise<void> };
let receiver: Receiver;
let port: number;
let ca: string;

beforeAll(async () => {
  receiver = await startReceiver();
  ({ port, ca } = receiver);
  server = await startRedis();
  engine = await startTestEngine(server, {
    ok: async (dyno) => {
      await dyno.output(5);
      return dyno.accept();
    },
  });
  web = await openTestWeb(server, { resource: engine.resource });
  const config = readConfig({
    AUTOFILES_MODE: 'test',
    AUTOFILES_REDIS_SOCKET: server.socket,
    AUTOFILES_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
  });
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  worker = openWebhookWorker(config, quiet, createWebhookPost({ ca, allowed: (one) => one === '127.0.0.1' }));
});

afterAll(async () => {
  await worker?.stop();
  await web?.close();
  await engine?.stop();
  await server?.stop();
  await receiver?.stop();
});

const add = async (path: string) => {
  const response = await web.call('POST', '/v1/webhooks', { body: { url: `https://127.0.0.1:${port}${path}` } });
  expect(response.status).toBe(201);
  return (await response.json()) as { id: string; secret: string };
};
const remove = async (id: string) => expect((await web.call('DELETE', `/v1/webhooks/${id}`)).status).toBe(204);
const deliveries = async () => (await (await web.call('GET', '/v1/webhooks/deliveries')).json()) as DeliveryView[];
const at = (path: string) => until(`a delivery to ${path}`, () => receiver.received.find((one) => one.path === path));

describe('a webhook', () => {
  it('tells of a run that ended, signed so that its receiver can check it', async () => {
    const { id, secret } = await add('/signed');
    const runId = engine.upload([{ cmd: 'ok', timeout: 30 }]);
    await engine.ended(runId);
    const { headers, body } = await at('/signed');
    expect(JSON.parse(body)).toMatchObject({ type: 'run.ended', data: { id: runId, state: 'succeeded', resource: engine.resource } });
    expect(headers['webhook-id']).toBe(`${runId}.${id}`);
    const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
    const signed = createHmac('sha256', key).update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`).digest('base64');
    expect(headers['webhook-signature']).toBe(`v1,${signed}`);
    const [delivery] = await until('the log', async () => {
      const all = await deliveries();
      return all.length > 0 && all;
    });
    expect(delivery).toMatchObject({ webhook: id, run: runId, attempt: 1, status: 204, error: null });
    await remove(id);
  });

  it('is told again when it did not take the delivery, and never follows a redirect', async () => {
    receiver.answers.push({ status: 302, location: `https://127.0.0.1:${port}/elsewhere` });
    const { id } = await add('/again');
    const runId = engine.upload([{ cmd: 'ok', timeout: 30 }]);
    await engine.ended(runId);
    const log = await until(
      'two tries',
      async () => {
        const tries = (await deliveries()).filter((one) => one.run === runId);
        return tries.length >= 2 && tries;
      },
      40_000,
    );
    expect(log.map(({ attempt, status }) => [attempt, status])).toEqual([
      [2, 204],
      [1, 302],
    ]);
    expect(receiver.received.some(({ path }) => path === '/elsewhere')).toBe(false);
    await remove(id);
  });

  it('hears nothing of what ended before it was there, or after it was removed', async () => {
    const before = engine.upload([{ cmd: 'ok', timeout: 30 }]);
    await engine.ended(before);
    const { id } = await add('/later');
    const after = engine.upload([{ cmd: 'ok', timeout: 30 }]);
    await engine.ended(after);
    expect(JSON.parse((await at('/later')).body).data.id).toBe(after);
    await remove(id);
    expect(receiver.received.filter(({ path }) => path === '/later')).toHaveLength(1);
    expect(await (await web.call('GET', '/v1/webhooks')).json()).toEqual([]);
  });

  it('is tested once, with a delivery that tells of nothing, whatever comes of it', async () => {
    const { id } = await add('/ping');
    receiver.answers.push({ status: 500 });
    const ping = async () => (await (await web.call('POST', `/v1/webhooks/${id}/ping`)).json()) as { id: string };
    const logged = async (delivery: string) =>
      await until('the log', async () => (await deliveries()).find((one) => one.id === delivery), 10_000);
    const first = await ping();
    expect(await logged(first.id)).toMatchObject({ webhook: id, run: null, attempt: 1, status: 500 });
    const second = await ping();
    expect(await logged(second.id)).toMatchObject({ webhook: id, run: null, attempt: 1, status: 204, error: null });
    const [bad, good, ...more] = receiver.received.filter(({ path }) => path === '/ping');
    expect(bad?.headers['webhook-id']).toBe(first.id);
    expect(JSON.parse(good?.body ?? '')).toMatchObject({ type: 'webhook.ping', data: { webhook: id } });
    expect(more).toEqual([]);
    await remove(id);
    expect((await web.call('POST', `/v1/webhooks/${id}/ping`)).status).toBe(404);
  });

  it('is one of ten at most, however many are added at once', async () => {
    const order = { body: { url: `https://127.0.0.1:${port}/many` } };
    const all = await Promise.all(Array.from({ length: 30 }, () => web.call('POST', '/v1/webhooks', order)));
    const added = all.filter(({ status }) => status === 201);
    expect(added).toHaveLength(10);
    for (const { status } of all) expect([201, 409]).toContain(status);
    for (const answer of added) await remove(((await answer.json()) as { id: string }).id);
  });

  it('has an address of at most 2,000 bytes as it is called, so that all of a resource fit into its backup', async () => {
    const longest = `https://example.com/${'x'.repeat(1_980)}`;
    const response = await web.call('POST', '/v1/webhooks', { body: { url: longest } });
    expect(response.status).toBe(201);
    await remove(((await response.json()) as { id: string }).id);
    // 1,980 characters of 12 bytes each
    const refused = await web.call('POST', '/v1/webhooks', { body: { url: `https://example.com/${'😀'.repeat(1_980)}` } });
    expect(refused.status).toBe(400);
    expect(await refused.text()).toContain('found 23780 bytes');
  });

  it('has an https address without a password', async () => {
    for (const url of ['http://example.com/', 'ftp://example.com', 'https://u:p@example.com/', 'nonsense', '']) {
      expect((await web.call('POST', '/v1/webhooks', { body: { url } })).status, url).toBe(400);
    }
  });
});

describe('what is called', () => {
  it('is the public internet alone', () => {
    const inside = [
      '127.0.0.1',
      '10.1.2.3',
      '172.31.0.1',
      '192.168.1.1',
      '169.254.169.254',
      '100.64.0.1',
      '0.0.0.0',
      '224.0.0.1',
      '255.255.255.255',
    ];
    const inside6 = [
      '::1',
      '::',
      'fe80::1',
      'fc00::1',
      'fd12::1',
      '::ffff:127.0.0.1',
      '::ffff:8.8.8.8',
      '64:ff9b::a00:1',
      '2002:7f00:1::',
      '2001:db8::1',
      'ff02::1',
    ];
    for (const address of [...inside, ...inside6, 'localhost', '', '1']) expect(isPublicAddress(address), address).toBe(false);
    for (const address of ['8.8.8.8', '93.184.216.34', '2606:2800:220:1::1', '2a00:1450::1'])
      expect(isPublicAddress(address), address).toBe(true);
  });

  it('is refused as a whole when one address of a name is not, however it is written', async () => {
    const post = createWebhookPost({
      ca,
      resolve: async (host) => await Promise.resolve(host === 'mixed.test' ? ['8.8.8.8', '127.0.0.1'] : ['127.0.0.1']),
    });
    const urls = [
      'https://mixed.test/',
      'https://inner.test/',
      `https://127.0.0.1:${port}/direct`,
      `https://[::1]:${port}/`,
      `https://2130706433:${port}/`,
      `https://0x7f.1:${port}/`,
    ];
    for (const url of urls) await expect(post(url, {}, ''), url).rejects.toMatchObject({ code: 'webhook_refused' });
    await expect(post(`http://127.0.0.1:${port}/`, {}, '')).rejects.toMatchObject({ code: 'webhook_refused' });
    expect(receiver.received.some(({ path }) => path === '/direct')).toBe(false);
  });

  it('whose name server never answers keeps nothing else of the process waiting', async () => {
    const silent = createSocket('udp4');
    const asked = new Set<string>();
    silent.on('message', (query) => asked.add(query.toString('latin1')));
    await new Promise<void>((bound) => silent.bind(0, '127.0.0.1', bound));
    const nameServer = `127.0.0.1:${silent.address().port}`;
    const post = createWebhookPost({
      resolve: (host, signal) => {
        // far longer than the other name takes
        const resolver = new Resolver({ timeout: 3_000, tries: 1 });
        resolver.setServers([nameServer]);
        return resolveAll(host, signal, resolver);
      },
    });
    try {
      // more than the process has threads for names and files
      const posts = Array.from({ length: 20 }, (_, i) => post(`https://name-${i}.test/`, {}, '').catch((error: unknown) => error));
      const first = await Promise.race([Promise.any(posts).then(() => 'a webhook'), lookup('localhost').then(() => 'another name')]);
      expect(first).toBe('another name');
      for (const failure of await Promise.all(posts)) expect(failure).toMatchObject({ code: 'webhook_unreachable' });
      expect(asked.size).toBeGreaterThanOrEqual(40);
    } finally {
      silent.close();
    }
  });

  it('is the address that was checked, whatever its name means a moment later', async () => {
    let asked = 0;
    const resolve = async () => {
      asked += 1;
      return await Promise.resolve(['127.0.0.1']);
    };
    const post = createWebhookPost({ ca, resolve, allowed: (one) => one === '127.0.0.1' });
    expect(await post(`https://localhost:${port}/pinned`, {}, 'x')).toBe(204);
    expect(asked).toBe(1);
  });
});
