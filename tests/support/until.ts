import { setTimeout as pause } from 'node:timers/promises';

/** Waits until the probe answers with something, looking every few milliseconds; fails after `ms` with what it waited for. */
export async function until<T>(what: string, probe: () => Promise<T | undefined | false> | T | undefined | false, ms = 20_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await pause(5);
  }
}
