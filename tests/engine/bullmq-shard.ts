// One shard’s queues and planner on a real Redis. Whoever imports this has them closed after each test.
import { randomUUID } from 'node:crypto';
import { type Job, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { afterEach } from 'vitest';
import { connect } from '../../src/queues/connection.ts';
import { runIdOf } from '../../src/queues/identity.ts';
import { QUEUES, shardKeys, shardPrefix } from '../../src/queues/keys.ts';
import { createPlanner } from '../../src/queues/planner.ts';
import { createRuns } from '../../src/queues/runs.ts';
import type { Failpoint } from '../../src/schema/failpoint.ts';
import { parseWorkflow } from '../../src/schema/parse-workflow.ts';
import { startRedis } from '../support/redis-server.ts';

/** A delay as of a job that is parked. */
export const YEAR_MS = 31_536_000_000;
/** The keys of the shard. */
export const keys = shardKeys(0);
/** What the names of its keys in BullMQ begin with. */
export const prefix = shardPrefix(0);
/** What is to be closed after the test, last first. */
export const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** The queues of a shard, with workers, runs and planners as they are asked for. */
export async function setup() {
  const server = await startRedis();
  cleanups.push(() => server.stop());
  const open = (socket = server.socket): Redis => {
    const redis = connect({ socket }, () => {});
    cleanups.push(async () => redis.disconnect());
    return redis;
  };
  const redis = open();
  const tasks = new Queue(QUEUES.task, { connection: redis, prefix });
  cleanups.push(() => tasks.close());
  const work = async (process: (job: Job, token: string) => Promise<unknown>, more: Record<string, unknown> = {}) => {
    const worker = new Worker(QUEUES.task, (job, token) => process(job, token ?? ''), { connection: redis, prefix, ...more });
    worker.on('error', () => {});
    cleanups.push(() => worker.close());
    await worker.waitUntilReady();
    return worker;
  };
  const runs = createRuns({ redis });
  const accept = async (steps: unknown[] = [{ cmd: 'a' }]) => {
    const trigger = { bucket: 'b', key: randomUUID(), versionId: randomUUID(), etag: 'e', size: 1 };
    const parsed = parseWorkflow(JSON.stringify({ run: steps }));
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults));
    const runId = runIdOf(trigger, 1);
    await runs.accept({ runId, resource: 'res', trigger, workflow: parsed.workflow, plan: parsed.plan, cap: 1e9, depth: 0 });
    return runId;
  };
  const planner = (connection = redis, failpoint: Failpoint = () => {}) => {
    const made = createPlanner({ shard: 0, connection, onError: () => {}, failpoint });
    cleanups.push(() => made.close());
    return made;
  };
  /** Keys of jobs in all queues, whatever their state. */
  const jobKeys = async (runId: string) => (await redis.keys(`${prefix}:*${runId}*`)).filter((key) => !key.includes(':run:'));
  return { server, redis, open, tasks, work, runs, accept, planner, jobKeys };
}
