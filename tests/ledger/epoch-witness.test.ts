// The witness in the archive tells of a loss that no living worker saw.
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { STORE_KEY } from '../../src/queues/keys.ts';
import { Failure } from '../../src/schema/failures.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { until } from '../support/until.ts';
import { aheadBy, ends, gateBefore, MINUTE_MS, start } from './epoch-workers.ts';

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
