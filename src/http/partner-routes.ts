// Heroku's side of an add-on's life: the Add-on Partner API v3 (heroku.md §1.1–1.5). A call only writes what was decided and rings a job, so
// it is answered in milliseconds whatever S3 does, and may come any number of times.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { within } from '../clients/deadline.ts';
import type { Audit } from '../queues/audit.ts';
import type { Locks } from '../queues/locks.ts';
import type { PlanUndo } from '../queues/plan-undo.ts';
import { isRedisOutage } from '../queues/redis-outage.ts';
import type { ResourceJobs } from '../queues/resource-jobs.ts';
import type { Resources } from '../queues/resources.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { awsRegionOf } from '../schema/heroku-regions.ts';
import type { Log } from '../schema/log.ts';
import { isUuid, type ProvisionRequest, planChangeRequest, provisionRequest } from '../schema/partner-api.ts';
import { PLANS, type Plan, planOf } from '../schema/plans.ts';
import type { AddressOf } from './address.ts';
import { requireBasic } from './basic-auth.ts';
import { putPlan } from './plan-change.ts';

/** Bytes of a request; Heroku's have about 1,000. */
const MAX_BODY_BYTES = 65_536;
/** Milliseconds for an answer: Heroku asks for 3 s and gives up after 25. */
const ANSWER_MS = 2_800;
/** Milliseconds that a removal waits for its dynos to be stopped: with our answer Heroku ends our access to them. */
const QUIET_MS = 2_500;
const LOOK_MS = 40;

export interface PartnerDeps {
  readonly addonId: string;
  /** undefined: the Partner API is closed. */
  readonly addonPassword: string | undefined;
  readonly resources: Resources;
  readonly jobs: Pick<ResourceJobs, 'add'>;
  readonly locks: Locks;
  readonly audit: Pick<Audit, 'append'>;
  /** One whose entry is refused when it cannot be written in time: a change of plan is set back then. */
  readonly planAudit: Pick<Audit, 'append'>;
  readonly planUndo: PlanUndo;
  /** What is kept outside Redis before Heroku is answered; undefined: nothing is archived. */
  readonly archive:
    | {
        /** The archive knows of the resource, and Redis what the archive knows of it. Repeatable. */
        readonly begin: (id: string) => Promise<void>;
        /** Puts back what the archive knows of a resource. */
        readonly recall: (id: string) => Promise<void>;
        /** The archive knows that the resource is being removed; false when Redis does not (any more). */
        readonly keepRemoval: (id: string) => Promise<boolean>;
        /** The archive knows the plan; false when Redis does not (any more). */
        readonly keepPlan: (id: string, plan: string) => Promise<boolean>;
      }
    | undefined;
  /** AWS region of this deployment's queue; buckets stand there, too. */
  readonly region: string;
  readonly asyncDeprovision: boolean;
  /** Whether `local`, the plan of one's own machine, is to be had. */
  readonly localPlan: boolean;
  readonly addressOf: AddressOf;
  readonly now: () => number;
  /** A new id, as no other. */
  readonly id: () => string;
  readonly log: Log;
}

/** `signal` fires when Heroku was answered that it took too long. */
interface PartnerEnv {
  Variables: { signal: AbortSignal };
}

/** To be mounted at `/heroku/resources`. */
export function partnerRoutes(deps: PartnerDeps): Hono<PartnerEnv> {
  const routes = new Hono<PartnerEnv>();
  const { addonId: user, addonPassword: password } = deps;
  routes.onError((error, c) => {
    const failure = error instanceof Failure ? error : isRedisOutage(error) ? away(error) : new Failure('internal', '', { cause: error });
    if (failure.status >= 500) deps.log.error({ path: c.req.path, error: messageOf(error) }, 'partner call failed');
    // a status of ours alone would mean nothing to Heroku; 503 is tried again and its message shown
    const status = failure.status >= 500 ? 503 : failure.status === 401 ? 401 : 422;
    return c.json({ id: failure.code, message: failure.message }, status);
  });
  routes.use(requireBasic(password === undefined ? undefined : { user, password }, 'add-on manifest'));
  routes.use(bodyLimit({ maxSize: MAX_BODY_BYTES, onError: (c) => refusal(c, 413, `The body has more than ${MAX_BODY_BYTES} bytes.`) }));
  // Heroku does not wait as long as we do for Redis
  routes.use(async (c, next) => {
    try {
      await within({}, ANSWER_MS, async (signal) => {
        c.set('signal', signal);
        await next();
      });
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw away(error);
    }
  });

  routes.post('/', async (c) => await provision(deps, c));
  routes.put('/:id', async (c) => await changePlan(deps, c, c.var.signal));
  routes.delete('/:id', async (c) => await remove(deps, c));
  return routes;
}

/** Heroku shows the message to the customer. */
function away(cause: unknown): Failure {
  return new Failure('redis_unavailable', 'Autofiles cannot answer at the moment. Please try again.', { cause });
}

