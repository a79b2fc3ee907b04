// The wall between tenants: every route × everybody who may knock. A route without a row fails.
import { createHash, randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXAMPLE_ENDED, EXAMPLE_RUN, EXAMPLE_TOKEN, EXAMPLE_WEBHOOK } from '../../src/http/api-examples.ts';
import { resourceKey, shardKeys, tokensKey, webhookKeys } from '../../src/queues/keys.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createSessions } from '../../src/queues/sessions.ts';
import { createTokens } from '../../src/queues/tokens.ts';
import { root, runStore, type TestStore } from '../store/running-store.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { createBucket } from '../support/store-bucket.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { makeExampleWorld } from './example-world.ts';
import { BOARD, CALLERS, type Caller, OPEN, type Row, rowless, WALL } from './wall-table.ts';

const PASSWORD = 'super-secret-password';
const OPERATOR = 'an-operator-password';
const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

let server: TestRedis;
let store: TestStore;
let redis: Redis;
let web: TestWeb;
const other = randomUUID();
const removed = randomUUID();
const papers = new Map<Caller, Readonly<Record<string, string>>>();

beforeAll(async () => {
  server = await startRedis();
  store = await runStore();
  redis = new Redis({ path: server.socket });
  web = await openTestWeb(server, {
    env: {
      // all routes are there
      AUTOFILES_CUSTOMER_OAUTH_ID: 'client',
      AUTOFILES_CUSTOMER_OAUTH_SECRET: 'secret',
      AUTOFILES_PUBLIC_URL: 'http://127.0.0.1:1',
      AUTOFILES_ARCHIVE_BUCKET: 'autofiles-archive',
      AUTOFILES_S3_ENDPOINT: store.endpoint,
      AUTOFILES_ACCESS_KEY_ID: root.accessKeyId,
      AUTOFILES_SECRET_ACCESS_KEY: root.secretAccessKey,
      AUTOFILES_ADDON_PASSWORD: PASSWORD,
      AUTOFILES_OPERATOR_PASSWORD: OPERATOR,
      AUTOFILES_SSO_SALT: 'a-salt-of-sixteen-characters',
    },
  });
});
afterAll(async () => {
  await web?.close();
  redis?.disconnect();
  await store?.close();
  await server?.stop();
});

/** Tenant A is the one of the examples; everybody has real papers. */
async function makeWorld(): Promise<void> {
  await makeExampleWorld({ redis, store, resource: web.resource });
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  await createBucket(store, 'ld-private-other');
  for (const [id, bucket] of [
    [other, 'ld-private-other'],
    [removed, 'ld-private-removed'],
  ] as const)
    await resources.put({ id, app: `app-${id}`, bucket, region: 'us-east-1', plan: 'basic' });
  const tokens = createTokens({ redis, now: Date.now });
  const sessions = createSessions({ redis });
  const token = async (resource: string, scope: 'read' | 'write') => ({
    authorization: `Bearer ${(await tokens.make({ resource, scope, name: scope, by: 'test' })).token}`,
  });
  const session = async (resource: string) => {
    const secret = await sessions.begin({ resource, by: 'sso', name: 'owner@example.com' });
    return { cookie: `autofiles=${secret}`, 'x-csrf-token': createHash('sha256').update(`csrf\n${secret}`).digest('base64url') };
  };
  papers.set('none', {});
  papers.set('owner', await session(web.resource));
  papers.set('token', await token(web.resource, 'write'));
  papers.set('viewer', await token(web.resource, 'read'));
  papers.set('other', await token(other, 'write'));
  papers.set('other session', await session(other));
  papers.set('removed', await token(removed, 'write'));
  papers.set('removed session', await session(removed));
  papers.set('partner', { authorization: basic('line-d', PASSWORD) });
  papers.set('operator', { authorization: basic('operator', OPERATOR) });
  // its removal has begun: keys and sessions go later, access goes at once
  await resources.change(removed, { from: ['', 'provisioned'], set: { state: 'deprovisioning' } });
}

/** What stands of tenant A. */
async function standing(): Promise<string> {
  const hashes = [EXAMPLE_RUN, EXAMPLE_ENDED].map((id) => shardKeys(0).run(id));
  const { all } = webhookKeys(web.resource);
  return JSON.stringify(
    await Promise.all([...hashes, all, tokensKey(web.resource), resourceKey(web.resource)].map((key) => redis.hgetall(key))),
  );
}

