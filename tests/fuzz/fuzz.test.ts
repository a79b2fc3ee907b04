// Twenty thousand inputs for each reader: none crashes it, none costs it more than 50 ms of processor time. A million each:
// `npm run fuzz -- --inputs 1000000`.
import { expect, it } from 'vitest';
import { fuzz, SLOW_MS } from './fuzz.ts';
import { TARGETS } from './targets.ts';

const SEED = 20_261_129;

it.each(TARGETS.map((target) => [target.name, target] as const))('%s: 20,000 inputs', { timeout: 300_000 }, (_name, target) => {
  const { crashes, slowestMs, slowest } = fuzz(target, { inputs: 20_000, seed: SEED });
  expect(crashes.map(({ input, error }) => `${JSON.stringify(input.slice(0, 300))}: ${error}`)).toEqual([]);
  expect(slowestMs, JSON.stringify(slowest.slice(0, 300))).toBeLessThan(SLOW_MS);
});

it('notices a reader that throws and one that is slow', () => {
  const throwing = fuzz(
    {
      name: 'throwing',
      samples: ['a'],
      read: () => {
        throw new TypeError('planted');
      },
    },
    { inputs: 5, seed: 1 },
  );
  expect(throwing.crashes).toHaveLength(3);
  const busy = (): void => {
    const from = process.threadCpuUsage().user;
    while (process.threadCpuUsage().user - from < 60_000);
  };
  expect(fuzz({ name: 'slow', samples: ['a'], read: busy }, { inputs: 1, seed: 1 }).slowestMs).toBeGreaterThan(SLOW_MS);
});
