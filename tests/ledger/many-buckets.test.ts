// Many buckets, and buckets that take long to list: none keeps the others waiting.
import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../src/clients/ports.ts';
import { createArchiveMarks } from '../../src/processors/archive-marks.ts';
import { type EngineOptions, startEngine } from '../../src/processors/engine.ts';
import { SWEEPS_KEY } from '../../src/queues/keys.ts';
import { unchanged } from '../../src/queues/layout.ts';
import { createLedger, readLedger } from '../../src/queues/ledger.ts';
import { Failure } from '../../src/schema/failures.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(overrides: Partial<EngineOptions> = {}) {
  const redis = await startRedis();
  ends.push(redis.stop);
  const engine = await startTestEngine(redis, { ok: (dyno) => dyno.accept() }, { ledgerMs: 100, lateMs: 100, ...overrides });
  ends.push(engine.stop);
  const sweptAt = async ({ id, bucket }: { id: string; bucket: string }) =>
    Date.parse((await readLedger(engine.redis, { id, bucket }, 1)).swept_at ?? '1970-01-01');
  return { redis, engine, sweptAt };
}

/** A store of which some buckets have one page after the other, without end; `listed` counts the lists that began, by bucket. */
function endless(store: ObjectStore) {
  const buckets = new Set<string>();
  const listed = new Map<string, number>();
  const versions: ObjectStore['versions'] = async (bucket, page = {}) => {
    if (!buckets.has(bucket) || page.limit === 1) return await store.versions(bucket, page);
    page.signal?.throwIfAborted();
    if (page.next === undefined) listed.set(bucket, (listed.get(bucket) ?? 0) + 1);
    await turn();
    return { versions: [], next: 'further' };
  };
  return { buckets, listed, store: { ...store, versions } };
}

it('a bucket that takes without end to list keeps no other one waiting, and is listed once', async () => {
  const { engine, sweptAt } = await start();
  const slow = endless(engine.cloud.store);
  const large = await engine.otherResource();
  slow.buckets.add(large.bucket);
  await engine.replaceEngine({ store: slow.store });
  const other = await startEngine({ ...engine.options, store: slow.store });
  ends.push(async () => await other.stop(5_000));
  await until('the large bucket under way', () => slow.listed.has(large.bucket));
  const small = await engine.otherResource();
  await until('a sweep of the small one', async () => (await sweptAt(small)) > 0);
  engine.cloud.copies = 0;
  engine.cloud.put('in/lost', 'x', {}, small.bucket);
  await until('its lost file to be decided', async () => (await engine.decisions(small.id))['ignored'] === 1);
  expect(slow.listed.get(large.bucket)).toBe(1);
});

it('many buckets that take without end leave room for the others', async () => {
  const { engine, sweptAt } = await start();
  const slow = endless(engine.cloud.store);
  const large = await Promise.all(Array.from({ length: 12 }, () => engine.otherResource()));
  for (const { bucket } of large) slow.buckets.add(bucket);
  await engine.replaceEngine({ store: slow.store });
  await until('many of them under way', () => slow.listed.size >= 4);
  const small = await Promise.all(Array.from({ length: 3 }, () => engine.otherResource()));
  const began = Date.now();
  for (const one of small) await until('a sweep of a small one', async () => (await sweptAt(one)) > began);
});

it('a bucket whose sweeper lives stays its own, however long it takes', async () => {
  const { engine } = await start();
  const slow = endless(engine.cloud.store);
  slow.buckets.add(engine.bucket);
  await engine.replaceEngine({ store: slow.store });
  await until('it under way', () => slow.listed.has(engine.bucket));
  const claimed = Number(await engine.redis.zscore(SWEEPS_KEY, engine.resource));
  expect(claimed).toBeGreaterThan(Date.now() + 5_000);
  await until('the claim to be renewed', async () => Number(await engine.redis.zscore(SWEEPS_KEY, engine.resource)) > claimed, 15_000);
});

it('a sweeper that stops gives its buckets back', async () => {
  const { engine } = await start();
  const slow = endless(engine.cloud.store);
  slow.buckets.add(engine.bucket);
  await engine.replaceEngine({ store: slow.store });
  await until('it under way', () => slow.listed.has(engine.bucket));
  await engine.replaceEngine({ store: slow.store });
  await until('it under way again', () => slow.listed.get(engine.bucket) === 2, 10_000);
});

