// What a sweep asks of the records: which runs have not ended, and what in them should move and does not.
import type { Redis } from 'ioredis';
import { Failure } from '../schema/failures.ts';
import { redisTime } from './due.ts';
import { shardKeys } from './keys.ts';
import { run as runScript } from './scripts.ts';

/** Milliseconds that a timer may be overdue by Redis' clock before the sweep rings it; workers come first. */
const OVERDUE_MS = 2_000;
/** Milliseconds after which a launch of unknown fate is overdue to be looked for; it counts as lost after 41 s at the earliest (launch.ts). */
const LOST_MS = 60_000;
/** Fields of records that one look reads at most: about 2 ms of Redis. */
const FIELDS = 4_000;
/** Seconds that the place of a sweep is kept; it is left several times a minute. */
const PLACE_S = 3_600;

/** A run in which something should move and does not, or which waits for the launch budget. */
export interface Finding {
  readonly runId: string;
  /** The record's state; undefined when the record is gone. */
  readonly state: string | undefined;
  readonly resource: string;
  /** Seconds that the run may take, when it has taken longer and still goes on. */
  readonly expired: number | undefined;
  /** Tasks (`step.index`) that should move. */
  readonly due: readonly string[];
  /** Tasks that wait for the launch budget. */
  readonly throttled: readonly string[];
  /** Tasks that should move and have no job any more: somebody cleaned a queue. */
  readonly lost: readonly string[];
  /** All tasks have settled. */
  readonly settled: boolean;
  /** The root job exists. */
  readonly root: boolean;
}

export type Sweeping = ReturnType<typeof createSweeping>;

export function createSweeping(deps: { redis: Redis; shard: number }) {
  const { redis } = deps;
  const keys = shardKeys(deps.shard);

  return {
    /** Redis' time in milliseconds, by which the shard's runs are written. */
    clock: async (): Promise<number> => await redisTime(redis, keys.live),

    /**
     * Looks at the runs accepted before `until` (ms) that have not ended, oldest first, from the one of this rank on.
     * `graceMs`: what a task waits for its output after its dyno's end. Answers how many there are, how many it looked at (as many as one script
     * should), and those in which something is the matter.
     */
    look: async (until: number, rank: number, graceMs: number): Promise<{ scope: number; looked: number; found: readonly Finding[] }> => {
      const reply = await runScript(redis, 'inspect', [keys.live], ['', '', until, rank, OVERDUE_MS, FIELDS, LOST_MS, graceMs]);
      if (!Array.isArray(reply)) throw new Failure('internal', `inspect answered ${String(reply)}, expected a list.`);
      const [scope, looked, ...found] = reply;
      return { scope: Number(scope), looked: Number(looked), found: found.map(findingOf) };
    },

    /** The rank at which the last sweep stopped, because it had looked at enough runs; 0 to begin anew. */
    place: async (): Promise<number> => Number((await redis.get(keys.swept)) ?? 0),

    /** Leaves off at this rank. */
    leave: async (rank: number): Promise<void> => {
      if (rank > 0) await redis.set(keys.swept, rank, 'EX', PLACE_S);
      else await redis.del(keys.swept);
    },

    /** Takes a run without a record off the list of live ones. */
    forget: async (runId: string): Promise<void> => {
      await redis.zrem(keys.live, runId);
    },
  };
}

const strings = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);

/** Reads what inspect.lua says of a run. */
function findingOf(said: unknown): Finding {
  const [runId, state, resource, expired, due, throttled, lost, isSettled, root] = Array.isArray(said) ? said : [];
  return {
    runId: String(runId),
    state: state === '' ? undefined : String(state),
    resource: String(resource),
    expired: Number(expired) > 0 ? Number(expired) : undefined,
    due: strings(due),
    throttled: strings(throttled),
    lost: strings(lost),
    settled: isSettled === 1,
    root: root === 1,
  };
}
