// `/v1/credentials`: the AWS container-credentials protocol, which AWS SDKs speak by themselves (AWS_CONTAINER_CREDENTIALS_FULL_URI with
// AWS_CONTAINER_AUTHORIZATION_TOKEN). They ask again before the stated end, so a rotation restarts nothing.
import Type from 'typebox';
import type { Audit } from '../queues/audit.ts';
import type { ResourceJobs } from '../queues/resource-jobs.ts';
import type { Resources } from '../queues/resources.ts';
import { ContainerCredentials } from '../schema/api-views.ts';
import { Failure } from '../schema/failures.ts';
import { type ApiRoute, apiRoute } from './api-route.ts';

/** Milliseconds, 1 hour: SDKs come back at least that often, so each has the new credentials long before the old ones end. */
const STATED_LIFE_MS = 3_600_000;

export interface CredentialsDeps {
  readonly resources: Pick<Resources, 'launchable'>;
  readonly jobs: Pick<ResourceJobs, 'add'>;
  readonly audit: Pick<Audit, 'append'>;
  readonly now: () => number;
}

/** Whoever has the bucket's credentials may write into it, so a token that may only read gets none. */
export function credentialsRoutes(deps: CredentialsDeps): readonly ApiRoute[] {
  return [
    apiRoute(
      {
        method: 'get',
        path: '/credentials',
        id: 'getCredentials',
        tag: 'Credentials',
        summary: 'The bucket’s credentials, in the form that AWS SDKs refresh by themselves; needs the scope write',
        reply: ContainerCredentials,
        failures: ['not_found'],
        examples: [{ summary: 'What an SDK asks' }],
      },
      async ({ c, resource }) => {
        if (c.var.principal.scope !== 'write') throw new Failure('forbidden', 'Found the scope read, expected write.');
        const held = (await deps.resources.launchable(resource))?.credentials;
        if (held === undefined || held.expiresAt <= deps.now())
          throw new Failure('not_found', 'The resource has no valid credentials at the moment.');
        const body = {
          AccessKeyId: held.accessKeyId,
          SecretAccessKey: held.secretAccessKey,
          Token: held.sessionToken,
          Expiration: new Date(Math.min(held.expiresAt, deps.now() + STATED_LIFE_MS)).toISOString(),
        };
        return c.json(body, 200, { 'cache-control': 'no-store' });
      },
    ),
    apiRoute(
      {
        method: 'post',
        path: '/credentials/rotate',
        id: 'rotateCredentials',
        tag: 'Credentials',
        summary: 'Replace the bucket’s credentials now; the old ones end by themselves within twelve hours',
        status: 202,
        reply: Type.Object({ requested_at: Type.String() }),
        examples: [{ summary: 'Rotate' }],
      },
      async ({ c, resource }) => {
        const before = deps.now();
        await deps.audit.append(resource, { actor: c.var.principal.name, action: 'credentials.rotate', detail: 'asked for' });
        await deps.jobs.add({ kind: 'rotate', resource, before });
        return { requested_at: new Date(before).toISOString() };
      },
    ),
  ];
}