describe('a large bucket that is in use', () => {
  const PAGES = 50;

  /** Sweeps a bucket of many pages; something is saved while its list is at the first. */
  async function sweepWhile(save: (engine: TestEngine, of: { id: string; bucket: string }) => Promise<void>) {
    const { engine, sweptAt } = await start({ ledgerMs: 3_600_000 });
    const large = await engine.otherResource();
    const { store } = engine.cloud;
    // one that is no longer new
    const times = { since: 0, begun: Date.now() - 7_200_000, at: Date.now() - 60_000 };
    await createArchiveMarks({ store, bucket: ARCHIVE_BUCKET }).setWatermark(large, times);
    const before = Date.now();
    const versions: ObjectStore['versions'] = async (bucket, page = {}) => {
      if (bucket !== large.bucket) return await store.versions(bucket, page);
      const at = Number(page.next ?? 1);
      if (at === 1) await save(engine, large);
      return at < PAGES ? { versions: [], next: String(at + 1) } : await store.versions(bucket);
    };
    await engine.replaceEngine({ ledgerMs: 60_000, lateMs: 30_000, store: { ...store, versions } });
    const next = await until('its sweep', async () => {
      const due = Number(await engine.redis.zscore(SWEEPS_KEY, large.id));
      return (await sweptAt(large)) >= before && due > Date.now() + 20_000 && due - Date.now();
    });
    return { next, ledger: await readLedger(engine.redis, large, 1) };
  }

  it('shows what was saved and decided while it was listed as decided, and is listed no sooner for that', async () => {
    const { next, ledger } = await sweepWhile(async (engine, { id, bucket }) => {
      engine.cloud.put('a file', 'x', {}, bucket);
      await until('its decision', async () => (await engine.decisions(id))['ignored'] === 1);
    });
    expect(ledger).toMatchObject({ in_scope: 1, accounted_for: 1, unaccounted: 0, oldest_unaccounted: null });
    expect(next).toBeGreaterThan((PAGES - 3) * 10_000);
  });

  it('is listed no sooner for what is still on its way', async () => {
    const { next, ledger } = await sweepWhile(async (engine, { bucket }) => {
      engine.cloud.copies = 0;
      await Promise.resolve(engine.cloud.put('a file', 'x', {}, bucket));
    });
    expect(ledger).toMatchObject({ in_scope: 1, unaccounted: 0, in_flight: 1, oldest_unaccounted: null });
    expect(next).toBeGreaterThan((PAGES - 3) * 10_000);
  });
});

it('a long list that is under way when Redis is emptied is broken off, and its bucket listed anew', async () => {
  const { engine } = await start();
  const large = await engine.otherResource();
  await until('its backup', () => engine.cloud.objects.has(`${ARCHIVE_BUCKET}/resources/${large.id}.json`));
  const pages: number[] = [];
  const { store } = engine.cloud;
  const atTen = Promise.withResolvers<void>();
  const versions: ObjectStore['versions'] = async (bucket, page = {}) => {
    if (bucket !== large.bucket || page.limit === 1) return await store.versions(bucket, page);
    const at = Number(page.next ?? 1);
    pages.push(at);
    if (at === 10) {
      atTen.resolve();
      // a page that takes as long as it may
      await new Promise((_, reject) => page.signal?.addEventListener('abort', () => reject(new Error('aborted'))));
    }
    return { versions: [], next: String(at + 1) };
  };
  await engine.replaceEngine({ store: { ...store, versions } });
  await atTen.promise;
  const seen = pages.length;
  await engine.redis.flushall();
  await until('the next list', () => pages.length > seen, 30_000);
  expect(pages[seen]).toBe(1);
}, 60_000);

it('a sweep that is under way when its worker ends is over before the last witness: what it wrote may not be lost unnoticed', async () => {
  const { engine } = await start();
  const { store } = engine.cloud;
  const said: string[] = [];
  const underWay = Promise.withResolvers<void>();
  let ending = false;
  const worker = await startEngine({
    ...engine.options,
    store: {
      ...store,
      put: async (bucket, key, ...rest) => {
        if (ending && key.startsWith('watermarks/')) {
          underWay.resolve();
          await until('a witness that comes too early', () => said.includes('witness'), 500).catch(() => {});
          said.push('watermark');
        }
        if (ending && key === 'store.json') said.push('witness');
        return await store.put(bucket, key, ...rest);
      },
    },
  });
  await engine.replaceEngine({ archiveBucket: undefined });
  ending = true;
  await underWay.promise;
  await worker.stop(5_000);
  expect(said.at(-1)).toBe('witness');
  expect(said).toContain('watermark');
});

