// What Heroku says of the calls that are left reaches the launch budget of a worker.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, it } from 'vitest';
import { createAddonParts } from '../../src/cli/wiring-addon.ts';
import { connect } from '../../src/queues/connection.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { readConfig } from '../../src/schema/config.ts';
import { startRedis } from '../support/redis-server.ts';

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
