// What a dyno is given must be good until its deadline.
import { afterEach, expect, it } from 'vitest';
import { startRedis } from '../support/redis-server.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

it('a task whose credentials would end before its deadline waits for their rotation, and is launched once', async () => {
  const redis = await startRedis();
  ends.push(redis.stop);
  const engine = await startTestEngine(redis, {
    ok: async (dyno) => {
      await dyno.output(5);
      return dyno.accept();
    },
  });
  ends.push(engine.stop);
  const give = async (accessKeyId: string, seconds: number) =>
    await engine.resources.setCredentials(engine.resource, {
      accessKeyId,
      secretAccessKey: 's',
      sessionToken: 't',
      expiresAt: Date.now() + seconds * 1000,
    });
  await give('OLD', 90);
  // long enough for this one
  const short = await engine.ended(engine.upload([{ cmd: 'ok', timeout: 30 }]));
  expect(short.state).toBe('succeeded');
  const runId = engine.upload([{ cmd: 'ok', timeout: 600 }]);
  const refused = await until('its launch to be put off', async () =>
    (await engine.show(runId))?.history.find(({ what }) => what === 'refused'),
  );
  expect(refused.detail).toContain('credentials would end before its deadline');
  expect(engine.cloud.postsOf(runId)).toHaveLength(0);
  await give('NEW', 43_200);
  expect((await engine.ended(runId)).state).toBe('succeeded');
  expect(engine.cloud.postsOf(runId).map(({ order }) => order.env['LD_AWS_ACCESS_KEY_ID'])).toEqual(['NEW']);
});
