// What was done is in the audit log, also when Redis goes away between the two.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../src/queues/connection.ts';
import { auditKey } from '../../src/queues/keys.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import type { AuditEntry } from '../../src/schema/audit-entry.ts';
import { type RedisProxy, startRedisProxy } from '../support/redis-proxy.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

let server: TestRedis;
let redis: ReturnType<typeof connect>;
let proxy: RedisProxy;
let web: TestWeb;

beforeAll(async () => {
  server = await startRedis();
  redis = connect({ socket: server.socket }, () => {});
  proxy = await startRedisProxy(server.socket);
  web = await openTestWeb({ socket: proxy.socket });
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  await resources.put({ id: web.resource, app: 'app', bucket: 'ld-private-audited', region: 'us-east-1', plan: 'test' });
});
afterAll(async () => {
  await web?.close();
  await proxy?.close();
  redis?.disconnect();
  await server?.stop();
});

const token = async (name: string) =>
  (await (await web.call('POST', '/v1/tokens', { body: { name, scope: 'read' } })).json()) as { id: string };
const revoked = async (id: string) =>
  ((await (await web.call('GET', '/v1/audit')).json()) as AuditEntry[]).filter(
    ({ action, detail }) => action === 'token.revoke' && detail === id,
  );

it('when Redis is away for longer than web waits for it', async () => {
  const { id } = await token('away');
  void proxy.goAwayAt(auditKey(web.resource));
  const begun = Date.now();
  expect((await web.call('DELETE', `/v1/tokens/${id}`)).status).toBe(204);
  const answered = Date.now();
  expect(JSON.stringify(await redis.xrange(auditKey(web.resource), '-', '+'))).not.toContain('token.revoke');
  proxy.turnTo(server.socket);
  const [entry] = await until('its entry', async () => {
    const found = await revoked(id).catch(() => []);
    return found.length > 0 && found;
  });
  // when it was done, not when Redis was back
  expect(Date.parse(entry?.at ?? '')).toBeGreaterThanOrEqual(begun);
  expect(Date.parse(entry?.at ?? '')).toBeLessThan(answered);
});

it('once, when the answer alone is lost', async () => {
  const { id } = await token('unheard');
  const lost = proxy.goAwayAt(auditKey(web.resource), 'executed');
  const order = web.call('DELETE', `/v1/tokens/${id}`);
  await lost;
  // ioredis sends it again by itself as soon as it is back
  proxy.turnTo(server.socket);
  expect((await order).status).toBe(204);
  expect(await revoked(id)).toHaveLength(1);
});
