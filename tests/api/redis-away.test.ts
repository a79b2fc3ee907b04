// Requests while Redis is away: they are refused in time, and nothing of them is done when it is back.
import { Hono } from 'hono';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLimits } from '../../src/http/limit-calls.ts';
import { connect } from '../../src/queues/connection.ts';
import { giveUpAfter } from '../../src/queues/give-up.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { isRedisOutage } from '../../src/queues/redis-outage.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createTokens } from '../../src/queues/tokens.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

/** Milliseconds after which a request counts as one that does not end; they take two seconds. */
const NEVER_MS = 15_000;

let server: TestRedis;
let redis: Redis;
let web: TestWeb;
let token: string;

beforeAll(async () => {
  server = await startRedis({ fsync: 'always' });
  redis = new Redis({ path: server.socket });
  // the server is away in these tests
  redis.on('error', () => {});
  web = await openTestWeb(server, { env: { AUTOFILES_OPERATOR_PASSWORD: 'operators-password' } });
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  await resources.put({ id: web.resource, app: 'app', bucket: 'ld-private-away', region: 'us-east-1', plan: 'test' });
  token = (await createTokens({ redis, now: Date.now }).make({ resource: web.resource, scope: 'write', name: 'a', by: 'test' })).token;
});
afterAll(async () => {
  await web?.close();
  redis?.disconnect();
  await server?.stop();
});

async function inTime<T>(call: Promise<T>): Promise<T | 'no answer'> {
  const late = AbortSignal.timeout(NEVER_MS);
  const never = new Promise<'no answer'>((resolve) => late.addEventListener('abort', () => resolve('no answer')));
  return await Promise.race([call, never]);
}

/** Of a run that has ended. */
async function ended(name: string): Promise<string> {
  const runId = seedId(name);
  await seedRuns(redis, [{ runId, resource: web.resource, workflow: { title: name, run: [{ cmd: 'work' }] } }]);
  await web.call('POST', `/v1/runs/${runId}/cancel`);
  await until('its end', async () => (await redis.hget(shardKeys(0).run(runId), 'end')) !== null);
  return runId;
}

const operator = { authorization: `Basic ${Buffer.from('operator:operators-password').toString('base64')}` };

describe('while Redis is away', () => {
  it.each([
    ['a read', () => web.call('GET', '/v1/runs', { token })],
    ['an order', () => web.call('POST', '/v1/runs/bulk', { token, body: { action: 'cancel', ids: ['r0-x'] } })],
    ['a call of an operator', () => web.call('GET', '/admin/resources', { token: undefined, headers: operator })],
    ['a look at the queues', () => web.call('GET', '/admin/queues', { token: undefined, headers: operator })],
    [
      'an event of Heroku',
      () => web.call('POST', '/heroku/webhooks?resource=01234567-89ab-cdef-0123-456789abcdef', { token: undefined, body: {} }),
    ],
    ['a sign-on', () => web.call('GET', '/session/open?code=x', { token: undefined })],
  ])('%s is refused in time', async (_what, call) => {
    await server.crash();
    try {
      const answer = await inTime(call());
      if (answer === 'no answer') throw new Error(answer);
      expect(answer.status).toBe(503);
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(await answer.json()).toMatchObject({ title: 'redis_unavailable', retry: true });
    } finally {
      await server.restart();
    }
    await until('it to be served again', async () => (await web.call('GET', '/v1/runs', { token })).status === 200);
  });

  it('runs that are ordered again and again do not start when it is back', async () => {
    const runId = await ended('ordered in vain');
    await server.crash();
    const answers = await Promise.all(
      Array.from({ length: 5 }, async () => await inTime(web.call('POST', `/v1/runs/${runId}/retry`, { token, body: {} }))),
    );
    await server.restart();
    await until('it to be served again', async () => (await web.call('GET', '/v1/runs', { token })).status === 200);
    // what waited for Redis would have come before
    const headers = { 'idempotency-key': 'wanted' };
    const wanted = await web.call('POST', `/v1/runs/${runId}/retry`, { token, body: {}, headers });
    expect(wanted.status).toBe(202);
    const { id } = (await wanted.json()) as { id: string };
    const { runs } = (await (await web.call('GET', '/v1/runs', { token })).json()) as { runs: { id: string; title: string }[] };
    expect(runs.filter(({ title }) => title === 'ordered in vain').map((run) => run.id)).toEqual([id, runId]);
    expect(answers.map((answer) => (answer === 'no answer' ? answer : answer.status))).toEqual([503, 503, 503, 503, 503]);
  });

  it('calls that cannot be counted are not kept to be counted either', async () => {
    let asked = 0;
    const never = async () => {
      asked += 1;
      return await new Promise<number>(() => {});
    };
    const limit = createLimits({
      rate: { take: never, look: never },
      limits: { perResource: 1, perAddress: 1, refused: 1 },
      addressOf: () => '192.0.2.1',
      log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    });
    const app = new Hono().use(limit.address).get('/', (c) => c.text('served'));
    for (let i = 0; i < 20; i += 1) expect(await (await app.request('/')).text()).toBe('served');
    expect(asked).toBe(1);
  });
});

describe('a command of a connection that gives up', () => {
  async function impatient(ms: number) {
    const proxy = await startRedisProxy(server.socket);
    const connection = connect({ socket: proxy.socket }, () => {});
    await connection.ping();
    giveUpAfter(connection, ms);
    return {
      proxy,
      connection,
      close: async () => {
        connection.disconnect();
        await proxy.close();
      },
    };
  }
  const failure = async (command: Promise<unknown>) => await command.then(() => undefined).catch((error: unknown) => error);

  it('fails, and is not carried out when Redis is back', async () => {
    const { connection, close } = await impatient(100);
    try {
      await server.crash();
      // a MULTI, too
      const given = [connection.set('test:away', 1), connection.multi().set('test:multi', 1).exec()];
      const errors = await Promise.all(given.map(failure));
      expect(errors.map((error) => isRedisOutage(error))).toEqual([true, true]);
      await server.restart();
      await until('it to be back', async () => (await failure(connection.ping())) === undefined);
      expect(await connection.mget('test:away', 'test:multi')).toEqual([null, null]);
    } finally {
      await close();
    }
  });

  it('nor when Redis, which took the connection, goes on after a freeze', async () => {
    const { proxy, connection, close } = await impatient(2_000);
    try {
      const before = proxy.connections();
      // the handshake of the next connection is not answered
      proxy.hold();
      connection.disconnect(true);
      await until('the next connection', () => proxy.connections() > before && connection.status === 'connect');
      expect(isRedisOutage(await failure(connection.set('test:frozen', 1)))).toBe(true);
      proxy.release();
      await until('it to be back', async () => (await failure(connection.ping())) === undefined);
      expect(await connection.get('test:frozen')).toBeNull();
    } finally {
      await close();
    }
  });

  it('has its answer before as always', async () => {
    const { connection, close } = await impatient(5_000);
    try {
      expect(await connection.set('test:fine', 1)).toBe('OK');
      expect(await connection.multi().incr('test:fine').get('test:fine').exec()).toEqual([
        [null, 2],
        [null, '2'],
      ]);
    } finally {
      await close();
    }
  });
});
