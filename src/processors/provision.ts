// Everything that a resource consists of: bucket, notification, record, credentials, config vars. Every step may be repeated, so a
// provisioning that died anywhere is simply run again.
import type { AddonPlatform, BucketAdmin, HerokuOAuth } from '../clients/addon-ports.ts';
import type { Audit } from '../queues/audit.ts';
import type { ResourceState } from '../queues/resource-record.ts';
import type { Resource } from '../queues/resources.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { type CredentialDeps, configVarsOf, rotate } from './credentials.ts';
import type { ResourceArchive } from './resource-archive.ts';

/** Milliseconds, 11 hours: Heroku gives a provisioning up after 12 (heroku.md §1.2). */
const GIVE_UP_MS = 39_600_000;

/** Milliseconds, 10 minutes: how long a refusal of Heroku's may be one that passes. */
const REFUSED_MS = 600_000;

/** States in which nobody has the bucket, and from which none comes back that has. */
const OVER: readonly string[] = ['failed', 'deprovisioning', 'removed'] satisfies ResourceState[];

interface StorageDeps {
  readonly buckets: BucketAdmin;
  /** The ARN of the queue that the workers read: where buckets are to send their events. */
  readonly queueArn: () => Promise<string>;
  /** Begins the ledger's account of a bucket; undefined: the first sweep does. Repeatable. */
  readonly beginAccount?: (resource: Resource) => Promise<void>;
  /** Where Heroku's events of dynos are to be sent, and what makes their secrets; without it the dyno list tells alone. */
  readonly hooks?: { readonly url: string; readonly secret: () => string };
}

/**
 * Sets a resource up on an app for which we hold a token of our own, without Heroku's provisioning: the config vars are set on the app itself.
 * Answers when all of it works; may be repeated, and then also mends config vars that somebody changed.
 */
export async function provision(deps: CredentialDeps & StorageDeps, resource: Resource): Promise<void> {
  await deps.buckets.make(resource.bucket);
  await deps.beginAccount?.(resource);
  // before the notification: the first event finds its owner
  await deps.resources.put(resource);
  await notify(deps, resource);
  const told = await rotate(deps, resource);
  const held = await deps.resources.secret(resource.id, 'credentials');
  if (!told && held !== undefined) await mend(deps, resource, configVarsOf(resource, held));
  await subscribe(deps, resource.id, (hook) => deps.platform.subscribe(resource.app, hook));
  deps.log.info({ resource: resource.id, bucket: resource.bucket }, 'provisioned a resource');
}

async function mend(deps: CredentialDeps, resource: Resource, wanted: Readonly<Record<string, string>>): Promise<void> {
  const found = await deps.platform.configVars(resource.app);
  if (Object.entries(wanted).some(([name, value]) => found[name] !== value)) await deps.platform.setConfigVars(resource.app, wanted);
}

async function notify(deps: StorageDeps, resource: Resource): Promise<void> {
  await deps.buckets.notify(resource.bucket, await deps.queueArn());
}

export interface AddonDeps extends CredentialDeps, StorageDeps {
  readonly addons: AddonPlatform;
  readonly oauth: HerokuOAuth;
  readonly audit: Audit;
  /** Whether Heroku lets us start dynos with the token of this add-on. */
  readonly probe: (resource: Resource) => Promise<Resource['permission']>;
  /** What is kept outside Redis; undefined: nothing is archived. */
  readonly archive: ResourceArchive | undefined;
  /** The epoch, when Redis is known to be whole now. Throws Failure redis_unavailable while it is not. */
  readonly whole: () => Promise<number>;
}

/**
 * The job after the 202: exchanges the grant, makes everything, tells Heroku. Resolves when the resource is provisioned, has failed for good
 * (Heroku is told, the record says why), or is not to be provisioned any more. Throws what another try may heal.
 */
export async function provisionAddon(deps: AddonDeps, id: string): Promise<void> {
  const epoch = await deps.whole();
  const found = await deps.resources.get(id);
  if (found?.state === 'failed') await clearAway(deps, found);
  if (found === undefined || found.state === 'deprovisioning') return await leaveNoBucket(deps, id);
  if (found.state !== 'provisioning') return;
  try {
    await steps(deps, found);
  } catch (error) {
    if (!(await isFinal(deps, found, error))) throw error;
    // what a Redis that lost data says is no reason to give up: a code that was used may have its tokens in the archive
    if ((await deps.whole()) !== epoch) throw error;
    await giveUp(deps, found, error);
  }
}

/** A try before this one may have made the bucket when the removal was past it, and not got it away. */
async function leaveNoBucket(deps: AddonDeps, id: string): Promise<void> {
  const tombstone = await deps.resources.tombstone(id);
  if (tombstone !== undefined) await removeBucket(deps, tombstone.bucket);
  // until it is over, the removal is alone to take anything away: the archive knows of it first
  else if ((await deps.resources.stateOf(id)) === 'deprovisioning')
    throw new Failure('conflict', `Resource ${id} is being removed; whether its bucket went is seen afterwards.`);
}

/** What nobody can heal: a grant that Heroku does not take, a bucket name of somebody else, and everything when Heroku has stopped waiting. */
async function isFinal(deps: AddonDeps, resource: Resource, error: unknown): Promise<boolean> {
  const age = deps.now() - Number(resource.created ?? deps.now());
  if (age > GIVE_UP_MS) return true;
  if (!(error instanceof Failure)) return false;
  if (error.code === 'conflict') return true;
  if (error.code !== 'heroku_refused') return false;
  // with a token: Heroku refuses its partner's calls until it has taken in the 202
  return age > REFUSED_MS || (await deps.resources.secret(resource.id, 'partner')) === undefined;
}

