import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { ApiError, notFound } from './api-error.ts';
import { accountJson, appRoutes } from './app-routes.ts';
import { dynoRoutes } from './dyno-routes.ts';
import type { Formation } from './formation.ts';
import { formationRoutes } from './formation-routes.ts';
import { authenticated, loopbackOnly, rateLimited, requestIds, versionThree } from './guard-requests.ts';
import { logplexRoutes, logSessionRoutes } from './log-routes.ts';
import type { LogSessions } from './log-sessions.ts';
import type { LogStore } from './log-store.ts';
import type { OneOffs } from './one-offs.ts';
import type { PlatformState } from './platform-state.ts';
import type { RateLimit } from './rate-limit.ts';

export interface ApiDeps {
  app: { id: string; name: string };
  token: string;
  state: PlatformState;
  oneOffs: OneOffs;
  formation: Formation;
  log: LogStore;
  sessions: LogSessions;
  rateLimit: RateLimit;
  id: () => string;
  now: () => number;
  report: (message: string) => void;
  /** Where the app itself answers. */
  webUrl: () => string;
}

// Every call of the API is small; a command and its variables are 64 KiB each at most.
const largestBody = 4 * 1024 * 1024;

/** The Platform API of the local cloud (heroku.md 2) as one Hono app. It opens no socket and reads no environment. */
export function createApi(deps: ApiDeps): Hono {
  const api = new Hono();
  api.onError((error, c) => {
    if (error instanceof ApiError) return c.json(error.body, error.status);
    deps.report(`${c.req.method} ${c.req.path}: ${error.stack ?? error.message}`);
    return c.json({ id: 'internal_server_error', message: `Internal error of the local platform: ${error.message}` }, 500);
  });
  api.notFound((c) => c.json({ id: 'not_found', message: `The local platform has no ${c.req.method} ${c.req.path}.` }, 404));
  api.use(loopbackOnly());
  api.route('/', logplexRoutes(deps.sessions));
  api.use(requestIds(deps.id), authenticated(deps.token), rateLimited(deps.rateLimit), versionThree());
  api.use(
    bodyLimit({
      maxSize: largestBody,
      onError: () => {
        throw new ApiError(413, 'request_entity_too_large', `The request body is larger than ${largestBody} bytes.`);
      },
    }),
  );
  api.get('/account', (c) => c.json(accountJson(deps.state)));
  api.get('/account/rate-limits', (c) => c.json({ remaining: deps.rateLimit.remaining() }));
  const ofApp = new Hono();
  ofApp.use('/:app/*', async (c, next) => {
    const wanted = c.req.param('app');
    if (wanted !== deps.app.name && wanted !== deps.app.id) throw notFound('app');
    await next();
  });
  for (const routes of [appRoutes(deps), dynoRoutes(deps), formationRoutes(deps), logSessionRoutes(deps)]) ofApp.route('/:app', routes);
  api.route('/apps', ofApp);
  return api;
}
