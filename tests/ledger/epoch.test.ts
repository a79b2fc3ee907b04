// A loss of Redis is noticed by every worker at once; one of them puts things right, once.
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { within } from '../../src/clients/deadline.ts';
import type { ObjectStore } from '../../src/clients/ports.ts';
import { STORE_KEY, shardKeys } from '../../src/queues/keys.ts';
import { FAILPOINTS } from '../../src/schema/failpoint.ts';
import { Failure } from '../../src/schema/failures.ts';
import type { TestRedis } from '../support/redis-server.ts';
import { until } from '../support/until.ts';
import { ends, gateBefore, start } from './epoch-workers.ts';

const steps = Object.keys(FAILPOINTS).filter((name) => name.startsWith('recovery.'));
it.each(steps)('a recovery that breaks off at %s is gone on with, and nothing is whole before its end', async (step) => {
  const { worker, witness } = await start();
  let brokenOff = 0;
  const sure: (number | undefined)[] = [];
  const failpoint = (name: string) => {
    if (name !== step || brokenOff > 0) return;
    brokenOff += 1;
    sure.push(first.whole());
    throw new Error('it breaks off');
  };
  const first: ReturnType<typeof worker> = worker('first', { failpoint });
  await until('the first is sure', () => first.whole() !== undefined);
  const before = first.whole();
  await first.connection.flushall();
  await until('it to break off', () => brokenOff > 0);
  await until('the first is sure again', () => first.whole() !== undefined && first.whole() !== before);
  expect(sure).toEqual([undefined]);
  const epoch = Number(await first.connection.hget(STORE_KEY, 'epoch'));
  expect(epoch).toBeGreaterThan(1);
  expect(first.epoch()).toBe(epoch);
  expect(witness()).toMatchObject({ epoch });
  expect(witness()).not.toHaveProperty('recovering');
});

it('emptied under several workers: the epoch is raised once, although each of them noticed', async () => {
  const { redis, worker, raised } = await start();
  let gated = false;
  const gate = gateBefore(() => late.watch.hold);
  const late: ReturnType<typeof worker> = worker('late', {
    hold: async (what, ms) => await (gated ? gate.hold : late.watch.hold)(what, ms),
  });
  const quick = worker('quick');
  await until('both are sure', () => late.whole() !== undefined && quick.whole() !== undefined);
  gated = true;
  await redis.wipe();
  await gate.waiting;
  await until('the quick one put things right', () => raised.length > 0 && quick.whole() !== undefined);
  gate.open();
  await until('the late one is sure', () => late.whole() !== undefined);
  expect(raised).toEqual(['quick']);
  expect(await quick.connection.hget(STORE_KEY, 'epoch')).toBe('2');
});

/** Ways in which Redis loses everything. */
const LOSSES = {
  'that breaks the connections': async ({ redis }) => await redis.wipe(),
  // FLUSHALL, or a failover behind a proxy that keeps its clients
  'that breaks no connection': async ({ connection }) => {
    await connection.flushall();
  },
} satisfies Record<string, (of: { redis: TestRedis; connection: Redis }) => Promise<void>>;

describe.each(Object.entries(LOSSES))('after a loss %s', (_, lose) => {
  /** Two workers of which one puts back what was lost, and stands in the middle of that. */
  async function startRecovery() {
    const { redis, cloud, worker, raised, witness } = await start();
    let slow = false;
    const open = Promise.withResolvers<void>();
    const began = Promise.withResolvers<string>();
    const storeOf = (name: string): Partial<ObjectStore> => ({
      keys: async (...args) => {
        if (slow) {
          began.resolve(name);
          await open.promise;
        }
        return await cloud.store.keys(...args);
      },
    });
    const workers = { one: worker('one', { store: storeOf('one') }), two: worker('two', { store: storeOf('two') }) };
    ends.push(open.resolve);
    const all = Object.values(workers);
    await until('both are sure', () => all.every(({ whole }) => whole() !== undefined));
    const before = all.map(({ whole }) => whole());
    slow = true;
    const { connection } = workers.one;
    await lose({ redis, connection });
    const [maker, other] = (await began.promise) === 'one' ? [workers.one, workers.two] : [workers.two, workers.one];
    // a loss that breaks no connection is noticed by each at its own next beat
    await until('both to have noticed', () => all.every(({ whole }) => whole() === undefined));
    return { all, before, maker, other, connection, open: open.resolve, raised, witness };
  }

  it('whoever asks meanwhile is answered at once, also by the one that makes it', async () => {
    const { maker, other } = await startRecovery();
    for (const { settled } of [maker, other])
      for (const anew of [false, true])
        await expect(within({}, 10_000, () => settled(anew))).rejects.toMatchObject({ code: 'redis_unavailable' });
  });

  it('a recovery that takes long stays with the one that makes it, and nothing is whole before its end', async () => {
    const { all, other, connection, open, raised, witness } = await startRecovery();
    const lock = shardKeys(0).lock('epoch');
    let lowest = Number.POSITIVE_INFINITY;
    await until('the lock to be held on to', async () => {
      const left = await connection.pttl(lock);
      const renewed = left > lowest + 1_000;
      lowest = Math.min(lowest, left);
      return renewed;
    });
    expect(all.map(({ whole }) => whole())).toEqual([undefined, undefined]);
    await expect(other.settled(true)).rejects.toMatchObject({ code: 'redis_unavailable' });
    expect(witness()).toMatchObject({ epoch: 2, recovering: true });
    open();
    await until('all is whole', () => all.every(({ whole }) => whole() !== undefined));
    expect(raised).toHaveLength(1);
    expect(witness()).toMatchObject({ epoch: 2 });
    expect(witness().recovering).toBeUndefined();
  });

  it('what was recorded before it counts as recorded on another Redis', async () => {
    const { all, before, open } = await startRecovery();
    open();
    await until('all is whole', async () =>
      (await Promise.all(all.map((one) => one.settled().catch(() => 0)))).every((epoch) => epoch === 2),
    );
    for (const [i, { whole }] of all.entries()) expect(whole()).not.toBe(before[i]);
  });
});

