// What a change of plan is set back to, should the process that makes it die before Heroku is told that it is in force. Not in the record of the
// resource: that goes into the archive before Heroku is told, and a recovery would set back later what it was told.
import type { Redis } from 'ioredis';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { startOfRedis } from './connection.ts';
import { planUndoKey } from './keys.ts';

/** Milliseconds, a day: workers look at all resources every five minutes. */
const KEPT_MS = 86_400_000;

/** `change`: as `plan_change` of the record names it. */
const stored = Compile(Type.Object({ change: Type.String(), before: Type.String(), start: Type.String() }));

export type PlanUndo = ReturnType<typeof createPlanUndo>;

export function createPlanUndo({ redis }: { redis: Redis }) {
  return {
    /** Before the change is made. A cluster has no name for its start: nothing is kept there. */
    keep: async (resource: string, undo: { change: string; before: string }): Promise<void> => {
      const start = await startOfRedis(redis);
      if (start !== undefined) await redis.set(planUndoKey(resource), JSON.stringify({ ...undo, start }), 'PX', KEPT_MS);
    },

    /** A change that Heroku was not told of. One of before another start of Redis is none: that may have forgotten that Heroku was. */
    of: async (resource: string): Promise<{ readonly change: string; readonly before: string } | undefined> => {
      const text = await redis.get(planUndoKey(resource));
      const undo: unknown = text === null ? undefined : JSON.parse(text);
      return stored.Check(undo) && undo.start === (await startOfRedis(redis)) ? undo : undefined;
    },

    /** Before Heroku is told, or when it was set back. */
    drop: async (resource: string): Promise<void> => {
      await redis.del(planUndoKey(resource));
    },
  };
}
