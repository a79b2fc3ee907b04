// A lock on one piece of work, for as long as it may take. Only a means against double work where a repetition costs something.
import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { resourceLockKey } from './keys.ts';

export type Locks = ReturnType<typeof createLocks>;

export function createLocks(deps: { redis: Redis }) {
  const { redis } = deps;
  return {
    /** Takes the lock of `what` on `resource` for `ms` at most; answers with its release, or undefined while another one has it. */
    take: async (what: string, resource: string, ms: number): Promise<(() => Promise<void>) | undefined> => {
      const owner = randomBytes(8).toString('hex');
      const key = resourceLockKey(what, resource);
      if ((await redis.set(key, owner, 'PX', ms, 'NX')) !== 'OK') return undefined;
      return async () => {
        if ((await redis.get(key)) === owner) await redis.del(key);
      };
    },
  };
}
