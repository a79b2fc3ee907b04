// How a run's tree is planned, with the real planner and the real script.
import type { Redis } from 'ioredis';
import { QUEUES, shardKeys } from '../../src/queues/keys.ts';
import type { Planner } from '../../src/queues/planner.ts';
import { run as runScript } from '../../src/queues/scripts.ts';

/**
 * Plans the run, by two planners at the same time and then once more. Answers with what planned.lua says without a tree, what the planners say,
 * how many jobs they made and what planned.lua says of them. Nobody works on the jobs: those of before are taken away, as those of a run that has
 * come further, so that a second tree is seen.
 */
export async function planTwice(
  { redis, planners, runId, key }: { redis: Redis; planners: readonly Planner[]; runId: string; key: string },
  tasks: readonly string[],
): Promise<string> {
  const keys = shardKeys(0);
  const finish = keys.job(QUEUES.finish, runId);
  const jobs = [finish, ...tasks.map((task) => keys.job(QUEUES.task, task))];
  const last = async () => String(await runScript(redis, 'planned', [key], [runId, keys.channel, finish, keys.job(QUEUES.task, '')]));
  await redis.del(...jobs);
  const without = await last();
  const said = await Promise.allSettled(planners.map((planner) => planner.plan({ runId })));
  // whose MULTI came second is told to call again
  if (said.every(({ status }) => status === 'rejected')) throw new Error('no planner came through', { cause: said });
  const again = await Promise.all(planners.map((planner) => planner.plan({ runId })));
  const others = said.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  return [without, [...new Set([...again, ...others])].join(), await redis.exists(...jobs), await last()].join(' ');
}
