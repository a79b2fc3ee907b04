// Twenty thousand inputs for each reader: none crashes it, none costs it more than 50 ms of processor time. A million each:
// `npm run fuzz -- --inputs 1000000`.
import { expect, it } from 'vitest';
import { fuzz, SLOW_MS, wrongWith } from './fuzz.ts';
import { TARGETS, type Target } from './targets.ts';

const SEED = 20_261_129;
const each = TARGETS.map((target) => [target.name, target] as const);

it.each(each)('%s: reads its samples as they are meant', (_name, target) => {
  expect(target.samples.map((sample) => target.read(sample).what)).toEqual(target.reads);
});

it.each(each)('%s: 20,000 inputs', { timeout: 300_000 }, (_name, target) => {
  expect(wrongWith(fuzz(target, { inputs: 20_000, seed: SEED }))).toEqual([]);
});

it('notices a reader that throws, one that is slow, one that takes nothing, one that refuses nothing and one that misreads', () => {
  const planted = (read: Target['read'], inputs = 5) => fuzz({ name: 'planted', samples: ['a'], reads: [''], read }, { inputs, seed: 1 });
  const throwing = planted(() => {
    throw new TypeError('planted');
  });
  expect(throwing.crashes).toHaveLength(3);
  expect(wrongWith(planted(() => ({ took: false, refused: true, what: '' })))).toEqual(['took nothing of all inputs']);
  expect(wrongWith(planted(() => ({ took: true, refused: false, what: '' })))).toEqual(['refused nothing of all inputs']);
  expect(wrongWith(planted(() => ({ took: true, refused: true, what: 'b' })))).toEqual(['misread "a"']);
  const busy: Target['read'] = () => {
    const from = process.threadCpuUsage().user;
    while (process.threadCpuUsage().user - from < 60_000);
    return { took: true, refused: true, what: '' };
  };
  expect(planted(busy, 1).slowestMs).toBeGreaterThan(SLOW_MS);
});
