// Jobs of whole resources, and what is found of a resource when its end and its coming back meet: both found by chaos.
import { randomUUID } from 'node:crypto';
import { Worker } from 'bullmq';
import { afterEach, expect, it } from 'vitest';
import { connect } from '../../src/queues/connection.ts';
import { ADDON_PREFIX, ADDON_QUEUE, bucketKey, RESOURCES_KEY } from '../../src/queues/keys.ts';
import { createResourceBackup } from '../../src/queues/resource-backup.ts';
import { createResourceJobs } from '../../src/queues/resource-jobs.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { startRedis } from '../support/redis-server.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start() {
  const server = await startRedis();
  const redis = connect({ socket: server.socket }, () => {});
  ends.push(server.stop, () => redis.disconnect());
  return redis;
}

it('a job that a worker put minutes ahead is tried as soon as somebody orders it again', async () => {
  const redis = await start();
  const jobs = createResourceJobs({ connection: redis, onError: () => {} });
  ends.push(jobs.close);
  let tries = 0;
  const worker = new Worker(
    ADDON_QUEUE,
    async () => {
      tries += 1;
      await (tries === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve());
    },
    { connection: redis, prefix: ADDON_PREFIX, settings: { backoffStrategy: () => 360_000 } },
  );
  ends.push(async () => await worker.close());
  const failed = new Promise((resolve) => worker.once('failed', resolve));
  await jobs.add({ kind: 'deprovision', resource: 'one' });
  await failed;
  await Promise.all([jobs.add({ kind: 'deprovision', resource: 'one' }), jobs.add({ kind: 'deprovision', resource: 'one' })]);
  // of two who order it the slower one may come when that try is over and done with, and leads to one more
  await until('its second try', () => tries >= 2);
});

it('a resource whose removal ends while it is put back is found nowhere', async () => {
  const redis = await start();
  const resources = createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });
  const id = randomUUID();
  const bucket = `ld-private-${id}`;
  await resources.put({ id, app: '', bucket, region: 'us-east-1', plan: 'basic' });
  await resources.change(id, { from: ['', 'provisioned'], set: { state: 'deprovisioning' } });
  const resource = await resources.get(id);
  if (resource === undefined) throw new Error('no resource');
  // between the look at the record and the putting back
  let buried = false;
  const late = new Proxy(redis, {
    get: (target, name) => {
      if (name !== 'setnx') return Reflect.get(target, name);
      return async (key: string, value: string) => {
        if (!buried) await resources.bury(resource);
        buried = true;
        return await target.setnx(key, value);
      };
    },
  });
  const backup = createResourceBackup({ redis: late });
  const { text } = (await backup.dump(id)) ?? { text: '' };
  await backup.restore(text);
  expect(buried).toBe(true);
  expect(await resources.stateOf(id)).toBe('removed');
  expect(await redis.exists(bucketKey(bucket))).toBe(0);
  expect(await redis.sismember(RESOURCES_KEY, id)).toBe(0);
});
