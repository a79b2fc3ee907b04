import { FlowProducer, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure } from '../schema/failures.ts';
import { parseWorkflow } from '../schema/parse-workflow.ts';
import type { WorkflowPlan } from '../schema/workflow.ts';
import { FenceLost, openFenced } from './fenced-redis.ts';
import { QUEUE_STREAMS, QUEUES, type ShardKeys, shardKeys, shardPrefix } from './keys.ts';
import { isRedisOutage } from './redis-outage.ts';
import { defineScripts, isScriptUnknown, loadScripts, queue } from './scripts.ts';
import { lostTask, treeOf } from './tree.ts';

/** Trees per MULTI: enough to save round trips, few enough to keep Redis free for others (a tree is 0.1–0.4 ms). */
const BATCH = 50;

export interface PlanRequest {
  readonly runId: string;
  /** Known already where the caller has just accepted the run; else read from the record. */
  readonly known?: { readonly resource: string; readonly plan: WorkflowPlan };
  /** Launches of the resource that wait or run, about; decides who comes first among new runs. */
  readonly outstanding?: number;
}

/** `planned`: the tree stands (made now or before). `ended`: the run is over without one. `gone`: no such run. */
export type PlanResult = 'planned' | 'ended' | 'gone';

export interface Planner {
  /** Makes the run's tree, once. Rejects when the record changed meanwhile or Redis fails: call again. */
  plan(request: PlanRequest): Promise<PlanResult>;
  /** Hands the run to whoever has time: a `plan` job of the same id. */
  defer(runId: string): Promise<void>;
  /**
   * Adds the jobs of tasks (`step.index`) again that somebody removed. The record decides what they do, so one that was not
   * lost after all changes nothing.
   */
  restore(runId: string, tasks: readonly string[]): Promise<void>;
  /** Requests not answered yet. */
  pending(): number;
  /** Resolves when it may be used. Rejects where Redis did not answer in time: it is of no use then, and another one is to be made. */
  ready(): Promise<unknown>;
  close(): Promise<void>;
}

/**
 * Makes trees of one shard. The record's `state` goes from accepted to running in the same MULTI that adds the tree,
 * and the MULTI watches the record: a planner that was frozen past its lock adds nothing (bullmq-branches.md §3 no. 5).
 * `connection` makes the planner's own connection, since WATCH belongs to a connection; what was not answered when it
 * breaks fails and is never sent again by ioredis, because a MULTI on the next connection would have no WATCH before it.
 */
