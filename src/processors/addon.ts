// The worker of what is done to whole resources, and the loop that finds what is due or was left half done.
import { Worker } from 'bullmq';
import type { connect } from '../queues/connection.ts';
import { ADDON_PREFIX, ADDON_QUEUE } from '../queues/keys.ts';
import type { Locks } from '../queues/locks.ts';
import { type ResourceJobs, readResourceJob, retryDelay } from '../queues/resource-jobs.ts';
import type { Resource } from '../queues/resources.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { credentialAlarm, isDue, rotate } from './credentials.ts';
import { type DeprovisionDeps, deprovision } from './deprovision.ts';
import { type Loop, startLoop } from './loop.ts';
import { type AddonDeps, provisionAddon } from './provision.ts';
import { type SetBackPlanDeps, setBackPlan } from './set-back-plan.ts';

/** Jobs that one worker process does at a time: they wait for other services most of their time. */
const CONCURRENCY = 10;
/** Milliseconds that a look at all resources keeps other processes from looking; two at a time do no harm. */
const ALONE_MS = 10_000;

export interface AddonWorkerDeps extends AddonDeps, DeprovisionDeps, SetBackPlanDeps {
  readonly failpoint: DeprovisionDeps['failpoint'];
  readonly connection: ReturnType<typeof connect>;
  readonly jobs: ResourceJobs;
  readonly locks: Locks;
  /** Wraps the keys of the resource's webhooks by the current master key; answers with the number of those that were not. */
  readonly rewrapWebhooks: (resource: string) => Promise<number>;
  /** Milliseconds without a sign of life after which a job's worker counts as dead. */
  readonly lockMs: number;
  /** Milliseconds between two looks at all resources. */
  readonly lookMs: number;
}

/** Starts working; `stop` resolves when what was being done is done. */
export async function startAddonWorker(deps: AddonWorkerDeps): Promise<{ stop(): Promise<void>; nudge: Loop['nudge'] }> {
  const worker = new Worker(
    ADDON_QUEUE,
    async (job) => {
      const order = readResourceJob(job.data);
      if (order === undefined) throw new Failure('internal', `Job ${job.id} says nothing that can be done to a resource.`);
      switch (order.kind) {
        case 'provision':
          return await provisionAddon(deps, order.resource);
        case 'deprovision':
          return await deprovision(deps, order.resource);
        case 'rotate':
          return await rotateOne(deps, order.resource, order.before);
      }
    },
    {
      connection: deps.connection,
      prefix: ADDON_PREFIX,
      concurrency: CONCURRENCY,
      lockDuration: deps.lockMs,
      stalledInterval: Math.max(100, Math.floor(deps.lockMs / 2)),
      maxStalledCount: 1_000_000,
      settings: { backoffStrategy: retryDelay },
    },
  );
  worker.on('error', (error) => deps.log.warn({ error: messageOf(error) }, 'resource worker'));
  worker.on('failed', (job, error) =>
    deps.log.warn({ job: job?.name, jobId: job?.id, error: messageOf(error) }, 'resource job not done yet'),
  );
  worker.on('completed', (job) => {
    const order = readResourceJob(job.data);
    if (order?.kind !== 'rotate') return;
    // one that came while this job was at work added none: its name was taken. What is missed here the look at all resources finds
    void orderAgain(deps, order.resource).catch((error: unknown) =>
      deps.log.warn({ resource: order.resource, error: messageOf(error) }, 'rotation not ordered again'),
    );
  });
  await worker.waitUntilReady();
  // resources that had no credentials when this process looked last
  const without = new Set<string>();
  const loop = startLoop({
    name: 'resources',
    every: deps.lookMs,
    log: deps.log,
    turn: async (signal) => {
      const release = await deps.locks.take('resources', '', ALONE_MS);
      if (release === undefined) return;
      try {
        for (const resource of await deps.resources.list()) {
          if (signal.aborted) return;
          await look(deps, resource, without).catch((error: unknown) =>
            deps.log.error({ resource: resource.id, error: messageOf(error) }, 'resource not looked at'),
          );
        }
      } finally {
        await release();
      }
    },
  });
  return {
    nudge: loop.nudge,
    stop: async () => {
      await loop.stop();
      await worker.close();
    },
  };
}

/** Brings back jobs that Redis lost, orders rotations that are due, and raises the alarm when they do not happen. */
async function look(deps: AddonWorkerDeps, resource: Resource, without: Set<string>): Promise<void> {
  const { id, state } = resource;
  if (await deps.resources.rewrap(id)) deps.log.info({ resource: id }, 'wrapped the data key by the current master key');
  await rewrapWebhooks(deps, id);
  await setBack(deps, id);
  if (state === 'provisioning' || state === 'deprovisioning') {
    await deps.jobs.add({ kind: state === 'provisioning' ? 'provision' : 'deprovision', resource: id });
    return;
  }
  if (state === 'failed') {
    // the tokens are there until everything else of it is gone
    if ((await deps.resources.secret(id, 'partner')) !== undefined) await deps.jobs.add({ kind: 'provision', resource: id });
    return;
  }
  const held = await deps.resources.secret(id, 'credentials');
  const pending = await deps.resources.secret(id, 'pending');
  if (pending !== undefined || isDue(id, held, deps.now())) await deps.jobs.add({ kind: 'rotate', resource: id });
  else await orderAgain(deps, id);
  const alarm = credentialAlarm(held, without.has(id), deps.now());
  if (held === undefined) without.add(id);
  else without.delete(id);
  if (alarm === undefined) return;
  const { text, ...more } = alarm;
  deps.log.error({ resource: id, ...more }, text);
}

/** A key that does not open is for the operator; it keeps the credentials from nothing. */
async function rewrapWebhooks(deps: AddonWorkerDeps, id: string): Promise<void> {
  try {
    const webhooks = await deps.rewrapWebhooks(id);
    if (webhooks > 0) deps.log.info({ resource: id, webhooks }, 'wrapped the keys of webhooks by the current master key');
  } catch (error) {
    deps.log.error({ resource: id, error: messageOf(error) }, 'webhook keys not wrapped again');
  }
}

/** The archive, which is to hear of it, keeps credentials from nothing. */
async function setBack(deps: AddonWorkerDeps, id: string): Promise<void> {
  try {
    await setBackPlan(deps, id);
  } catch (error) {
    deps.log.error({ resource: id, error: messageOf(error) }, 'a plan of which Heroku was not told is not set back yet');
  }
}

/** Adds the job of an order for new credentials that is not fulfilled yet, if there is one. */
async function orderAgain(deps: AddonWorkerDeps, id: string): Promise<void> {
  const before = await deps.jobs.ordered(id);
  if (before !== undefined) await deps.jobs.add({ kind: 'rotate', resource: id, before });
}

/** `asked`: of the job itself; the last order for this resource may be a later one. */
async function rotateOne(deps: AddonWorkerDeps, id: string, asked: number | undefined): Promise<void> {
  await deps.whole();
  // read before anything is done: an order that comes from now on stands until it has a job of its own
  const ordered = await deps.jobs.ordered(id);
  const resource = await deps.resources.get(id);
  if (resource !== undefined && (resource.state === undefined || resource.state === 'provisioned')) {
    const orders = [asked, ordered].filter((one) => one !== undefined);
    const rotated = await rotate(deps, resource, orders.length === 0 ? {} : { before: Math.max(...orders) });
    if (rotated) await deps.audit.append(id, { actor: 'engine', action: 'credentials.rotated' });
  }
  if (ordered !== undefined) await deps.jobs.fulfilled(id, ordered);
}