async function provision(deps: PartnerDeps, c: Context): Promise<Response> {
  const body = await json(c);
  if (!provisionRequest.Check(body)) {
    const [fault] = provisionRequest.Errors(body);
    return refusal(c, 422, `The request is wrong at ${fault?.instancePath || '/'}: ${fault?.message ?? 'not as expected'}.`);
  }
  const { uuid: id, plan } = body;
  const state = await recalled(deps, id);
  if (state === 'removed' || state === 'deprovisioning') return refusal(c, 410, 'This add-on was removed. Provision a new one.');
  if (state === undefined) {
    if (offered(deps, plan) === undefined) return refusal(c, 422, unknownPlan(plan));
    const region = awsRegionOf(body.region);
    if (region !== deps.region)
      return refusal(c, 422, `Autofiles is not available in the region ${body.region}. It is available for apps in ${deps.region}.`);
  }
  const claimed = await deps.resources.claim(
    {
      id,
      app: '',
      bucket: `ld-private-${id}`,
      region: deps.region,
      plan,
      state: 'provisioning',
      ...(body.name === undefined ? {} : { name: body.name }),
      ...(body.options?.['commands'] === 'procfile' ? { commands: 'procfile' } : {}),
    },
    grantOf(body),
  );
  if (claimed.done) {
    await deps.audit.append(id, { actor: 'heroku', action: 'resource.provision', detail: `plan ${plan}`, address: deps.addressOf(c) });
    deps.log.info({ resource: id, plan }, 'provisioning a resource');
  }
  // before it is accepted: a Redis that loses it gets it back; also when another call made it, which may not have come that far
  if (claimed.done || claimed.state === 'provisioning') await deps.archive?.begin(id);
  // what stands now may have been made by a call that died before it rang
  const found = await deps.resources.get(id);
  if (found === undefined || found.state === 'deprovisioning') return refusal(c, 410, 'This add-on was removed. Provision a new one.');
  if (found.state === 'failed')
    return refusal(c, 422, `Autofiles could not be set up: ${found.error ?? 'unknown'} Please provision it again.`);
  await deps.resources.index(found);
  if (found.state === 'provisioning') await deps.jobs.add({ kind: 'provision', resource: id });
  return c.json({ id, message: 'line-D is being provisioned and will be available shortly.' }, 202);
}

/** Where the resource's life stands. What Redis does not know the archive may: it was lost, and is being put back. */
async function recalled(deps: PartnerDeps, id: string) {
  const state = await deps.resources.stateOf(id);
  if (state !== undefined || deps.archive === undefined) return state;
  await deps.archive.recall(id);
  return await deps.resources.stateOf(id);
}

function grantOf({ oauth_grant: grant }: ProvisionRequest) {
  if (grant === undefined || grant === null) return {};
  const expiresAt = Date.parse(grant.expires_at);
  return { grant: { code: grant.code, expiresAt: Number.isNaN(expiresAt) ? 0 : expiresAt } };
}

async function changePlan(deps: PartnerDeps, c: Context, signal: AbortSignal): Promise<Response> {
  const id = c.req.param('id') ?? '';
  const body = await json(c);
  if (!planChangeRequest.Check(body)) return refusal(c, 422, 'The request names no plan.');
  const plan = offered(deps, body.plan);
  if (plan === undefined) return refusal(c, 422, unknownPlan(body.plan));
  // what is kept below takes the place of what the archive has: nothing of that is lost
  if (isUuid(id)) await deps.archive?.recall(id);
  const state = isUuid(id) ? await deps.resources.stateOf(id) : undefined;
  if (state === undefined) return refusal(c, 404, 'There is no such add-on.');
  const done = await putPlan({ ...deps, audit: deps.planAudit }, { id, plan: body.plan, address: deps.addressOf(c) }, signal);
  if (!done) return refusal(c, state === 'failed' ? 422 : 410, 'This add-on was removed.');
  return c.json({ message: `The plan ${plan.name} is in force.` }, 200);
}

async function remove(deps: PartnerDeps, c: Context): Promise<Response> {
  const id = c.req.param('id') ?? '';
  const gone = () => refusal(c, 410, 'This add-on was removed.');
  if (!isUuid(id)) return gone();
  await recalled(deps, id);
  const { done, state } = await deps.resources.change(id, {
    from: ['provisioning', 'provisioned', 'failed'],
    set: { state: 'deprovisioning' },
    unset: ['grant', 'pending'],
  });
  if (!done && state !== 'deprovisioning') return gone();
  if (done) {
    await deps.audit.append(id, { actor: 'heroku', action: 'resource.deprovision', address: deps.addressOf(c) });
    deps.log.info({ resource: id }, 'removing a resource');
  }
  await deps.jobs.add({ kind: 'deprovision', resource: id });
  // before it is promised; whoever asks again has it decided again
  const [kept] = await Promise.all([deps.archive?.keepRemoval(id), deps.asyncDeprovision ? undefined : untilQuiet(deps, id)]);
  if (kept === false) throw new Failure('redis_unavailable', 'It lost data meanwhile. Please try again.');
  if (deps.asyncDeprovision) return c.json({ message: 'The add-on is being removed; its dynos are stopped first.' }, 202);
  return c.body(null, 204);
}

/** Until the job has stopped the dynos; when that takes too long, their time_to_live ends what is left. */
async function untilQuiet(deps: PartnerDeps, id: string): Promise<void> {
  const until = deps.now() + QUIET_MS;
  while (deps.now() < until) {
    const resource = await deps.resources.get(id);
    if (resource === undefined || resource.quiet !== undefined) return;
    await sleep(LOOK_MS);
  }
  deps.log.warn({ resource: id }, 'the dynos of a removed resource were not stopped in time');
}

function offered(deps: PartnerDeps, plan: string): Plan | undefined {
  return plan === 'local' && !deps.localPlan ? undefined : planOf(plan);
}

function unknownPlan(plan: string): string {
  const sold = Object.keys(PLANS).filter((slug) => slug !== 'local');
  return `There is no plan ${JSON.stringify(plan)}. Choose one of ${sold.join(', ')}.`;
}

/** Heroku shows the message to the customer. */
function refusal(c: Context, status: 404 | 410 | 413 | 422, message: string): Response {
  return c.json({ message }, status);
}

async function json(c: Context): Promise<unknown> {
  try {
    return await c.req.json();
  } catch (cause) {
    throw new Failure('request_invalid', 'The body is not JSON.', { cause });
  }
}
