// Which process looks at an app's dyno list next: one list serves every worker and all shards, and each is charged to everybody's budget.
import type { Redis } from 'ioredis';
import { resourceLockKey } from './keys.ts';

export type Looks = ReturnType<typeof createLooks>;

/** Turns at dyno lists, by resource. Only a means against double work: two lists at a time do no harm. */
export function createLooks(deps: { redis: Redis }) {
  const { redis } = deps;
  return {
    /** Takes the turn, which is nobody else's for `ms` milliseconds. Answers whether this process has it. */
    take: async (resource: string, ms: number): Promise<boolean> =>
      (await redis.set(resourceLockKey('look', resource), '1', 'PX', Math.ceil(ms), 'NX')) === 'OK',

    /** Lets the next turn come in `ms` milliseconds. */
    rest: async (resource: string, ms: number): Promise<void> => {
      await redis.pexpire(resourceLockKey('look', resource), Math.ceil(ms));
    },
  };
}
