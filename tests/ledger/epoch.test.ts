// A loss of Redis is noticed by every worker at once; one of them puts things right, once.
import { setImmediate as turn } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { within } from '../../src/clients/deadline.ts';
import type { ObjectStore } from '../../src/clients/ports.ts';
import { createArchiveMarks } from '../../src/processors/archive-marks.ts';
import { startEpoch } from '../../src/processors/epoch.ts';
import { connect } from '../../src/queues/connection.ts';
import { LAYOUT_KEY, STORE_KEY, shardKeys } from '../../src/queues/keys.ts';
import { type Layout, openLayout, unchanged } from '../../src/queues/layout.ts';
import { createResourceBackup } from '../../src/queues/resource-backup.ts';
import { createStoreEpoch } from '../../src/queues/store-epoch.ts';
import { createSweeping } from '../../src/queues/sweeping.ts';
import { createWatch, type Watch } from '../../src/queues/watch.ts';
import { FAILPOINTS, type Failpoint } from '../../src/schema/failpoint.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET, ScriptedCloud } from '../support/scripted-cloud.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(options: Parameters<typeof startRedis>[0] = {}) {
  const redis = await startRedis(options);
  const cloud = new ScriptedCloud('bucket', {});
  ends.push(redis.stop, () => cloud.close());
  const raised: string[] = [];
  const said: string[] = [];

  const worker = (
    name: string,
    change: {
      hold?: Watch['hold'];
      store?: Partial<ObjectStore>;
      socket?: string;
      recovered?: (resource: string) => Promise<number>;
      now?: () => number;
      monotonic?: () => number;
      onRecovered?: () => Promise<void>;
      layout?: Layout;
      failpoint?: Failpoint;
    } = {},
  ) => {
    const connection = connect({ socket: change.socket ?? redis.socket }, () => {});
    ends.push(() => connection.disconnect());
    const store = { ...cloud.store, ...change.store };
    const watch = createWatch({ redis: connection, shard: 0 });
    const say = (_: unknown, text: string) => said.push(`${name}: ${text}`);
    const epochs = createStoreEpoch({ redis: connection, shards: () => 1 });
    const epoch = startEpoch({
      epochs,
      backup: createResourceBackup({ redis: connection }),
      marks: createArchiveMarks({ store, bucket: ARCHIVE_BUCKET }),
      store,
      archiveBucket: ARCHIVE_BUCKET,
      shards: 1,
      layout: change.layout ?? unchanged(1),
      watch: change.hold === undefined ? watch : { ...watch, hold: change.hold },
      clock: createSweeping({ redis: connection, shard: 0 }).clock,
      recovered: change.recovered ?? (() => Promise.resolve(0)),
      now: change.now ?? Date.now,
      monotonic: change.monotonic ?? (() => performance.now()),
      onRecovered: async () => {
        await change.onRecovered?.();
        raised.push(name);
      },
      failpoint: change.failpoint,
      log: { debug: say, info: say, warn: say, error: say },
    });
    ends.push(epoch.stop);
    return { ...epoch.recall, connection, watch, stop: epoch.stop };
  };
  const witness = () => JSON.parse(cloud.objects.get(`${ARCHIVE_BUCKET}/store.json`)?.body ?? 'null');
  return { redis, cloud, worker, raised, said, witness };
}

/** A gate before a worker is alone; `waiting` once it stands there. */
function gateBefore(hold: () => Watch['hold']) {
  const open = Promise.withResolvers<void>();
  const waiting = Promise.withResolvers<void>();
  return {
    open: open.resolve,
    waiting: waiting.promise,
    hold: async (what: string, ms: number) => {
      waiting.resolve();
      await open.promise;
      return await hold()(what, ms);
    },
  };
}

type Started = Awaited<ReturnType<typeof start>>;

/**
 * Two workers behind proxies that are held up: of what Redis has beyond the copy to which it is rolled back, `seer` saw a part and `blind`, whose count
 * is on its way, nothing.
 */
async function seenByOneAlone(redis: Started['redis'], worker: Started['worker']) {
  const [away, blinded] = await Promise.all([startRedisProxy(redis.socket), startRedisProxy(redis.socket)]);
  ends.push(away.close, blinded.close);
  const seer = worker('seer', { socket: away.socket });
  const blind = worker('blind', { socket: blinded.socket });
  await until('both are sure', () => seer.whole() !== undefined && blind.whole() !== undefined);
  blinded.hold();
  await until('a count of the blind one to be on its way', () => blinded.held() > 0);
  const rollBack = await redis.remember();
  const eye = connect({ socket: redis.socket }, () => {});
  ends.push(() => eye.disconnect());
  const beat = async () => Number(await eye.hget(STORE_KEY, 'beat'));
  const before = await beat();
  await until('beats that only one sees', async () => (await beat()) >= before + 2);
  away.hold();
  await until('the seer to be held up', () => away.held() > 0);
  return { away, blinded, seer, blind, eye, beat, rollBack };
}

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

