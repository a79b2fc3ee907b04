// Reads of logs are calls of the account by which everybody's tasks are launched.
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { limitedLogs } from '../../src/processors/limited-logs.ts';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { createRateLimit } from '../../src/queues/rate-limit.ts';
import { startRedis } from '../support/redis-server.ts';

it('each read is charged to the budget, and one app has so many a minute', async () => {
  const server = await startRedis();
  const redis = new Redis({ path: server.socket });
  try {
    const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
    const budget = createBudget({ redis, perHour: 4_050, log: quiet });
    const platform = {
      log: async (app: string) => await Promise.resolve([app]),
      follow: async function* (app: string) {
        yield await Promise.resolve(app);
      },
    };
    const logs = limitedLogs(platform, { rate: createRateLimit({ redis }), budget, account: ADDON_ACCOUNT, perMinute: 3 });
    const followed = async () => {
      for await (const line of logs.follow('mine', 'run.1', { after: 0, signal: AbortSignal.timeout(10_000) })) return line;
      return undefined;
    };
    expect([await logs.log('mine', 'run.1', 10), await logs.log('mine', 'run.1', 10), await followed()]).toEqual([
      ['mine'],
      ['mine'],
      'mine',
    ]);
    for (const read of [logs.log('mine', 'run.1', 10), followed()])
      await expect(read).rejects.toMatchObject({ code: 'rate_limited', retryAfter: expect.any(Number) });
    expect(await logs.log('other', 'run.1', 10)).toEqual(['other']);
    expect((await budget.state(ADDON_ACCOUNT)).calls).toBe(4);
    // on one's own machine nobody takes calls from others
    const unlimited = limitedLogs(platform, { rate: createRateLimit({ redis }), budget, account: ADDON_ACCOUNT, perMinute: undefined });
    for (let i = 0; i < 5; i += 1) expect(await unlimited.log('mine', 'run.1', 10)).toEqual(['mine']);
  } finally {
    redis.disconnect();
    await server.stop();
  }
});
