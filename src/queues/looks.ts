// Which process looks at an app's dyno list next: one list serves every worker and all shards, and each is charged to everybody's budget.
import type { Redis } from 'ioredis';
import { resourceLockKey } from './keys.ts';

export type Looks = ReturnType<typeof createLooks>;

/**
 * Turns at dyno lists, by resource and by how many shards whoever looks can see: a worker of before a change of their number sees fewer. Only a means
 * against double work: two lists at a time do no harm.
 */
export function createLooks(deps: { redis: Redis }) {
  const { redis } = deps;
  const keyOf = (resource: string, shards: number) => resourceLockKey(`look:${shards}`, resource);
  return {
    /** Takes the turn, which is nobody else's for `ms` milliseconds. Answers whether this process has it. */
    take: async (resource: string, shards: number, ms: number): Promise<boolean> =>
      (await redis.set(keyOf(resource, shards), '1', 'PX', Math.ceil(ms), 'NX')) === 'OK',

    /** Lets the next turn come in `ms` milliseconds. */
    rest: async (resource: string, shards: number, ms: number): Promise<void> => {
      await redis.pexpire(keyOf(resource, shards), Math.ceil(ms));
    },

    /** Lets somebody else have the turn. */
    leave: async (resource: string, shards: number): Promise<void> => {
      await redis.del(keyOf(resource, shards));
    },
  };
}