export function createPlanner(deps: { shard: number; connection: Redis; onError: (error: Error) => void; failpoint: Failpoint }): Planner {
  const keys = shardKeys(deps.shard);
  const prefix = shardPrefix(deps.shard);
  const redis = openFenced(deps.connection, keys.live);
  redis.on('error', deps.onError);
  const flows = new FlowProducer({ connection: redis, prefix });
  flows.on('error', deps.onError);
  defineScripts(redis, ['planned']);
  const plans = new Queue(QUEUES.plan, { connection: deps.connection, prefix, streams: QUEUE_STREAMS });
  plans.on('error', deps.onError);
  const tasks = new Queue(QUEUES.task, { connection: deps.connection, prefix, streams: QUEUE_STREAMS });
  tasks.on('error', deps.onError);
  // opened for its streams' length alone: its jobs come with the trees
  const finishes = new Queue(QUEUES.finish, { connection: deps.connection, prefix, streams: QUEUE_STREAMS });
  finishes.on('error', deps.onError);

  interface Waiting extends PlanRequest {
    resolve(result: PlanResult): void;
    reject(error: unknown): void;
  }
  let waiting: Waiting[] = [];
  let open = 0;
  let working: Promise<void> | undefined;

  const work = async () => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, BATCH);
      waiting = waiting.slice(BATCH);
      await planBatch(batch);
    }
  };

  const planBatch = async (batch: readonly Waiting[], scriptsLoaded = false): Promise<void> => {
    try {
      const results = await addTrees(batch);
      for (const [i, request] of batch.entries()) request.resolve(results[i] ?? 'gone');
    } catch (error) {
      if (isScriptUnknown(error) && !scriptsLoaded) {
        await loadScripts(redis).catch(deps.onError);
        await planBatch(batch, true);
        // One changed or damaged record spoils the whole MULTI: the others get a MULTI of their own.
      } else if (batch.length > 1 && !isRedisOutage(error)) for (const request of batch) await planBatch([request]);
      else for (const request of batch) request.reject(asFailure(error));
    }
  };

  const addTrees = async (batch: readonly Waiting[]): Promise<readonly PlanResult[]> => {
    const runIds = [...new Set(batch.map((request) => request.runId))];
    await redis.fenceOff(runIds.map(keys.run));
    try {
      const read = redis.pipeline();
      for (const runId of runIds) {
        const known = batch.find((request) => request.runId === runId)?.known !== undefined;
        read.hmget(keys.run(runId), 'state', ...(known ? [] : ['resource']));
      }
      const replies = (await read.exec()) ?? [];
      const results = new Map<string, PlanResult>();
      const trees: { runId: string; resource: string; plan: WorkflowPlan; outstanding: number }[] = [];
      for (const [i, runId] of runIds.entries()) {
        const [error, reply] = replies[i] ?? [new Failure('redis_unavailable', 'A pipeline came back short.'), null];
        if (error !== null) throw error;
        const [state, resource] = Array.isArray(reply) ? reply.map((x) => (typeof x === 'string' ? x : undefined)) : [];
        if (state === undefined) results.set(runId, 'gone');
        else if (state === 'running') results.set(runId, 'planned');
        else if (state !== 'accepted') results.set(runId, 'ended');
        else {
          const request = batch.find((one) => one.runId === runId);
          const known = request?.known ?? fromRecord(runId, resource, await redis.get(keys.document(runId)));
          trees.push({ runId, ...known, outstanding: request?.outstanding ?? 0 });
          results.set(runId, 'planned');
        }
      }
      if (trees.length > 0) {
        redis.planned = (transaction) => {
          for (const { runId } of trees) queue(transaction, 'planned', [keys.run(runId)], plannedArguments(keys, runId));
          return trees.length;
        };
        deps.failpoint('plan.checked');
        await flows.addBulk(trees.map((tree) => treeOf(tree.runId, tree.resource, tree.plan, tree.outstanding)));
      }
      deps.failpoint('plan.added');
      return batch.map((request) => results.get(request.runId) ?? 'gone');
    } finally {
      await redis.fenceIn();
    }
  };

  return {
    plan: (request) => {
      open += 1;
      return new Promise<PlanResult>((resolve, reject) => {
        waiting.push({ ...request, resolve, reject });
        // Gathers what one batch of messages brings before the first MULTI goes out.
        working ??= Promise.resolve()
          .then(work)
          .finally(() => {
            working = undefined;
          });
      }).finally(() => {
        open -= 1;
      });
    },
    defer: async (runId) => {
      await plans.add(
        'plan',
        {},
        { jobId: runId, attempts: 1_000_000, backoff: { type: 'fixed', delay: 200 }, removeOnComplete: true, removeOnFail: true },
      );
    },
    restore: async (runId, lost) => {
      const [resource, doc] = await Promise.all([
        deps.connection.hget(keys.run(runId), 'resource'),
        deps.connection.get(keys.document(runId)),
      ]);
      const known = fromRecord(runId, resource ?? undefined, doc);
      for (const task of lost) {
        const job = lostTask(runId, known.resource, known.plan, task);
        if (job === undefined) continue;
        const { queue: parentQueue, id } = job.parent;
        // a parent that still waits for this child must hear of its end
        const parent =
          (await deps.connection.exists(keys.job(parentQueue, id))) === 1 ? { parent: { id, queue: `${prefix}:${parentQueue}` } } : {};
        await tasks.add(job.name, job.data, { ...job.opts, ...parent });
      }
    },
    pending: () => open,
    ready: async () => await Promise.all([flows, plans, tasks, finishes].map((one) => one.waitUntilReady())),
    close: async () => {
      await working?.catch(deps.onError);
      await flows.close();
      await plans.close();
      await tasks.close();
      await finishes.close();
      redis.disconnect();
    },
  };
}

function fromRecord(runId: string, resource: string | undefined, doc: string | null): { resource: string; plan: WorkflowPlan } {
  const parsed = parseWorkflow(doc ?? '');
  if (resource === undefined || !parsed.ok) throw new Failure('internal', `The record of run ${runId} holds no readable workflow.`);
  return { resource, plan: parsed.plan };
}

function plannedArguments(keys: ShardKeys, runId: string): readonly string[] {
  return [runId, keys.channel, keys.job(QUEUES.finish, runId), keys.job(QUEUES.task, '')];
}

/** What a caller can tell apart: Redis away is an outage, which passes. So is a fence that was lost: whoever calls again finds another record. */
function asFailure(error: unknown): unknown {
  return isRedisOutage(error) || error instanceof FenceLost
    ? new Failure('redis_unavailable', 'The connection broke while a tree was being made.', { cause: error })
    : error;
}
