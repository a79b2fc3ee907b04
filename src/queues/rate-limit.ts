import type { Redis } from 'ioredis';
import { rateKey } from './keys.ts';
import { run as runScript } from './scripts.ts';

export type RateLimit = ReturnType<typeof createRateLimit>;

/** How often callers may call, counted for all processes together. */
export function createRateLimit(deps: { redis: Redis }) {
  const { redis } = deps;
  const ask = async (kind: string, who: string, perMinute: number, cost: 0 | 1) =>
    Number(await runScript(redis, 'rate', [rateKey(kind, who)], ['', '', perMinute, cost]));
  return {
    /** Counts a call; answers with 0, or with the milliseconds until one more is taken: such a call does not count. */
    take: async (kind: string, who: string, perMinute: number): Promise<number> => await ask(kind, who, perMinute, 1),
    /** The same without counting. */
    look: async (kind: string, who: string, perMinute: number): Promise<number> => await ask(kind, who, perMinute, 0),
  };
}
