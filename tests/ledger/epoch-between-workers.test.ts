// What is lost while no worker is there, or while the number of shards is raised.
import { describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../src/clients/ports.ts';
import { connect } from '../../src/queues/connection.ts';
import { LAYOUT_KEY, STORE_KEY } from '../../src/queues/keys.ts';
import { openLayout } from '../../src/queues/layout.ts';
import { until } from '../support/until.ts';
import { ends, gateBefore, start } from './epoch-workers.ts';

describe('when the last worker has ended and Redis started anew', () => {
  it('a worker that starts takes what it finds for a loss where nobody can tell that it is none', async () => {
    const { redis, cloud, worker, raised } = await start({ fsync: 'always' });
    let dead = false;
    const store: Partial<ObjectStore> = {
      put: async (...args) => (dead ? await Promise.reject(new Error('killed')) : await cloud.store.put(...args)),
    };
    const last = worker('last', { store });
    await until('it is sure', () => last.whole() !== undefined);
    // no witness is written of what comes now: the last one is younger than half a minute
    const rollBack = await redis.remember();
    const beat = async () => Number(await last.connection.hget(STORE_KEY, 'beat'));
    const before = await beat();
    await until('beats that are lost', async () => (await beat()) >= before + 2);
    dead = true;
    await last.stop();
    last.connection.disconnect();
    await rollBack();

    const fresh = worker('fresh');
    await until('the fresh one is sure', () => fresh.whole() !== undefined, 30_000);
    expect(raised).toEqual(['fresh']);
    expect(await fresh.connection.hget(STORE_KEY, 'epoch')).toBe('2');
  });

  it('workers that start go on where those before them say that they left off', async () => {
    const { redis, worker, raised } = await start({ fsync: 'always' });
    const before = ['one', 'two'].map((name) => worker(name));
    await until('both are sure', () => before.every(({ whole }) => whole() !== undefined));
    await Promise.all(before.map(async ({ stop }) => await stop()));
    for (const { connection } of before) connection.disconnect();
    await redis.crashAndRestart();

    const after = ['three', 'four'].map((name) => worker(name));
    await until('they are sure', () => after.every(({ whole }) => whole() !== undefined));
    expect(raised).toEqual([]);
    expect(await after[0]?.connection.hget(STORE_KEY, 'epoch')).toBe('1');
  });

  it('nobody counts on after the last witness: what is still under way in a worker that ends finds Redis not whole', async () => {
    const { redis, cloud, worker, raised } = await start({ fsync: 'always' });
    const open = Promise.withResolvers<void>();
    const leaving = Promise.withResolvers<void>();
    let ending = false;
    const last = worker('last', {
      store: {
        put: async (...args) => {
          if (ending) {
            leaving.resolve();
            await open.promise;
          }
          return await cloud.store.put(...args);
        },
      },
    });
    ends.push(open.resolve);
    await until('it is sure', () => last.whole() !== undefined);
    ending = true;
    const stopped = last.stop();
    await leaving.promise;
    const asked = await last.settled(true).catch((error: unknown) => error);
    open.resolve();
    await stopped;
    last.connection.disconnect();
    await redis.crashAndRestart();

    const next = worker('next');
    await until('the next one is sure', () => next.whole() !== undefined, 30_000);
    expect(raised).toEqual([]);
    expect(asked).toMatchObject({ code: 'redis_unavailable' });
    expect(last.whole()).toBeUndefined();
  });

  it('a last count that was sent again to a Redis that was rolled back vouches for nothing', async () => {
    const { redis, worker, raised } = await start({ fsync: 'always' });
    let ending = false;
    const gate = gateBefore(() => last.watch.hold);
    const last: ReturnType<typeof worker> = worker('last', {
      hold: async (what, ms) => await (ending ? gate.hold : last.watch.hold)(what, ms),
    });
    await until('it is sure', () => last.whole() !== undefined);
    const rollBack = await redis.remember();
    const beat = async () => Number(await last.connection.hget(STORE_KEY, 'beat'));
    const before = await beat();
    await until('beats that are lost', async () => (await beat()) >= before + 4);
    ending = true;
    const stopped = last.stop();
    await gate.waiting;
    await rollBack();
    gate.open();
    await stopped;
    last.connection.disconnect();

    const fresh = worker('fresh');
    await until('the fresh one is sure', () => fresh.whole() !== undefined, 30_000);
    expect(raised).toEqual(['fresh']);
    expect(await fresh.connection.hget(STORE_KEY, 'epoch')).toBe('2');
  });

  it('a worker that starts leaves it to one that was there before', async () => {
    const { redis, worker, raised } = await start({ fsync: 'always' });
    const old = worker('old');
    await until('it is sure', () => old.whole() !== undefined);
    await redis.crashAndRestart();
    const fresh = worker('fresh');
    await until('both are sure', () => old.whole() !== undefined && fresh.whole() !== undefined, 30_000);
    expect(raised).toEqual([]);
    expect(await old.connection.hget(STORE_KEY, 'epoch')).toBe('1');
  });
});

it('what was lost may come back until its own bucket was swept, however long that takes', async () => {
  const { redis, worker } = await start();
  let passed = 0;
  let swept = 0;
  const one = worker('one', {
    now: () => Date.now() + passed,
    recovered: async (resource) => await Promise.resolve(resource === 'swept' ? swept : 0),
  });
  await until('it is sure', () => one.whole() !== undefined);
  expect(await one.recovering('swept')).toBe(false);
  await redis.wipe();
  await until('the next epoch', async () => (await one.settled().catch(() => 0)) === 2, 30_000);
  expect(await one.recovering('swept')).toBe(true);
  // hours, as many large buckets one after the other take
  passed = 12 * 3_600_000;
  expect(await one.recovering('swept')).toBe(true);
  swept = 2;
  expect(await one.recovering('swept')).toBe(false);
  expect(await one.recovering('not swept')).toBe(true);
  // an event is kept for no longer
  passed = 15 * 86_400_000;
  expect(await one.recovering('not swept')).toBe(false);
}, 60_000);

describe('Redis comes back from before the number of shards was raised', () => {
  async function rolledBack() {
    const started = await start();
    const eye = connect({ socket: started.redis.socket }, () => {});
    ends.push(() => eye.disconnect());
    // milliseconds; a minute in production
    const open = async (wanted?: number) => await openLayout({ redis: eye, margin: 1, ...(wanted === undefined ? {} : { wanted }) });
    const before = JSON.stringify((await open(1)).entries());
    const layout = await open(8);
    const first = started.worker('first', { layout });
    await until('a witness of it', () => first.whole() !== undefined && started.witness().layout?.length === 2);
    await first.stop();
    await eye.set(LAYOUT_KEY, before);
    await eye.hset(STORE_KEY, 'beat', 0);
    return { ...started, open, entries: layout.entries() };
  }

  it('a worker that starts meanwhile has it as it was, and tells the archive nothing else', async () => {
    const { worker, witness, open, entries, raised } = await rolledBack();
    const [one, other] = [await open(), await open()];
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const restores = worker('restores', {
      layout: one,
      onRecovered: async () => {
        reached.resolve();
        await gate.promise;
      },
    });
    await reached.promise;
    const late = worker('late', { layout: other });
    await late.settled().catch(() => {});
    gate.resolve();
    await until('both are sure', () => restores.whole() !== undefined && late.whole() !== undefined);
    expect(raised).toEqual(['restores']);
    expect(other.entries()).toEqual(entries);
    expect(witness().layout).toEqual(entries);
  });

  it('what was known before stands, and not the longer list of those who came after', async () => {
    const { worker, witness, open, entries } = await rolledBack();
    await open(3);
    const layout = await open(4);
    expect(layout.entries().map(([count]) => count)).toEqual([1, 3, 4]);
    const restores = worker('restores', { layout });
    await until('it is sure', () => restores.whole() !== undefined);
    expect(layout.entries()).toEqual([...entries, [4, expect.any(Number)]]);
    expect(witness().layout).toEqual(layout.entries());
  });
});
