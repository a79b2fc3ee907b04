// What Heroku says of the calls that are left reaches the launch budget of a worker.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, it } from 'vitest';
import { createAddonParts } from '../../src/cli/wiring-addon.ts';
import { createDynoPlatform } from '../../src/clients/heroku.ts';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { connect } from '../../src/queues/connection.ts';
import { budgetKey } from '../../src/queues/keys.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { readConfig } from '../../src/schema/config.ts';
import { platformWith } from '../dynos/platform.ts';
import { startRedis } from '../support/redis-server.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

it('is heard where all calls are of one account, that of a token of our own', async () => {
  const server = await startRedis();
  const heroku = createServer((_, response) =>
    response.writeHead(200, { 'content-type': 'application/json', 'ratelimit-remaining': '17' }).end('[]'),
  );
  heroku.listen(0, '127.0.0.1');
  await once(heroku, 'listening');
  const address = heroku.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const redis = connect({ socket: server.socket }, () => {});
  const sealer = createSealer(Buffer.alloc(32, 7));
  const heardWith = async (env: Record<string, string>, permission: 'static' | 'customer' = 'static'): Promise<readonly number[]> => {
    const config = readConfig({
      AUTOFILES_MODE: 'test',
      AUTOFILES_REDIS_SOCKET: server.socket,
      AUTOFILES_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
      HEROKU_API_URL: `http://127.0.0.1:${port}`,
      ...env,
    });
    const heard: number[] = [];
    const parts = createAddonParts({ config, redis, sealer, onError: () => {}, onRateLimit: (remaining) => heard.push(remaining) });
    try {
      await parts.resources.put({
        id: 'r1',
        app: 'app',
        bucket: 'ld-private-r1',
        region: 'us-east-1',
        plan: 'basic',
        permission,
      });
      const customer = { access: 'the-customers-own', refresh: 'x', expiresAt: Date.now() + 3_600_000 };
      if (permission === 'customer') await parts.resources.change('r1', { secrets: { customer } });
      await parts.platform.list('app').catch(() => []);
      return heard;
    } finally {
      await parts.jobs.close();
    }
  };
  try {
    expect(await heardWith({ AUTOFILES_HEROKU_TOKEN: 'HRKU-own' })).toEqual([17]);
    // a call by a customer's token tells of the customer's account
    expect(await heardWith({ AUTOFILES_HEROKU_TOKEN: 'HRKU-own' }, 'customer')).toEqual([]);
  } finally {
    redis.disconnect();
    heroku.close();
    await server.stop();
  }
});

it('keeps every launch within what the platform counts itself: none is sent that it would refuse', async () => {
  // its hour of calls comes back as its clock goes, which stands still
  const time = Date.now();
  const server = await startRedis();
  const platform = await platformWith({}, { appName: 'app', rateLimit: 60, now: () => time });
  let hear: (remaining: number) => void = () => {};
  const own = await startTestEngine(
    server,
    {},
    {
      platform: createDynoPlatform({
        baseUrl: platform.base,
        token: 'secret-token',
        userAgent: 'autofiles',
        now: Date.now,
        onRateLimit: (remaining) => hear(remaining),
      }),
      onRateLimit: (listener) => {
        hear = listener;
      },
      // five saved up, and no other comes while the test lasts; nor is anything but launches called
      launchesPerHour: 1,
      pollMs: 3_600_000,
    },
  );
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const budget = createBudget({ redis: own.redis, perHour: 1, log });
  const counts = async () => {
    const { tokens, launches, throttled } = await budget.state(ADDON_ACCOUNT);
    const theirs = await platform.json<{ remaining: number }>('GET', '/account/rate-limits');
    return { ours: Math.floor(tokens), theirs: theirs.remaining, launches, throttled };
  };
  try {
    // whoever else has the token has made 56 calls
    for (let calls = 0; calls < 56; calls += 1) await platform.call('GET', '/account');
    await own.options.platform.list('app');
    await until('what is left to be heard', async () => (await counts()).ours === 3);
    expect(await counts()).toEqual({ ours: 3, theirs: 3, launches: 0, throttled: 0 });
    await budget.pause(ADDON_ACCOUNT, own.resource);
    const runId = own.upload([{ parallel: Array.from({ length: 10 }, () => ({ cmd: 'true', timeout: 600 })) }]);
    const waiting = async (count: number) =>
      await until(`${count} to wait`, async () => (await budget.outlook(ADDON_ACCOUNT, own.resource, [])).waiting === count);
    await waiting(10);
    // what is granted now is granted together: no answer tells of a call too many in time
    await budget.resume(ADDON_ACCOUNT, own.resource);
    const launched = async () => (await own.show(runId))?.history.filter(({ what }) => what === 'launched').length;
    await until('three launches', async () => (await launched()) === 3);
    await waiting(7);
    expect(await counts()).toEqual({ ours: 0, theirs: 0, launches: 3, throttled: 0 });
    // the platform refuses what comes now: that is what the seven others wait for
    await own.redis.hset(budgetKey(ADDON_ACCOUNT), 'level', 1);
    await until('a refusal', async () => (await counts()).throttled === 1);
    expect(await launched()).toBe(3);
  } finally {
    await own.stop();
    await platform.close();
    await server.stop();
  }
});