async function steps(deps: AddonDeps, resource: Resource): Promise<void> {
  const { resources, failpoint } = deps;
  const { id } = resource;
  await exchange(deps, id);
  // the code is used now: with the tokens, whatever is made from here on would be lost
  await deps.archive?.keep(id, deps.whole);
  failpoint?.('provision.archived');
  // Heroku answers 404 until it has seen our 202: that heals
  const { app, name } = await deps.addons.info(id);
  const placed = { ...resource, app: app.id, app_name: app.name, name };
  // a removal that began meanwhile has the word: nothing is made after it, and its app may have the next add-on already
  const goesOn = async (set: Partial<Resource>) => (await resources.change(id, { from: ['provisioning'], set })).done;
  if (!(await goesOn({ app: app.id, app_name: app.name, name }))) return;
  await resources.index(placed);
  failpoint?.('provision.placed');
  const permission = await deps.probe(placed);
  if (!(await goesOn({ permission: permission ?? 'none' }))) return;
  await deps.buckets.make(resource.bucket);
  const made = await resources.change(id, { from: ['provisioning'] });
  if (!made.done) {
    // the removal may have been past its bucket; but a job that was taken from this worker, as it froze, may be done: then a customer has it
    if (OVER.includes(made.state)) await removeBucket(deps, resource.bucket);
    return;
  }
  await deps.beginAccount?.(resource);
  failpoint?.('provision.bucket');
  await notify(deps, resource);
  failpoint?.('provision.notified');
  await rotate(deps, placed);
  await subscribe(deps, id, (hook) => deps.addons.subscribe(id, hook));
  await deps.addons.provisioned(id);
  failpoint?.('provision.told');
  const { done } = await resources.change(id, { from: ['provisioning'], set: { state: 'provisioned' }, unset: ['error'] });
  if (!done) return;
  await deps.audit.append(id, {
    actor: 'engine',
    action: 'resource.provisioned',
    detail: `bucket ${resource.bucket}, dynos by ${permission ?? 'none'}`,
  });
  deps.log.info({ resource: id, bucket: resource.bucket, permission }, 'provisioned a resource');
  await deps.archive?.keep(id, deps.whole);
}

/** The code works once: what it gave is kept before anything else is done. */
async function exchange(deps: AddonDeps, id: string): Promise<void> {
  if ((await deps.resources.secret(id, 'partner')) !== undefined) return;
  const grant = await deps.resources.secret(id, 'grant');
  if (grant === undefined) throw new Failure('heroku_refused', 'The provision request carried no OAuth grant.');
  const partner = await deps.oauth.exchange(grant.code);
  deps.failpoint?.('provision.exchanged');
  await deps.resources.change(id, { secrets: { partner }, unset: ['grant'] });
  deps.failpoint?.('provision.kept');
}

/** Events only make dynos' ends known sooner; an add-on that may not have them does without. */
async function subscribe(
  deps: CredentialDeps & StorageDeps,
  id: string,
  ask: (hook: { readonly url: string; readonly secret: string }) => Promise<void>,
): Promise<void> {
  if (deps.hooks === undefined) return;
  const hook = (await deps.resources.secret(id, 'hook')) ?? { secret: deps.hooks.secret() };
  const { done } = await deps.resources.change(id, { secrets: { hook } });
  if (!done) return;
  try {
    await ask({ url: `${deps.hooks.url}?resource=${id}`, secret: hook.secret });
  } catch (error) {
    if (error instanceof Failure && error.retry) throw error;
    deps.log.warn({ resource: id, error: messageOf(error) }, 'no dyno events for this resource, its dyno list is polled');
  }
}

async function removeBucket({ buckets }: StorageDeps, bucket: string): Promise<void> {
  while ((await buckets.emptyPage(bucket)) > 0);
  await buckets.remove(bucket);
}

/** Who takes a resource for lost says so first: another worker, which has its job now, may have finished it, or else makes no more of it. */
async function giveUp(deps: AddonDeps, resource: Resource, error: unknown): Promise<void> {
  const { id } = resource;
  const why = messageOf(error);
  const { done, state } = await deps.resources.change(id, {
    from: ['provisioning'],
    set: { state: 'failed', error: why },
    unset: ['grant', 'credentials', 'pending', 'hook'],
  });
  if (!done) {
    // it may have been a removal of the bucket that failed: the next try is for that
    if (OVER.includes(state)) throw error;
    return;
  }
  deps.log.error({ resource: id, error: why }, 'provisioning failed for good');
  await deps.audit.append(id, { actor: 'engine', action: 'resource.failed', detail: why });
  await clearAway(deps, resource);
}

/**
 * Nothing of a failed resource is left but its record: the bucket goes, Heroku is told, and the customer is not charged. The tokens go last: as long
 * as they are there, there is more to do. Repeatable.
 */
async function clearAway(deps: AddonDeps, { id, bucket }: Resource): Promise<void> {
  await removeBucket(deps, bucket);
  if ((await deps.resources.secret(id, 'partner')) !== undefined) await deps.addons.deprovisioned(id);
  await deps.resources.change(id, { from: ['failed'], unset: ['partner'] });
}