it('who waits for a look that finds a loss does not wait until all is back', async () => {
  const { cloud, worker } = await start();
  const open = Promise.withResolvers<void>();
  let lost = false;
  const gate = gateBefore(() => one.watch.hold);
  const one: ReturnType<typeof worker> = worker('one', {
    hold: async (what, ms) => await (lost ? gate.hold : one.watch.hold)(what, ms),
    store: {
      keys: async (...args) => {
        await open.promise;
        return await cloud.store.keys(...args);
      },
    },
  });
  ends.push(open.resolve);
  await until('it is sure', () => one.whole() !== undefined);
  lost = true;
  await one.connection.flushall();
  await gate.waiting;
  const asked = one.settled();
  gate.open();
  await expect(within({}, 10_000, () => asked)).rejects.toMatchObject({ code: 'redis_unavailable' });
});

it('a recovery that broke off goes on in the same epoch', async () => {
  const { redis, cloud, worker, raised, said } = await start();
  let failures = 0;
  const store: Partial<ObjectStore> = {
    keys: async (...args) => {
      if (failures > 0) {
        failures -= 1;
        throw new Failure('s3_unavailable', 'LIST: HTTP 503 SlowDown.');
      }
      return await cloud.store.keys(...args);
    },
  };
  const one = worker('one', { store });
  await until('it is sure', () => one.whole() !== undefined);
  failures = 3;
  await redis.wipe();
  await until('all is whole', () => raised.length > 0 && one.whole() !== undefined);
  expect(said.filter((text) => text.endsWith('turn failed'))).toHaveLength(3);
  expect(await one.connection.hget(STORE_KEY, 'epoch')).toBe('2');
});

it('a Redis that is started anew while what it lost is put back gets all back once more', async () => {
  // the lock of the one that makes it is there afterwards
  const { redis, worker, raised, said } = await start({ fsync: 'always' });
  let anew = false;
  const onRecovered = async () => {
    if (anew) await redis.crashAndRestart();
    anew = false;
  };
  const one = worker('one', { onRecovered });
  await until('it is sure', () => one.whole() !== undefined);
  anew = true;
  await one.connection.flushall();
  await until('all is whole', () => raised.length > 0 && one.whole() !== undefined, 30_000);
  expect(said.filter((text) => text.endsWith('recovered what Redis and the archive have'))).toHaveLength(2);
  expect(await one.connection.hget(STORE_KEY, 'epoch')).toBe('2');
}, 60_000);

it.each([
  ['emptied', async ({ connection }: { connection: Redis }) => void (await connection.flushall())],
  ['emptied and started anew', async ({ redis }: { redis: TestRedis }) => await redis.wipe()],
  ['rolled back', async ({ rollBack }: { rollBack: (() => Promise<void>) | undefined }) => await rollBack?.()],
])(
  'a Redis that is %s just before the epoch begins gets all back once more',
  async (_how, lose) => {
    const { redis, cloud, worker } = await start({ fsync: 'always' });
    let losses = 0;
    let rollBack: (() => Promise<void>) | undefined;
    const one: ReturnType<typeof worker> = worker('one', {
      onRecovered: async () => {
        rollBack ??= await redis.remember();
        // what was put back last
        await one.connection.set('back', '1');
      },
      store: {
        put: async (...args) => {
          const kept = await cloud.store.put(...args);
          const [, key, body] = args;
          if (key !== 'store.json' || rollBack === undefined || String(body).includes('recovering') || losses > 0) return kept;
          losses += 1;
          await lose({ redis, rollBack, connection: one.connection });
          return kept;
        },
      },
    });
    await until('it is sure', () => one.whole() !== undefined);
    const before = one.whole();
    await one.connection.flushall();
    await until('all is whole', () => losses > 0 && one.whole() !== undefined && one.whole() !== before, 30_000);
    expect(await one.connection.get('back')).toBe('1');
  },
  60_000,
);

it('a worker that ends when all is back and not all buckets are due yet leaves that to another one', async () => {
  const { redis, worker, raised } = await start();
  let kills = 1;
  const ends = (kill: () => void) => ({
    onRecovered: async () => {
      if (kills === 0) return;
      kills -= 1;
      kill();
      await Promise.reject(new Error('killed'));
    },
  });
  const one: ReturnType<typeof worker> = worker(
    'one',
    ends(() => one.connection.disconnect()),
  );
  const two: ReturnType<typeof worker> = worker(
    'two',
    ends(() => two.connection.disconnect()),
  );
  await until('both are sure', () => one.whole() !== undefined && two.whole() !== undefined);
  await redis.wipe();
  await until('the other one made it', () => raised.length === 1, 30_000);
  const [left] = raised;
  await until('it is sure', () => (left === 'one' ? one : two).whole() !== undefined);
});
