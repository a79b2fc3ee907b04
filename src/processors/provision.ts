import type { CredentialIssuer, DynoPlatform, EventQueue, ObjectStore } from '../clients/ports.ts';
import type { Resource, Resources } from '../queues/resources.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import type { Log } from '../schema/log.ts';

/** Seconds, 12 hours: how long a resource's credentials live; the longest that AssumeRole gives (s3sqs.md §2.6). */
const CREDENTIAL_LIFE_S = 43_200;
/** Milliseconds, 6 hours: credentials older than that are replaced while the old ones stay valid as long again. */
const ROTATE_AFTER_MS = 21_600_000;

export interface ProvisionDeps {
  readonly resources: Resources;
  readonly store: ObjectStore;
  readonly queue: EventQueue;
  readonly issuer: CredentialIssuer;
  readonly platform: DynoPlatform;
  readonly queueName: string;
  readonly now: () => number;
  /** Set in the engine, where crashes are tested. */
  readonly failpoint?: Failpoint;
  readonly log: Log;
}

/**
 * Makes everything that a resource consists of: bucket, versioning, record, notification, credentials, config vars.
 * Every step may be repeated, so a provisioning that died anywhere is simply run again.
 */
export async function provision(deps: ProvisionDeps, resource: Resource): Promise<void> {
  await deps.store.createBucket(resource.bucket);
  await deps.store.setVersioned(resource.bucket);
  const { arn } = await deps.queue.create(deps.queueName);
  // before the notification: the first event finds its owner
  await deps.resources.put(resource);
  await deps.store.notify(resource.bucket, arn);
  await rotate(deps, resource);
  deps.log.info({ resource: resource.id, bucket: resource.bucket }, 'provisioned a resource');
}

/** Gives the resource new credentials when it has none or they are six hours old. Answers whether it did. */
export async function rotate(
  deps: Pick<ProvisionDeps, 'resources' | 'issuer' | 'platform' | 'now' | 'failpoint' | 'log'>,
  resource: Resource,
): Promise<boolean> {
  const present = await deps.resources.credentials(resource.id);
  if (present !== undefined && present.expiresAt - deps.now() > CREDENTIAL_LIFE_S * 1000 - ROTATE_AFTER_MS) {
    // a crash between keeping them and telling the app is mended here
    const vars = await deps.platform.configVars(resource.app);
    if (vars['LD_AWS_ACCESS_KEY_ID'] === present.accessKeyId && vars['LD_S3_BUCKET'] === resource.bucket) return false;
  }
  const fresh = await deps.issuer.forBucket(resource.bucket, resource.id, CREDENTIAL_LIFE_S);
  deps.failpoint?.('rotate.issued');
  await deps.resources.setCredentials(resource.id, fresh);
  deps.failpoint?.('rotate.kept');
  await deps.platform.setConfigVars(resource.app, {
    LD_S3_BUCKET: resource.bucket,
    LD_AWS_ACCESS_KEY_ID: fresh.accessKeyId,
    LD_AWS_SECRET_ACCESS_KEY: fresh.secretAccessKey,
    LD_AWS_SESSION_TOKEN: fresh.sessionToken,
    LD_REGION: resource.region,
  });
  deps.failpoint?.('rotate.told');
  deps.log.info({ resource: resource.id, expiresAt: new Date(fresh.expiresAt).toISOString() }, 'rotated credentials');
  return true;
}
