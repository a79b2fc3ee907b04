// The end of a resource (s3sqs.md §2.7): nothing starts, dynos stop, the bucket is closed, emptied and removed, secrets and keys go, a
// tombstone stays. Every step may be repeated.
import { setTimeout as sleep } from 'node:timers/promises';
import type { AddonPlatform, BucketAdmin, CallerIdentity } from '../clients/addon-ports.ts';
import type { DynoPlatform } from '../clients/ports.ts';
import type { Audit } from '../queues/audit.ts';
import type { Purge } from '../queues/purge.ts';
import type { Resource, Resources } from '../queues/resources.ts';
import type { Runs } from '../queues/runs.ts';
import type { Sessions } from '../queues/sessions.ts';
import type { Tokens } from '../queues/tokens.ts';
import { readMarker } from '../schema/command.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { parseTaskId } from '../schema/ids.ts';
import type { Log } from '../schema/log.ts';
import type { ResourceArchive } from './resource-archive.ts';

/** Milliseconds for the dyno list and each stop: Heroku waits for our answer meanwhile. */
const STOP_DEADLINE_MS = 2_000;
/** Milliseconds that runs may take to wind up; what is left then is purged. */
const DRAIN_MS = 60_000;
const LOOK_MS = 100;
/** Pages of the bucket emptied in one try of the job; the next goes on. */
const PAGES = 500;

export interface DeprovisionDeps {
  readonly resources: Resources;
  readonly runs: Runs;
  readonly purge: Purge;
  readonly tokens: Tokens;
  readonly sessions: Sessions;
  readonly buckets: BucketAdmin;
  readonly identity: () => Promise<CallerIdentity>;
  readonly platform: DynoPlatform;
  readonly addons: AddonPlatform;
  readonly audit: Audit;
  /** Whether Heroku waits for our word, and leaves us access to the app until then. */
  readonly asyncDeprovision: boolean;
  /** What is kept outside Redis; undefined: nothing is archived. */
  readonly archive: ResourceArchive | undefined;
  /** The epoch, when Redis is known to be whole now. Throws Failure redis_unavailable while it is not. */
  readonly whole: () => Promise<number>;
  readonly now: () => number;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

/** The job after the DELETE. Resolves when only the tombstone is left; throws what another try heals. */
export async function deprovision(deps: DeprovisionDeps, id: string): Promise<void> {
  const epoch = await deps.whole();
  const resource = await deps.resources.get(id);
  if (resource?.state !== 'deprovisioning') return;
  const { failpoint } = deps;
  await quiet(deps, resource);
  failpoint('deprovision.quiet');
  // before anything is taken away: a Redis that forgets the removal would have half a resource for ever
  if ((await deps.archive?.keepRemoval(id)) === false) throw new Failure('redis_unavailable', `It lost the removal of resource ${id}.`);
  failpoint('deprovision.archived');
  await drain(deps, resource);
  failpoint('deprovision.drained');
  await deps.buckets.close(resource.bucket, (await deps.identity()).arn);
  failpoint('deprovision.closed');
  await removeBucket(deps, resource);
  failpoint('deprovision.removed');
  // an event that was read before the removal began may have been accepted after everything was cancelled
  await drain(deps, resource);
  await deps.tokens.revokeAll(id);
  await deps.sessions.endAll(id);
  const start = await deps.purge.purge(id);
  failpoint('deprovision.purged');
  const told = (await deps.resources.secret(id, 'partner')) !== undefined;
  if (told && deps.asyncDeprovision) await deps.addons.deprovisioned(id);
  failpoint('deprovision.told');
  // one that lost data meanwhile may have hidden whom to tell, and what to purge
  if ((await deps.whole()) !== epoch) throw new Failure('redis_unavailable', `It lost data while resource ${id} was removed.`);
  await deps.archive?.entomb(resource);
  failpoint('deprovision.entombed');
  await deps.audit.append(id, { actor: 'engine', action: 'resource.removed', detail: `bucket ${resource.bucket}` });
  await deps.resources.bury(resource, start);
  deps.log.info({ resource: id, bucket: resource.bucket }, 'removed a resource');
}

/** Cancels every run and stops every dyno of it. Whoever waits for that is told by the record's `quiet`. */
async function quiet(deps: DeprovisionDeps, resource: Resource): Promise<void> {
  const { runs } = await deps.purge.open(resource.id);
  await Promise.all(runs.map((run) => deps.runs.cancel(run, 'deprovision')));
  try {
    await stopDynos(deps, resource);
  } catch (error) {
    // their time_to_live ends them; the bucket must go in any case
    deps.log.warn({ resource: resource.id, error: messageOf(error) }, 'dynos not stopped');
  }
  await deps.resources.change(resource.id, { from: ['deprovisioning'], set: { quiet: String(deps.now()) } });
}

/**
 * The app's dynos that a task's marker names as ours. Other one-offs are the customer's own, and a bucket takes so long to be emptied that the app may
 * have another add-on of ours since.
 */
async function stopDynos(deps: DeprovisionDeps, resource: Resource): Promise<void> {
  if (resource.app === '') return;
  const deadline = { deadline: STOP_DEADLINE_MS };
  const dynos = await deps.platform.list(resource.app, deadline);
  const found = await Promise.all(dynos.map(async (dyno) => ((await isOf(deps, resource.id, dyno.command)) ? [dyno] : [])));
  const ours = found.flat();
  const results = await Promise.allSettled(ours.map((dyno) => deps.platform.stop(resource.app, dyno.id, deadline)));
  const failed = results.filter((result) => result.status === 'rejected');
  if (ours.length > 0)
    deps.log.info({ resource: resource.id, stopped: ours.length - failed.length, failed: failed.length }, 'stopped dynos');
  if (failed[0] !== undefined) throw failed[0].reason;
}

/** Whether a run of the resource has the command. One without a record is taken for its own: the purge took it, or Redis lost it. */
async function isOf(deps: DeprovisionDeps, resource: string, command: string): Promise<boolean> {
  const task = parseTaskId(readMarker(command)?.taskId ?? '');
  return task !== undefined && ((await deps.purge.ownerOf(task.runId)) ?? resource) === resource;
}

/** Cancels what came late, waits until the cancelled runs have ended by themselves, and stops what a launch in flight started meanwhile. */
async function drain(deps: DeprovisionDeps, resource: Resource): Promise<void> {
  const until = deps.now() + DRAIN_MS;
  const cancelled = new Set<string>();
  for (;;) {
    const { runs } = await deps.purge.open(resource.id);
    if (runs.length === 0) break;
    const late = runs.filter((run) => !cancelled.has(run));
    await Promise.all(late.map((run) => deps.runs.cancel(run, 'deprovision')));
    for (const run of late) cancelled.add(run);
    if (deps.now() > until) {
      deps.log.warn({ resource: resource.id, runs: runs.length }, 'runs did not wind up in time, their records are purged');
      break;
    }
    await sleep(LOOK_MS);
  }
  await stopDynos(deps, resource).catch((error: unknown) =>
    deps.log.warn({ resource: resource.id, error: messageOf(error) }, 'dynos not stopped'),
  );
}

async function removeBucket(deps: DeprovisionDeps, { bucket }: Resource): Promise<void> {
  for (let page = 0; page < PAGES; page += 1) {
    if ((await deps.buckets.emptyPage(bucket)) > 0) continue;
    await deps.buckets.remove(bucket);
    return;
  }
  throw new Failure('deadline_exceeded', `The bucket ${bucket} is not empty after ${PAGES} pages; the next try goes on.`);
}
