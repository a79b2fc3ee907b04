// The whole as the web process sees it: is what is due anywhere served by anybody?
import type { Redis } from 'ioredis';
import { createProgressWatch, type Sample, type Stall } from '../schema/progress.ts';
import { dueOf, readDepths, redisTime } from './due.ts';
import { QUEUES } from './keys.ts';
import type { WorkerSigns } from './worker-signs.ts';

/** Looks without a new sign after which a worker counts as silent; it gives one as often. */
const SIGNS_MISSED = 3;

export interface FleetReport {
  readonly healthy: boolean;
  /** What is wrong, each a sentence. */
  readonly problems: readonly string[];
  readonly workers: { readonly alive: number; readonly silent: number; readonly stalled: number };
  /** What could be served this moment. */
  readonly due: { readonly jobs: number; readonly messages: number };
}

/**
 * Judges all workers together. `look` is to be called every `every` milliseconds; `report` tells what the looks so far
 * amount to, however long ago the last one was. `limit`: milliseconds that work may be due, or no worker be alive, before that is a problem.
 */
export function createFleet(deps: {
  redis: Redis;
  signs: WorkerSigns;
  shards: () => readonly number[];
  limit: number;
  every: number;
  monotonic: () => number;
}) {
  const watch = createProgressWatch({ limit: deps.limit, every: deps.every + 5_000 });
  const silentMs = SIGNS_MISSED * deps.every;
  const lastServed = new Map<string, number>();
  let progress = 0;
  let seen: Omit<FleetReport, 'healthy' | 'problems'> = { workers: { alive: 0, silent: 0, stalled: 0 }, due: { jobs: 0, messages: 0 } };
  let stalledThere: readonly string[] = [];
  /** As the last look found it: while Redis is away nobody looks, and what is not looked at has not stalled. */
  let judged: { readonly at: number; readonly stalls: readonly Stall[] } = { at: 0, stalls: [] };

  return {
    look: async (): Promise<void> => {
      const now = await redisTime(deps.redis);
      const signs = await deps.signs.all(now);
      for (const worker of lastServed.keys()) if (!signs.has(worker)) lastServed.delete(worker);
      const stalled = new Set<string>();
      let alive = 0;
      let messages = 0;
      for (const [worker, sign] of signs) {
        // a process that is new, or that is started again and again, is no progress by itself
        const before = lastServed.get(worker) ?? 0;
        if (sign.served > before) progress += sign.served - before;
        lastServed.set(worker, sign.served);
        if (now - sign.at > silentMs) continue;
        alive += 1;
        messages = Math.max(messages, sign.messages);
        for (const what of sign.stalled) stalled.add(what);
      }
      let jobs = 0;
      for (const shard of deps.shards()) {
        const depths = await readDepths(deps.redis, shard, now);
        for (const name of Object.values(QUEUES)) jobs += dueOf(depths[name]);
      }
      const stalledWorkers = [...signs.values()].filter((sign) => now - sign.at <= silentMs && sign.stalled.length > 0).length;
      seen = { workers: { alive, silent: signs.size - alive, stalled: stalledWorkers }, due: { jobs, messages } };
      stalledThere = [...stalled];
      const samples = new Map<string, Sample>([
        ['jobs', { due: jobs, served: progress }],
        // that there is a worker at all is always due
        ['workers', { due: alive === 0 ? 1 : 0, served: 0 }],
      ]);
      const at = deps.monotonic();
      watch.look(samples, at);
      judged = { at, stalls: watch.stalls(at) };
    },

    report: (): FleetReport => {
      const problems = judged.stalls.map(({ what, since }) => {
        const seconds = Math.round((judged.at - since) / 1000);
        return what === 'workers'
          ? `No worker has given a sign of life for ${seconds} s. Start \`autofiles worker\`.`
          : `${seen.due.jobs} jobs are due and none was served for ${seconds} s. Look at the logs of the workers and start them again.`;
      });
      if (stalledThere.length > 0) {
        problems.push(
          `${seen.workers.stalled} of ${seen.workers.alive} workers serve nothing of: ${stalledThere.join(', ')}. They end by themselves soon.`,
        );
      }
      return { healthy: problems.length === 0, problems, ...seen };
    },
  };
}
