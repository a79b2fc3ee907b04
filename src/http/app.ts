// All routes, put together. Reads no environment and opens no socket, so tests call `app.request()`.
import { Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { RateLimit } from '../queues/rate-limit.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { workflowJsonSchema } from '../schema/workflow-schema.ts';
import type { AddressOf } from './address.ts';
import { BOARD_PATH, type BoardDeps, boardRoutes } from './admin/bull-board.ts';
import { type AdminDeps, adminRoutes } from './admin-routes.ts';
import { type ApiDeps, apiRoutes } from './api.ts';
import { mountRoutes, retrievingPaths } from './api-route.ts';
import { type DashboardDeps, dashboardRoutes } from './dashboard/routes.ts';
import { UPLOAD_PATH } from './dashboard/upload-routes.ts';
import { type HerokuHooksDeps, herokuHooksRoutes } from './heroku-hooks-routes.ts';
import { type CallLimits, createLimits } from './limit-calls.ts';
import { type OpsDeps, opsRoutes } from './ops.ts';
import { checkOrigin } from './origin.ts';
import { type PartnerDeps, partnerRoutes } from './partner-routes.ts';
import { type PrincipalSource, requirePrincipal } from './principal.ts';
import { problem } from './problem.ts';
import { limitBody } from './read-body.ts';
import { referenceRoutes } from './reference.ts';
import { failureOf, requireRedis } from './require-redis.ts';
import { securityHeaders } from './security-headers.ts';
import { type SignOnDeps, signOnRoutes } from './sign-on-routes.ts';

export interface AppDeps extends ApiDeps {
  /** Who may use the API, in the order in which they are asked. */
  readonly principals: readonly PrincipalSource[];
  /** Host names that requests may be addressed to; undefined: all (behind a router that checks). */
  readonly hosts: readonly string[] | undefined;
  readonly ops: OpsDeps;
  readonly partner: PartnerDeps;
  readonly herokuHooks: HerokuHooksDeps;
  readonly rate: RateLimit;
  readonly limits: CallLimits;
  readonly addressOf: AddressOf;
  readonly signOn: SignOnDeps;
  readonly admin: AdminDeps;
  readonly log: Log;
  /** The queues behind it all. */
  readonly board: BoardDeps;
  /** What pages need beside what the API needs. */
  readonly dashboard: Omit<DashboardDeps, keyof ApiDeps | 'ready' | 'log'>;
}

export function createApp(deps: AppDeps): Hono {
  const app = new Hono();
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse();
    const failure = failureOf(error);
    if (failure.status >= 500) deps.log.error({ path: c.req.path, error: messageOf(error) }, 'request failed');
    return problem(c, failure);
  });
  app.notFound((c) => problem(c, new Failure('not_found', `Found no route for ${c.req.method} ${c.req.path}.`)));
  app.use(securityHeaders({ secure: deps.signOn.secure }));
  if (deps.hosts !== undefined) app.use(checkOrigin(deps.hosts));

  const limit = createLimits(deps);
  const redis = requireRedis(deps.ops.ready);

  app.route('/', opsRoutes(deps.ops));
  app.get('/schema/workflow.json', (c) => c.json(workflowJsonSchema()));
  // what Heroku calls comes from few addresses for all customers
  app.use('/heroku/resources/*', limit.refused('partner'));
  app.route('/heroku/resources', partnerRoutes(deps.partner));
  // Events are not limited at all: whoever has an app may subscribe this address to its events with a secret of their own, and then it is Heroku that
  // sends what is refused. Counted against the address it would close the route for everybody's events, counted against the resource that it
  // asks for, which anybody may name, for that one's. A secret of 256 bits is guessed at no rate, and an event costs one read of Redis and one HMAC.
  app.use('/heroku/webhooks', redis);
  app.route('/heroku/webhooks', herokuHooksRoutes(deps.herokuHooks));
  app.use(limit.address);
  app.use(limitBody({ except: [UPLOAD_PATH] }));
  for (const path of ['/heroku/sso', '/session/*', '/admin/*', '/v1/*']) app.use(path, redis);
  app.route('/', signOnRoutes(deps.signOn));
  app.route('/admin', adminRoutes(deps.admin));
  const routes = apiRoutes(deps);
  app.use('/v1/*', requirePrincipal(deps.principals, retrievingPaths(routes)));
  app.use('/v1/*', limit.resource);
  app.route('/v1', mountRoutes(routes));
  app.route(BOARD_PATH, boardRoutes(deps.board));
  app.route('/', dashboardRoutes({ ...deps, ...deps.dashboard, ready: deps.ops.ready }));
  app.route('/', referenceRoutes(routes));
  return app;
}