it('buckets are claimed one by one, the longest due first, and are due again when nobody renews', async () => {
  const { engine } = await start({ ledgerMs: 3_600_000, archiveBucket: undefined });
  const ledger = createLedger({ redis: engine.redis, layout: unchanged(1) });
  const ids = Array.from({ length: 3 }, () => randomUUID());
  const [a = '', b = '', c = ''] = ids;
  const claim = (now: number, limit: number) => ledger.claim({ now, until: now + 100, limit });
  await ledger.enlist(ids);
  await ledger.schedule(a, 30);
  await ledger.schedule(b, 10);
  await ledger.schedule(c, 20);
  expect(await claim(25, 1)).toEqual([b]);
  expect(await claim(40, 5)).toEqual([c, a]);
  expect(await claim(50, 5)).toEqual([]);
  // b until 125, c and a until 140
  await ledger.renew([b], 200);
  expect(await claim(150, 5)).toEqual(expect.arrayContaining([a, c]));
  await ledger.schedule(a, 160);
  // enlisting what is on the list changes nothing
  await ledger.enlist(ids);
  expect(await claim(170, 5)).toEqual([a]);
  await ledger.strike(b);
  await ledger.renew([b], 300);
  await ledger.schedule(b, 300);
  expect(await claim(1_000, 5)).not.toContain(b);
});

it('after a loss every bucket is due, whoever had claimed it and whatever is said of it afterwards', async () => {
  const { engine } = await start({ ledgerMs: 3_600_000, archiveBucket: undefined });
  const ledger = createLedger({ redis: engine.redis, layout: unchanged(1) });
  const [a, b] = [randomUUID(), randomUUID()];
  await ledger.enlist([a]);
  expect(await ledger.claim({ now: 10, until: 1_000, limit: 5 })).toEqual([a]);
  await ledger.allDue();
  await ledger.enlist([a, b]);
  expect((await ledger.claim({ now: 20, until: 1_000, limit: 5 })).toSorted()).toEqual([a, b].toSorted());
  await ledger.allDue();
  await ledger.schedule(a, 100_000);
  await ledger.enlist([a]);
  expect(await ledger.claim({ now: 30, until: 1_000, limit: 5 })).toEqual([a]);
});

it('a bucket that is due while Redis is not known to be whole is swept as soon as it is', async () => {
  const { engine, sweptAt } = await start({ ledgerMs: 3_600_000 });
  const mine = { id: engine.resource, bucket: engine.bucket };
  await until('a sweep', async () => (await sweptAt(mine)) > 0);
  let refused = 0;
  let down = true;
  const { store } = engine.cloud;
  await engine.replaceEngine({
    ledgerMs: 3_600_000,
    store: {
      ...store,
      text: async (bucket, key, ...rest) => {
        if (!down || key !== 'store.json') return await store.text(bucket, key, ...rest);
        refused += 1;
        throw new Failure('s3_unavailable', 'GET: HTTP 503 SlowDown.');
      },
    },
  });
  const before = Date.now();
  await engine.redis.zadd(SWEEPS_KEY, 0, engine.resource);
  const from = refused;
  await until('some looks at Redis', () => refused > from + 6);
  // it was not claimed in vain, and put off for that
  expect(await engine.redis.zscore(SWEEPS_KEY, engine.resource)).toBe('0');
  down = false;
  await until('its sweep', async () => (await sweptAt(mine)) >= before);
});

it('a worker at rest reads no resource', async () => {
  const { engine, sweptAt } = await start({ ledgerMs: 3_600_000 });
  const others = await Promise.all(Array.from({ length: 40 }, () => engine.otherResource()));
  await engine.replaceEngine({ ledgerMs: 3_600_000 });
  for (const one of others) await until('each swept once', async () => (await sweptAt(one)) > 0, 30_000);
  // a new bucket is swept again after a minute; what is going on now is over before
  const calls = async (command: string) =>
    Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await engine.redis.info('commandstats'))?.[1] ?? 0);
  await until('no sweep under way', async () => {
    const before = await calls('hgetall');
    const moment = Date.now() + 300;
    await until('a moment', () => Date.now() > moment);
    return (await calls('hgetall')) - before < 5;
  });
  const before = await calls('hgetall');
  const from = Date.now();
  await until('some turns', () => Date.now() > from + 3_500);
  expect((await calls('hgetall')) - before).toBeLessThan(others.length);
}, 60_000);
