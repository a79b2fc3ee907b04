// For how long somebody who does not answer is left alone.
import { expect, it } from 'vitest';
import { createPauses } from '../../src/processors/pauses.ts';

function start() {
  let now = 0;
  const pauses = createPauses({ now: () => now });
  const at = (ms: number): void => {
    now = ms;
  };
  return { ...pauses, at };
}

it('each pause is twice as long as the one before, up to a minute, until there is an answer', () => {
  const { begin, end, left, at } = start();
  let now = 0;
  const lengths = Array.from({ length: 6 }, () => {
    at(now);
    const length = begin('app');
    now += length + 1;
    return length;
  });
  expect(lengths).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  end('app');
  expect(left('app')).toBe(0);
  expect(begin('app')).toBe(5_000);
});

it('what was under way together counts as one, and the longest of it', () => {
  const { begin, left, at } = start();
  for (let n = 0; n < 5; n += 1) expect(begin('app')).toBe(5_000);
  expect(begin('app', 30_000)).toBe(30_000);
  expect(begin('app', 1_000)).toBe(30_000);
  at(30_001);
  expect(left('app')).toBe(0);
  expect(begin('app')).toBe(10_000);
});

it('who was left alone long ago is nobody who does not answer', () => {
  const { begin, known, at } = start();
  begin('app');
  at(605_001);
  begin('another');
  expect(known('app')).toBe(false);
  expect(begin('app')).toBe(5_000);
});