/** A worker's clock for what lasts, which a test sets ahead; a minute later the next witness is due. */
function aheadBy() {
  const clock = { ahead: 0 };
  return { clock, monotonic: () => performance.now() + clock.ahead };
}
const MINUTE_MS = 60_000;

it('a count that is sent again to another start of Redis is no witness of it, where one is due just then', async () => {
  const { redis, worker, witness } = await start({ fsync: 'always' });
  const { clock, monotonic } = aheadBy();
  let gated = false;
  const again = Promise.withResolvers<void>();
  const gate = gateBefore(() => seer.watch.hold);
  const seer: ReturnType<typeof worker> = worker('seer', {
    monotonic,
    hold: async (what, ms) => {
      if (!gated) return await seer.watch.hold(what, ms);
      const hold = await gate.hold(what, ms);
      // it comes no further than to its first witness
      gate.hold = async () => {
        again.resolve();
        return await Promise.reject(new Error('killed'));
      };
      return hold;
    },
  });
  await until('it is sure', () => seer.whole() !== undefined);
  const { server, beat: noted } = witness();
  const beat = async () => Number(await seer.connection.hget(STORE_KEY, 'beat'));
  await until('more than the witness says', async () => (await beat()) > noted + 2);
  const rollBack = await redis.remember();
  const before = await beat();
  await until('beats that are lost', async () => (await beat()) >= before + 4);
  gated = true;
  clock.ahead += MINUTE_MS;
  await gate.waiting;
  await rollBack();
  gate.open();
  await again.promise;
  expect(witness().server).toBe(server);
});

it('a loss that is found while a witness is due leaves Redis whole nowhere until all is back', async () => {
  const { cloud, worker, raised } = await start();
  const { clock, monotonic } = aheadBy();
  const [looks, recovers, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const lost = Promise.withResolvers<void>();
  let due = false;
  const one = worker('one', {
    monotonic,
    store: {
      text: async (...args) => {
        if (due) {
          looks.resolve();
          await lost.promise;
        }
        return await cloud.store.text(...args);
      },
      keys: async (...args) => {
        if (due) {
          recovers.resolve();
          await open.promise;
        }
        return await cloud.store.keys(...args);
      },
    },
  });
  ends.push(lost.resolve, open.resolve);
  await until('it is sure', () => one.whole() !== undefined);
  const before = one.whole();
  due = true;
  clock.ahead += MINUTE_MS;
  await looks.promise;
  await one.connection.flushall();
  lost.resolve();
  await recovers.promise;
  expect(one.whole()).toBeUndefined();
  open.resolve();
  await until('all is back', () => one.whole() !== undefined);
  expect(one.whole()).not.toBe(before);
  expect(raised).toContain('one');
});

it('a loss that only the witness tells of leaves Redis whole nowhere as long as what is lost cannot be put back', async () => {
  const { cloud, worker, raised, witness } = await start();
  const { clock, monotonic } = aheadBy();
  let refused = 5;
  const refuse = async () => {
    refused -= 1;
    return await Promise.reject(new Failure('s3_unavailable', 'HTTP 503 SlowDown.'));
  };
  let due = false;
  const one = worker('one', {
    monotonic,
    store: {
      // after the loss was found the witness itself cannot be read for a while
      text: async (...args) => await (due && (refused === 4 || refused === 3) ? refuse() : cloud.store.text(...args)),
      keys: async (...args) => await (due && refused > 0 ? refuse() : cloud.store.keys(...args)),
    },
  });
  await until('it is sure', () => one.whole() !== undefined);
  await until('its witness', () => witness() !== null);
  // one that saw more than this worker did wrote it, before Redis was rolled back
  cloud.put('store.json', JSON.stringify({ ...witness(), beat: witness().beat + 1_000 }), {}, ARCHIVE_BUCKET);
  due = true;
  clock.ahead += MINUTE_MS;
  await until('a recovery that fails', () => refused < 5);
  for (let found: number | undefined; refused > 0; found = one.whole()) {
    expect(found).toBeUndefined();
    await one.settled(true).catch(() => {});
    // while something is put back that answers at once
    await turn();
  }
  await until('all is back', () => one.whole() !== undefined);
  expect(raised).toEqual(['one']);
});

it('a clock that is set back an hour holds no witness up', async () => {
  const { worker, witness } = await start();
  const { clock, monotonic } = aheadBy();
  let back = 0;
  const one = worker('one', { monotonic, now: () => Date.now() - back });
  await until('it is sure', () => one.whole() !== undefined);
  const { beat } = witness();
  back = 60 * MINUTE_MS;
  clock.ahead += MINUTE_MS;
  await until('the next witness', () => witness().beat > beat, 5_000);
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
