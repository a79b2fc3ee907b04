// Workers that saw different things of a Redis count on it only together: nobody vouches for what another one saw.
import { expect, it } from 'vitest';
import type { ObjectStore } from '../../src/clients/ports.ts';
import { STORE_KEY } from '../../src/queues/keys.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { until } from '../support/until.ts';
import { ends, gateBefore, seenByOneAlone, start } from './epoch-workers.ts';

it('a worker that was held up takes the witness of another one for no loss', async () => {
  const { worker, raised, witness } = await start();
  const first = worker('first');
  await until('the first is sure', () => first.whole() !== undefined);
  // its beat was counted, and then it froze
  const gate = gateBefore(() => late.watch.hold);
  const late: ReturnType<typeof worker> = worker('late', { hold: gate.hold });
  await gate.waiting;
  await until('beats that it did not see', async () => Number(await first.connection.hget(STORE_KEY, 'beat')) > 2);
  const third = worker('third');
  await until('a witness of what came after', async () => third.whole() !== undefined && witness().beat > 2);
  gate.open();
  await until('the late one is sure too', () => late.whole() !== undefined);
  expect(raised).toEqual([]);
  expect(await first.connection.hget(STORE_KEY, 'epoch')).toBe('1');
});

it('a worker that saw nothing of what was lost waits for those that did', async () => {
  const { redis, worker, raised } = await start({ fsync: 'always' });
  const proxy = await startRedisProxy(redis.socket);
  ends.push(proxy.close);
  let gated = false;
  const gate = gateBefore(() => seer.watch.hold);
  const seer: ReturnType<typeof worker> = worker('seer', {
    hold: async (what, ms) => await (gated ? gate.hold : seer.watch.hold)(what, ms),
  });
  const blind = worker('blind', { socket: proxy.socket });
  await until('both are sure', () => seer.whole() !== undefined && blind.whole() !== undefined);
  proxy.hold();
  await until('the blind one to be held up', () => proxy.held() > 0);
  const rollBack = await redis.remember();
  const beat = async () => Number(await seer.connection.hget(STORE_KEY, 'beat'));
  const before = await beat();
  await until('beats that only one sees', async () => (await beat()) >= before + 2);
  gated = true;
  await rollBack();
  await gate.waiting;
  const connections = proxy.connections();
  proxy.release();
  await until('the blind one to be back', () => proxy.connections() > connections || blind.connection.status === 'ready');
  // that may be the look in which it was held up; the next one is one of now
  await blind.settled().catch(() => {});
  await expect(blind.settled()).rejects.toMatchObject({ code: 'redis_unavailable' });
  gate.open();
  await until('both are sure again', () => seer.whole() !== undefined && blind.whole() !== undefined, 30_000);
  expect(raised).toEqual(['seer']);
  expect(await seer.connection.hget(STORE_KEY, 'epoch')).toBe('2');
});

it('a count that is sent again to another start of Redis vouches for nothing before those that saw more can tell', async () => {
  const { redis, worker, raised, witness } = await start({ fsync: 'always' });
  const { away, blinded, seer, blind, eye, beat, rollBack } = await seenByOneAlone(redis, worker);
  const { server } = witness();
  await rollBack();
  // asked now: between the copy and a look at it there may have been a beat
  const back = await beat();
  blinded.release();
  await until('the count to arrive again', async () => (await beat()) > back);
  const fresh = worker('fresh');
  const up = async () => Number(/uptime_in_seconds:(\d+)/.exec(await eye.info('server'))?.[1]);
  await until('the others had time to look', async () => (await up()) >= 3);
  expect(witness().server).toBe(server);
  expect(fresh.whole()).toBeUndefined();
  away.release();
  await until('all are sure again', () => [seer, blind, fresh].every((each) => each.whole() !== undefined), 30_000);
  expect(raised).toEqual(['seer']);
});

