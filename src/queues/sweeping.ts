// What a sweep asks of the records: which runs have not ended, and what in them should move and does not.
import type { Redis } from 'ioredis';
import { QUEUES, shardKeys } from './keys.ts';

/** Milliseconds that a timer may be overdue by Redis' clock before the sweep rings it; workers come first. */
const OVERDUE_MS = 2_000;

export interface Findings {
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

  const withoutJob = async (runId: string, tasks: readonly string[]): Promise<readonly string[]> => {
    if (tasks.length === 0) return [];
    const pipeline = redis.pipeline();
    for (const task of tasks) pipeline.exists(keys.job(QUEUES.task, `${runId}.${task}`));
    const replies = (await pipeline.exec()) ?? [];
    return tasks.filter((_, i) => replies[i]?.[1] === 0);
  };

  return {
    /** Redis' time in milliseconds. */
    clock: async (): Promise<number> => {
      const [seconds, micros] = await redis.time();
      return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
    },

    /** Runs accepted before `until` (ms) that have not ended, oldest first. */
    live: async (until: number, page: { offset: number; limit: number }): Promise<readonly string[]> =>
      await redis.zrangebyscore(keys.live, '-inf', until, 'LIMIT', page.offset, page.limit),

    /** Takes a run without a record off the list of live ones. */
    forget: async (runId: string): Promise<void> => {
      await redis.zrem(keys.live, runId);
    },

    inspect: async (runId: string, now: number): Promise<Findings> => {
      const [record, root] = await Promise.all([redis.hgetall(keys.run(runId)), redis.exists(keys.job(QUEUES.finish, runId))]);
      const state = record['state'];
      const due: string[] = [];
      const throttled: string[] = [];
      const doubtful: string[] = [];
      let open = 0;
      for (let s = 0; s < Number(record['steps'] ?? 0); s += 1) {
        for (let i = 0; i < Number(record[`n${s}`] ?? 0); i += 1) {
          const t = `${s}.${i}`;
          if (isSettled(record[`p:${t}`])) continue;
          open += 1;
          if (record[`p:${t}`] === 'throttle') throttled.push(t);
          const overdue = isDue(record, s, i, now);
          if (overdue) due.push(t);
          if (overdue || isItsTurn(record, s, i)) doubtful.push(t);
        }
      }
      const lost = state === 'running' ? await withoutJob(runId, doubtful) : [];
      const timeout = Number(record['timeout'] ?? 0);
      const late = timeout > 0 && record['cancel'] === undefined && now - Number(record['at']) > timeout;
      const expired = late ? timeout / 1000 : undefined;
      return { state, expired, resource: record['resource'] ?? '', due, throttled, lost, settled: open === 0, root: root === 1 };
    },
  };
}

function isSettled(phase: string | undefined): boolean {
  return phase === 'succeeded' || phase === 'failed' || phase === 'skipped';
}

/** Whether nothing but the task's own job has to move it: it may wait in a queue, but must not be missing there. */
function isItsTurn(record: Readonly<Record<string, string>>, s: number, i: number): boolean {
  const phase = record[`p:${s}.${i}`] ?? 'new';
  return (phase === 'new' || phase === 'throttle' || phase === 'intent') && isOpen(record, s);
}

/** Whether the step before has settled. */
function isOpen(record: Readonly<Record<string, string>>, s: number): boolean {
  return s === 0 || Number(record[`d${s - 1}`] ?? 0) >= Number(record[`n${s - 1}`]);
}

function isDue(record: Readonly<Record<string, string>>, s: number, i: number, now: number): boolean {
  const t = `${s}.${i}`;
  const phase = record[`p:${t}`] ?? 'new';
  const released = s === 0 || Number(record['rel'] ?? 0) >= s;
  if (record['cancel'] !== undefined) return true;
  if (record[`o:${t}`] !== undefined && phase !== 'cool') return true;
  if (record['failing'] !== undefined && released && (phase === 'new' || phase === 'throttle' || phase === 'backoff')) return true;
  if (phase === 'new' && i > 0 && s > 0 && released) return true;
  if (phase === 'new' && i === 0 && s > 0 && isOpen(record, s)) return true;
  const deadline = record[`dl:${t}`];
  return deadline !== undefined && now - Number(deadline) > OVERDUE_MS;
}
