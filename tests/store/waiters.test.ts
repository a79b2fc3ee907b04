// Who waits for a message gets it, also when it became visible while nobody looked.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createWaiters } from '../../src/local/store/queue/waiters.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});
afterEach(() => {
  vi.useRealTimers();
});

it('serves who waits with a message that became visible before the last one joined', async () => {
  let message: number | undefined;
  const room = createWaiters({ now: Date.now, nextVisible: () => message });
  const wait = () =>
    room.until(
      1,
      () => {
        if (message === undefined || message > Date.now()) return undefined;
        message = undefined;
        return 'it';
      },
      20_000,
      new AbortController().signal,
    );
  const first = wait();
  // hidden until then; the timer for it is late, as on a busy machine or one that slept
  message = 100;
  vi.setSystemTime(150);
  const second = wait();
  vi.advanceTimersByTime(10);
  expect(await first).toBe('it');
  vi.advanceTimersByTime(20_000);
  expect(await second).toBeUndefined();
});
