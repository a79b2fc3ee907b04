// The dynos that tasks wait for, and those that are to be stopped: written by the transitions, worked off by the poller.
import type { Redis } from 'ioredis';
import { redisTime } from './due.ts';
import { type ShardKeys, shardKeys } from './keys.ts';
import { type Hold, holdLock } from './locks.ts';
import { refOf, type TaskRef } from './run-record.ts';
import { run as runScript } from './scripts.ts';

/** Milliseconds after which webhooks that stopped coming are not relied on any more. */
const HOOKED_MS = 300_000;

export interface Watched {
  readonly ref: TaskRef;
  readonly attempt: number;
  readonly noOutput: boolean;
  /** The dyno that was launched; undefined while a launch's fate is unknown. */
  readonly dyno: { readonly id: string; readonly name: string } | undefined;
  /** Seconds of the task's timeout, for a launch of unknown fate. */
  readonly timeout: number;
  /** Milliseconds by Redis' clock until which a launch that was given up is looked for, so that its dyno can be stopped. */
  readonly until: number | undefined;
}

export interface DynoToStop {
  readonly member: string;
  readonly resource: string;
  readonly dyno: { readonly id: string; readonly name: string };
}

export type Watch = ReturnType<typeof createWatch>;

/** Reads and works off one shard's lists. */
export function createWatch(deps: { redis: Redis; shard: number }) {
  const { redis } = deps;
  const keys: ShardKeys = shardKeys(deps.shard);

  const hold = (what: string, ms: number): Promise<Hold | undefined> => holdLock(redis, keys.lock(what), ms);

  return {
    /** Resources with dynos to watch. */
    resources: async (): Promise<readonly string[]> => await redis.smembers(keys.watched),

    /** How many dynos of a resource are watched. */
    count: async (resource: string): Promise<number> => await redis.hlen(keys.watch(resource)),

    /** A webhook told of a dyno of the resource: for a while the list needs to be looked at rarely. */
    heardOf: async (resource: string): Promise<void> => {
      await redis.set(keys.hooked(resource), '1', 'PX', HOOKED_MS);
    },

    /** Whether the resource's dynos tell of themselves. */
    hooked: async (resource: string): Promise<boolean> => (await redis.exists(keys.hooked(resource))) === 1,

    /** All watched dynos of a resource; an empty list takes it off the watched ones. */
    of: async (resource: string): Promise<readonly Watched[]> => {
      const all = await redis.hgetall(keys.watch(resource));
      const found = Object.entries(all).flatMap(([field, value]) => watchedOf(field, value));
      if (found.length === 0) await runScript(redis, 'prune', [keys.watch(resource), keys.watched], ['', '', resource]);
      return found;
    },

    /**
     * The task of the resource that waits for this dyno, or for the dyno of this attempt while the launch's fate is unknown; undefined when the
     * marker of its command names neither.
     */
    find: async (resource: string, dynoId: string, marker: { taskId: string; attempt: number }): Promise<Watched | undefined> => {
      const fields = [dynoId, `?${marker.taskId}/${marker.attempt}`] as const;
      const values = await redis.hmget(keys.watch(resource), ...fields);
      const found = fields.flatMap((field, i) => watchedOf(field, values[i] ?? ''));
      return found.find(({ ref, attempt }) => ref.id === marker.taskId && attempt === marker.attempt);
    },

    /** Dynos of closed attempts, oldest first. */
    toStop: async (limit: number): Promise<readonly DynoToStop[]> => {
      const members = await redis.zrange(keys.stops, '0', String(limit - 1));
      return members.flatMap((member) => {
        const [resource, id, name] = member.split('|');
        return resource === undefined || id === undefined || name === undefined ? [] : [{ member, resource, dyno: { id, name } }];
      });
    },

    stopped: async (member: string): Promise<void> => {
      await redis.zrem(keys.stops, member);
    },

    /** What cannot be stopped now goes behind all others. */
    postponed: async (member: string): Promise<void> => {
      await redis.zadd(keys.stops, 'XX', await redisTime(redis, keys.stops), member);
    },

    /** Milliseconds since 1970 by Redis' clock, as `until` of a watched launch is. */
    clock: async (): Promise<number> => await redisTime(redis, keys.stops),

    /** Gives up a launch that never appeared. */
    forget: async (resource: string, { ref, attempt }: Watched): Promise<void> => {
      await redis.hdel(keys.watch(resource), `?${ref.id}/${attempt}`);
    },

    /**
     * Makes this process the only one that does `what` in the shard for `ms` milliseconds. Answers with the way to give
     * it up early, or undefined when another one has it. Only a means against double work: nothing relies on it.
     */
    alone: async (what: string, ms: number): Promise<(() => Promise<void>) | undefined> => (await hold(what, ms))?.release,

    /** The same for work that may take longer: `renew` gives it as long again, and answers whether it still was this process's. */
    hold,
  };
}

/**
 * Fields: `<dyno id>` → `task|attempt|no_output|dyno name`, or `?<task>/<attempt>` → `task|attempt|no_output|timeout ms`,
 * with `|until ms` when that attempt was given up.
 */
function watchedOf(field: string, value: string): readonly Watched[] {
  const [id, attempt, noOutput, last, until] = value.split('|');
  const ref = refOf(id ?? '');
  if (ref === undefined) return [];
  const unknown = field.startsWith('?');
  return [
    {
      ref,
      attempt: Number(attempt),
      noOutput: noOutput === '1',
      dyno: unknown ? undefined : { id: field, name: last ?? '' },
      timeout: unknown ? Number(last) / 1000 : 0,
      until: until === undefined ? undefined : Number(until),
    },
  ];
}
