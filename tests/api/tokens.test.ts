import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';

let redis: TestRedis;
let web: TestWeb;
let other: TestWeb;

beforeAll(async () => {
  redis = await startRedis();
  web = await openTestWeb(redis);
  other = await openTestWeb(redis);
});

afterAll(async () => {
  await web?.close();
  await other?.close();
  await redis?.stop();
});

const make = async (scope: 'read' | 'write', name = 'ci') => {
  const response = await web.call('POST', '/v1/tokens', { body: { name, scope } });
  expect(response.status).toBe(201);
  return (await response.json()) as { id: string; token: string; scope: string; name: string };
};
const listed = async () => (await (await web.call('GET', '/v1/tokens')).json()) as { id: string; used_at: string | null }[];

it('lets a token in from when it is made until it is revoked', async () => {
  const { id, token } = await make('read');
  expect((await web.call('GET', '/v1/runs', { token })).status).toBe(200);
  expect((await listed()).find((one) => one.id === id)?.used_at).not.toBeNull();
  expect((await web.call('DELETE', `/v1/tokens/${id}`)).status).toBe(204);
  const refused = await web.call('GET', '/v1/runs', { token });
  expect(refused.status).toBe(401);
  expect(refused.headers.get('www-authenticate')).toBe('Bearer');
  expect(await refused.json()).toMatchObject({ title: 'unauthorized', status: 401 });
  expect((await listed()).some((one) => one.id === id)).toBe(false);
});

it('holds a token to its scope and its resource', async () => {
  const reader = await make('read');
  const forbidden = await web.call('POST', '/v1/runs/r0-00000000000000000000/cancel', { token: reader.token });
  expect(forbidden.status).toBe(403);
  expect(forbidden.headers.get('content-type')).toContain('application/problem+json');
  const writer = await make('write');
  expect((await web.call('POST', '/v1/runs/r0-00000000000000000000/cancel', { token: writer.token })).status).toBe(404);
  // the same process serves all resources: whose token it is decides what it sees
  expect(await (await other.call('GET', '/v1/tokens', { token: writer.token })).json()).toHaveLength((await listed()).length);
  expect(await (await other.call('GET', '/v1/tokens')).json()).toEqual([]);
  expect((await other.call('DELETE', `/v1/tokens/${writer.id}`)).status).toBe(404);
});

it('lets no token make or revoke tokens', async () => {
  const { id, token } = await make('write');
  expect((await web.call('POST', '/v1/tokens', { token, body: { name: 'x', scope: 'read' } })).status).toBe(403);
  expect((await web.call('DELETE', `/v1/tokens/${id}`, { token })).status).toBe(403);
});

it('writes who made and revoked a token into the audit log', async () => {
  const { id } = await make('read', 'audited');
  await web.call('DELETE', `/v1/tokens/${id}`);
  const entries = (await (await web.call('GET', '/v1/audit?limit=2')).json()) as { actor: string; action: string; detail: string }[];
  expect(entries.map(({ actor, action, detail }) => [actor, action, detail])).toEqual([
    ['local', 'token.revoke', id],
    ['local', 'token.make', `${id} audited (read)`],
  ]);
  expect(await (await other.call('GET', '/v1/audit')).json()).toEqual([]);
});

it('says what is wrong with an order', async () => {
  for (const body of [
    {},
    { name: 'x' },
    { name: '', scope: 'read' },
    { name: 'x', scope: 'admin' },
    { name: 'x', scope: 'read', more: 1 },
  ]) {
    const response = await web.call('POST', '/v1/tokens', { body });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ title: 'request_invalid' });
  }
});

it('shows the text of a token once and keeps no part of it', async () => {
  const { token } = await make('write', 'secret');
  expect(JSON.stringify(await listed())).not.toContain(token.slice(3, 20));
  const raw = new Redis({ path: redis.socket });
  try {
    for (const key of await raw.keys('*')) {
      const kept = (await raw.type(key)) === 'hash' ? JSON.stringify(await raw.hgetall(key)) : '';
      expect(key + kept).not.toContain(token.slice(3, 20));
    }
  } finally {
    raw.disconnect();
  }
});

it('knows neither an empty, a foreign nor a half token', async () => {
  const { token } = await make('read');
  for (const wrong of [undefined, 'af_', 'x', token.slice(0, -1), `${token}x`, randomUUID()]) {
    expect((await web.call('GET', '/v1/runs', { token: wrong })).status).toBe(401);
  }
});
