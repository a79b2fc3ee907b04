// `/admin/*`: for who runs the service, with credentials of their own. No secret of a resource is shown here either.
import { Hono } from 'hono';
import type { Audit } from '../queues/audit.ts';
import type { ResourceJobs } from '../queues/resource-jobs.ts';
import type { Resources } from '../queues/resources.ts';
import { Failure } from '../schema/failures.ts';
import type { AddressOf } from './address.ts';
import { requireBasic } from './basic-auth.ts';

export interface AdminDeps {
  /** Of the user `operator`; undefined: closed. */
  readonly password: string | undefined;
  readonly resources: Resources;
  readonly jobs: ResourceJobs;
  readonly audit: Audit;
  readonly addressOf: AddressOf;
  readonly now: () => number;
}

/** To be mounted at `/admin`. */
export function adminRoutes(deps: AdminDeps): Hono {
  const routes = new Hono();
  const { password } = deps;
  // asked by Basic, so that a browser asks for it and then shows the queues, too
  const operators = requireBasic(password === undefined ? undefined : { user: 'operator', password }, 'operators');

  routes.get('/resources', operators, async (c) => {
    const all = await deps.resources.list();
    return c.json(
      await Promise.all(
        all.map(async ({ id, name, app, app_name, plan, region, bucket, state = 'provisioned', permission, error }) => {
          const held = await deps.resources.secret(id, 'credentials');
          const left = held === undefined ? null : Math.round((held.expiresAt - deps.now()) / 1000);
          return {
            id,
            name: name ?? null,
            app: app_name ?? app,
            plan,
            region,
            bucket,
            state,
            permission: permission ?? 'static',
            error: error ?? null,
            credentials_left_s: left,
          };
        }),
      ),
    );
  });

  routes.post('/resources/:id/rotate', operators, async (c) => {
    // browsers send Basic credentials along with other sites' forms
    const site = c.req.header('sec-fetch-site');
    if (site !== undefined && site !== 'same-origin' && site !== 'none')
      throw new Failure('forbidden', 'The request comes from another site.');
    const id = c.req.param('id');
    if ((await deps.resources.get(id)) === undefined) throw new Failure('not_found', `Found no resource ${id}.`);
    await deps.audit.append(id, { actor: 'operator', action: 'credentials.rotate', address: deps.addressOf(c) });
    await deps.jobs.add({ kind: 'rotate', resource: id, before: deps.now() });
    return c.json({ id }, 202);
  });
  return routes;
}