async function knock(caller: Caller, route: string, { path, body, form }: Row): Promise<{ status: number; text: string }> {
  const [method = '', pattern = ''] = route.split(' ');
  const known: Readonly<Record<string, string>> = { '{A}': web.resource, '{token}': EXAMPLE_TOKEN, '{webhook}': EXAMPLE_WEBHOOK };
  const fill = (text: string) => text.replace(/\{\w+\}/g, (name) => known[name] ?? name);
  const filled = fill(path ?? pattern)
    .replace(':id', pattern.includes('tokens') ? EXAMPLE_TOKEN : pattern.includes('webhooks') ? EXAMPLE_WEBHOOK : EXAMPLE_RUN)
    .replace(':task', `${EXAMPLE_RUN}.0.0`);
  const stop = new AbortController();
  const response = await web.fetch(
    new Request(`http://127.0.0.1${filled}`, {
      method,
      headers: {
        host: '127.0.0.1',
        ...(form === undefined ? { 'content-type': 'application/json' } : {}),
        ...papers.get(caller),
      },
      ...(method === 'GET'
        ? {}
        : {
            body:
              form === undefined
                ? JSON.stringify(body ?? {})
                : new URLSearchParams(Object.fromEntries(Object.entries(form).map(([name, value]) => [name, fill(value)]))),
          }),
      signal: stop.signal,
    }),
  );
  const { status } = response;
  // a stream goes on until its reader leaves
  const endless = response.headers.get('content-type')?.includes('event-stream') === true;
  const text = endless ? '' : await response.text();
  stop.abort();
  return { status, text };
}

const served = () => [...new Set(web.routes.filter(({ method }) => method !== 'ALL').map(({ method, path }) => `${method} ${path}`))];

describe('the table', () => {
  it('has a row for every route, and for nothing else', () => {
    expect(rowless(served())).toEqual([]);
    expect(Object.keys(WALL).filter((route) => !served().includes(route))).toEqual([]);
  });

  it('misses a route that somebody adds', () => {
    expect(rowless([...served(), 'POST /v1/backdoor', 'GET /admin/queue'])).toEqual(['POST /v1/backdoor', 'GET /admin/queue']);
  });
});

/** Answers in which a thing of tenant A would be a leak. */
const FOREIGN: readonly Caller[] = ['none', 'removed', 'removed session', 'other', 'other session'];

describe('everybody at every door', () => {
  let untouched = '';
  it.each(Object.entries(WALL))('%s', async (route, row) => {
    const found: Partial<Record<Caller, number>> = {};
    for (const caller of CALLERS) {
      const mine = caller === 'token' || caller === 'owner';
      if (untouched === '' || (await standing()) !== untouched) {
        await makeWorld();
        untouched = await standing();
      }
      const { status, text } = await knock(caller, route, row);
      found[caller] = status;
      if (FOREIGN.includes(caller)) {
        // the document's own example has the title, too
        const secrets = [web.resource, 'ld-private-example', 'ASIAEXAMPLE', ...(row === OPEN ? [] : ['Thumbnails'])];
        expect([caller, secrets.filter((secret) => text.includes(secret))]).toEqual([caller, []]);
      }
      // Heroku may change plans, an operator may order a rotation; nobody else changes what is not theirs
      if (!mine) expect(await standing(), caller).toBe(untouched);
    }
    // sessions are nothing that `standing` sees
    if (route === 'POST /session/end') untouched = '';
    const expected = Object.fromEntries(CALLERS.map((caller, i) => [caller, Number(row.statuses.split(' ')[i])]));
    expect(found).toEqual(expected);
  });

  it('a thing of another tenant is answered for as one that never was', async () => {
    await makeWorld();
    const never = 'r0-0000000000000000dead';
    const doors = Object.entries(WALL).filter(
      ([route, { statuses }]) => route.includes('/v1/runs/:id') && statuses.split(' ')[5] === '404',
    );
    expect(doors.length).toBeGreaterThan(4);
    for (const [route, row] of doors) {
      const theirs = await knock('other', route, {
        ...row,
        path: (row.path ?? route.split(' ')[1] ?? '').replace(/:id|r0-\w{20}/, EXAMPLE_RUN),
      });
      const nobodys = await knock('other', route, {
        ...row,
        path: (row.path ?? route.split(' ')[1] ?? '').replace(/:id|r0-\w{20}/, never),
      });
      expect([route, theirs.status, theirs.text.replaceAll(EXAMPLE_RUN, never)]).toEqual([route, nobodys.status, nobodys.text]);
    }
  });

  it('bull-board is there for operators alone', async () => {
    await makeWorld();
    for (const route of served().filter((one) => BOARD.test(one))) {
      for (const caller of CALLERS.filter((one) => one !== 'operator')) {
        const { status } = await knock(caller, route, { statuses: '' });
        expect([route, caller, status]).toEqual([route, caller, 404]);
      }
    }
    expect((await knock('operator', 'GET /admin/queues', { statuses: '' })).status).toBe(200);
  });
});
