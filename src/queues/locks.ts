// A lock on one piece of work, for as long as it may take. Only a means against double work where a repetition costs something.
import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { resourceLockKey } from './keys.ts';

/** A lock that this process has. */
export interface Hold {
  /** Has it for another while; answers false when it was lost. */
  renew(): Promise<boolean>;
  /** Lets go of it, unless somebody else has it by now. */
  release(): Promise<void>;
}

/** Takes the lock at `key` for `ms` at most; undefined while another one has it. */
export async function holdLock(redis: Redis, key: string, ms: number): Promise<Hold | undefined> {
  const owner = randomBytes(8).toString('hex');
  if ((await redis.set(key, owner, 'PX', ms, 'NX')) !== 'OK') return undefined;
  const mine = async () => (await redis.get(key)) === owner;
  return {
    renew: async () => (await mine()) && (await redis.pexpire(key, ms)) === 1,
    release: async () => {
      if (await mine()) await redis.del(key);
    },
  };
}

export type Locks = ReturnType<typeof createLocks>;

export function createLocks(deps: { redis: Redis }) {
  const { redis } = deps;
  const hold = async (what: string, resource: string, ms: number) => await holdLock(redis, resourceLockKey(what, resource), ms);
  return {
    /** As `take`, for work that may last longer. */
    hold,
    /** Takes the lock of `what` on `resource` for `ms` at most; answers with its release, or undefined while another one has it. */
    take: async (what: string, resource: string, ms: number): Promise<(() => Promise<void>) | undefined> =>
      (await hold(what, resource, ms))?.release,
  };
}
