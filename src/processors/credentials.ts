// The credentials of a resource: made, kept, told to the app, in this order, so that a crash anywhere leaves one truth.
import { createHash } from 'node:crypto';
import type { AddonPlatform } from '../clients/addon-ports.ts';
import type { CredentialIssuer, DynoPlatform } from '../clients/ports.ts';
import type { Resource, ResourceCredentials, Resources } from '../queues/resources.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import type { Log } from '../schema/log.ts';

/** Seconds, 12 hours: how long credentials live; the longest that AssumeRole gives (s3sqs.md §2.6). */
export const LIFE_S = 43_200;
/** Milliseconds, 6 hours: credentials are replaced at this age at the latest, while the old ones stay valid for six hours more. */
const ROTATE_AFTER_MS = 21_600_000;
/** Milliseconds, 30 minutes: resources rotate up to this much earlier, each at its own time, so that not all apps restart at once. */
const JITTER_MS = 1_800_000;
/** Milliseconds, 2 hours: credentials that end sooner than this mean that rotation does not work. */
export const ALARM_MS = 7_200_000;

export interface CredentialDeps {
  readonly resources: Resources;
  readonly issuer: CredentialIssuer;
  readonly platform: DynoPlatform;
  /** For resources that Heroku provisioned; without it config vars are set on the app itself. */
  readonly addons?: AddonPlatform;
  readonly now: () => number;
  /** Set in the engine, where crashes are tested. */
  readonly failpoint?: Failpoint;
  readonly log: Log;
}

/**
 * Whether the credentials want replacing: there are none, they are about six hours old, or they were made before `before` (ms). The jitter of a
 * resource is always the same, so its customer's app restarts at even distances.
 */
export function isDue(resource: string, held: ResourceCredentials | undefined, now: number, before?: number): boolean {
  if (held === undefined) return true;
  const issuedAt = held.issuedAt ?? held.expiresAt - LIFE_S * 1000;
  if (before !== undefined && issuedAt <= before) return true;
  const early = (createHash('sha256').update(resource).digest().readUInt32BE(0) / 2 ** 32) * JITTER_MS;
  return now - issuedAt >= ROTATE_AFTER_MS - early;
}

/**
 * Gives the resource new credentials when it is due, or finishes what a crash left half done. Answers whether the app was told of new ones.
 * In `from` the resource may be, else nothing happens: one that is being removed gets none.
 */
export async function rotate(deps: CredentialDeps, resource: Resource, options: { readonly before?: number } = {}): Promise<boolean> {
  const { resources, now } = deps;
  let pending = await resources.secret(resource.id, 'pending');
  // those of an order before this one, or of hours ago, are not what the app is to have for the next six
  if (pending === undefined || isDue(resource.id, pending, now(), options.before)) {
    if (pending === undefined && !isDue(resource.id, await resources.secret(resource.id, 'credentials'), now(), options.before))
      return false;
    // before the call: an order that comes while it lasts is one for those after these
    const issuedAt = now();
    const issued = await deps.issuer.forBucket(resource.bucket, resource.id, LIFE_S);
    deps.failpoint?.('rotate.issued');
    pending = { ...issued, issuedAt };
    const { done } = await resources.change(resource.id, { secrets: { pending } });
    if (!done) return false;
    deps.failpoint?.('rotate.kept');
  }
  const kept = await resources.sealedSecret(resource.id, 'pending');
  // another worker has this job as well: one of the two was frozen, and its job was given to the other
  if (kept?.value.accessKeyId !== pending.accessKeyId) return await rotate(deps, resource, options);
  // what the app has is what dynos get next: the old ones go on beside them until they end by themselves
  await tell(deps, resource, pending);
  deps.failpoint?.('rotate.told');
  const { done, state } = await resources.change(resource.id, {
    held: { pending: kept.sealed },
    secrets: { credentials: pending },
    unset: ['pending'],
  });
  if (!done && (state === 'provisioning' || state === 'provisioned')) {
    // the app may have been told of these after it was told of newer ones
    const stands = (await resources.secret(resource.id, 'pending')) ?? (await resources.secret(resource.id, 'credentials'));
    if (stands !== undefined && stands.accessKeyId !== pending.accessKeyId) await tell(deps, resource, stands);
    return await rotate(deps, resource, options);
  }
  if (done) deps.log.info({ resource: resource.id, expiresAt: new Date(pending.expiresAt).toISOString() }, 'rotated credentials');
  return done;
}

/** The five config vars of the add-on's documentation. */
export function configVarsOf(resource: Pick<Resource, 'bucket' | 'region'>, credentials: ResourceCredentials): Record<string, string> {
  return {
    LD_S3_BUCKET: resource.bucket,
    LD_AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    LD_AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    LD_AWS_SESSION_TOKEN: credentials.sessionToken,
    LD_REGION: resource.region,
  };
}

async function tell(deps: CredentialDeps, resource: Resource, credentials: ResourceCredentials): Promise<void> {
  const vars = configVarsOf(resource, credentials);
  if (deps.addons !== undefined && (await deps.resources.secret(resource.id, 'partner')) !== undefined) {
    await deps.addons.setConfig(resource.id, vars);
  } else await deps.platform.setConfigVars(resource.app, vars);
}

/**
 * What an operator is called for: credentials that end within two hours, or none although the look before this one ordered them already
 * (`missed`). Undefined when all is well, and while the first ones are being made.
 */
export function credentialAlarm(
  held: ResourceCredentials | undefined,
  missed: boolean,
  now: number,
): { readonly text: string; readonly leftMinutes?: number } | undefined {
  if (held === undefined)
    return missed ? { text: 'ALARM: the resource has no credentials, and its rotation does not give it any' } : undefined;
  const left = held.expiresAt - now;
  if (left >= ALARM_MS) return undefined;
  return { text: 'ALARM: the credentials end in less than two hours and were not rotated', leftMinutes: Math.floor(left / 60_000) };
}