it('a worker that waits for a Redis that was started anew tells when it loses what others count meanwhile', async () => {
  const { redis, cloud, worker, raised } = await start({ fsync: 'always' });
  const proxy = await startRedisProxy(redis.socket);
  ends.push(proxy.close);
  const waits = worker('waits', { socket: proxy.socket });
  const leaves = worker('leaves');
  await until('both are sure', () => waits.whole() !== undefined && leaves.whole() !== undefined);
  proxy.hold();
  await until('the one to be held up', () => proxy.held() > 0);
  await leaves.stop();
  await redis.crashAndRestart();
  let dead = false;
  const fresh = worker('fresh', {
    store: { put: async (...args) => (dead ? await Promise.reject(new Error('killed')) : await cloud.store.put(...args)) },
  });
  await until('one that finds what was left to go on', () => fresh.whole() !== undefined);
  const beat = async () => Number(await fresh.connection.hget(STORE_KEY, 'beat'));
  proxy.release();
  await until('the one that waits to be back', () => waits.connection.status === 'ready');
  const rollBack = await redis.remember();
  const before = await beat();
  await until('beats that are seen by one that waits', async () => (await beat()) >= before + 4);
  expect(waits.whole()).toBeUndefined();
  dead = true;
  await fresh.stop();
  fresh.connection.disconnect();
  await rollBack();
  await until('the other to be sure', () => waits.whole() !== undefined, 30_000);
  expect(raised).toEqual(['waits']);
});

it('a worker that starts on a Redis that was rolled back does not count past what another one saw', async () => {
  const { redis, cloud, worker, raised } = await start({ fsync: 'always' });
  let dead = false;
  const store: Partial<ObjectStore> = {
    put: async (...args) => (dead ? await Promise.reject(new Error('killed')) : await cloud.store.put(...args)),
  };
  const proxy = await startRedisProxy(redis.socket);
  ends.push(proxy.close);
  const seer = worker('seer', { socket: proxy.socket });
  const other = worker('other', { store });
  await until('both are sure', () => seer.whole() !== undefined && other.whole() !== undefined);
  const rollBack = await redis.remember();
  const beat = async () => Number(await other.connection.hget(STORE_KEY, 'beat'));
  const before = await beat();
  await until('beats that are lost', async () => (await beat()) >= before + 4);
  dead = true;
  await other.stop();
  // it comes back later than a worker that starts
  proxy.hold();
  await until('the seer to be held up', () => proxy.held() > 0);
  await rollBack();
  const fresh = worker('fresh');
  const up = async () => Number(/uptime_in_seconds:(\d+)/.exec(await fresh.connection.info('server'))?.[1]);
  await until('the fresh one had time to count', async () => (await up()) >= 3);
  expect(fresh.whole()).toBeUndefined();
  proxy.release();
  await until('both are sure again', () => seer.whole() !== undefined && fresh.whole() !== undefined, 30_000);
  expect(raised).toEqual(['seer']);
  expect(await seer.connection.hget(STORE_KEY, 'epoch')).toBe('2');
});

it('a worker whose first look broke off when Redis was rolled back looks again before it counts on Redis', async () => {
  const { redis, cloud, worker, raised } = await start({ fsync: 'always' });
  let dead = false;
  const other = worker('other', {
    store: { put: async (...args) => (dead ? await Promise.reject(new Error('killed')) : await cloud.store.put(...args)) },
  });
  await until('the other is sure', () => other.whole() !== undefined);
  const rollBack = await redis.remember();
  const beat = async () => Number(await other.connection.hget(STORE_KEY, 'beat'));
  const before = await beat();
  await until('beats that are lost', async () => (await beat()) >= before + 4);
  const open = Promise.withResolvers<void>();
  const waiting = Promise.withResolvers<void>();
  const fresh = worker('fresh', {
    store: {
      put: async (...args) => {
        waiting.resolve();
        await open.promise;
        return await cloud.store.put(...args);
      },
    },
  });
  await waiting.promise;
  dead = true;
  await other.stop();
  other.connection.disconnect();
  await rollBack();
  open.resolve();
  await until('the fresh one is sure', () => fresh.whole() !== undefined, 30_000);
  expect(raised).toEqual(['fresh']);
  expect(await fresh.connection.hget(STORE_KEY, 'epoch')).toBe('2');
});

it('a worker that comes back late tells of a loss although others have long counted past what it saw', async () => {
  const { redis, worker, raised } = await start({ fsync: 'always' });
  const { away, blinded, seer, blind, eye, beat, rollBack } = await seenByOneAlone(redis, worker);
  const seen = await beat();
  await rollBack();
  blinded.release();
  await until('the blind one counts on', async () => blind.whole() !== undefined && (await beat()) > seen + 4, 30_000);
  expect(raised).toEqual([]);
  away.release();
  await until('the loss to be told', async () => (await eye.hget(STORE_KEY, 'epoch')) === '2', 30_000);
  await until('both are sure again', () => seer.whole() !== undefined && blind.whole() !== undefined, 30_000);
  expect(raised).toEqual(['seer']);
  expect(await eye.hget(STORE_KEY, 'epoch')).toBe('2');
});
