import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { etag } from 'hono/etag';
import { type AddonRoutesDeps, addonRoutes, appAddonRoutes } from './addons/addon-routes.ts';
import { identityRoutes } from './addons/identity-routes.ts';
import type { Oauth } from './addons/oauth.ts';
import { partnerMay } from './addons/partner-access.ts';
import type { Provider } from './addons/providers.ts';
import { serviceRoutes } from './addons/service-routes.ts';
import { ApiError, notFound } from './api-error.ts';
import { accountJson, appJson, appRoutes } from './app-routes.ts';
import { appDirectoryRoutes, directoryRoutes } from './directory-routes.ts';
import { dynoRoutes } from './dyno-routes.ts';
import type { Formation } from './formation.ts';
import { formationRoutes } from './formation-routes.ts';
import { type ApiEnv, authenticated, loopbackOnly, rateLimited, requestIds, versionThree } from './guard-requests.ts';
import { logplexRoutes, logSessionRoutes } from './log-routes.ts';
import type { LogSessions } from './log-sessions.ts';
import type { LogStore } from './log-store.ts';
import type { OneOffs } from './one-offs.ts';
import type { PlatformState } from './platform-state.ts';
import type { RateLimit } from './rate-limit.ts';
import type { Releases } from './releases.ts';
import { type WebhookRoutesDeps, webhookRoutes } from './webhooks/webhook-routes.ts';

export interface ApiDeps extends AddonRoutesDeps, Omit<WebhookRoutesDeps, 'addonOf'> {
  token: string;
  state: PlatformState;
  oneOffs: OneOffs;
  /** A process type that was scaled, as the API shows it. */
  scaled: (entry: Record<string, unknown> & { id: string }) => void;
  formation: Formation;
  log: LogStore;
  sessions: LogSessions;
  rateLimit: RateLimit;
  releases: Releases;
  providers: readonly Provider[];
  oauth: Oauth;
  ownedByAddon: (name: string) => boolean;
  /** A fresh unguessable text. */
  secret: () => string;
  id: () => string;
  now: () => number;
  report: (message: string) => void;
  /** Where the app itself answers. */
  webUrl: () => string;
}

// Every call of the API is small; a command and its variables are 64 KiB each at most.
const largestBody = 4 * 1024 * 1024;

/** The Platform API of the local cloud (heroku.md 2) as one Hono app. It opens no socket and reads no environment. */
export function createApi(deps: ApiDeps): Hono<ApiEnv> {
  const { addons } = deps;
  const api = new Hono<ApiEnv>();
  api.onError((error, c) => {
    if (error instanceof ApiError) return c.json(error.body, error.status);
    deps.report(`${c.req.method} ${c.req.path}: ${error.stack ?? error.message}`);
    return c.json({ id: 'internal_server_error', message: `Internal error of the local platform: ${error.message}` }, 500);
  });
  api.notFound((c) => c.json({ id: 'not_found', message: `The local platform has no ${c.req.method} ${c.req.path}.` }, 404));
  api.use(loopbackOnly());
  api.route('/', logplexRoutes(deps.sessions));
  const accountId = deps.state.identity.accountId;
  api.route('/', identityRoutes({ ...deps, accountId, nonce: deps.secret }));
  const may = (addonId: string, method: string, path: string): boolean => {
    const addon = addons.find(addonId);
    const permissions = addon === undefined ? undefined : addons.provider(addon.service)?.permissions;
    return addon !== undefined && permissions !== undefined && partnerMay({ method, path, addon, permissions });
  };
  api.use(
    requestIds(deps.id),
    authenticated({ token: deps.token, addonOf: deps.oauth.addonOf, may }),
    rateLimited(deps.rateLimit),
    versionThree(),
  );
  const withEtag = etag();
  api.use((c, next) => (c.req.method === 'GET' ? withEtag(c, next) : next()));
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
  api.route('/', addonRoutes(deps));
  api.route('/', serviceRoutes(deps));
  const directory = { ...deps, showApp: () => appJson(deps) };
  api.route('/', directoryRoutes(directory));
  const addonOf: WebhookRoutesDeps['addonOf'] = (idOrName) => {
    const addon = addons.find(idOrName);
    return addon === undefined ? undefined : { ...addon, permissions: addons.provider(addon.service)?.permissions ?? new Set<string>() };
  };
  api.route('/addons/:addon', webhookRoutes({ ...deps, addonOf }, 'addon'));
  const ofApp = new Hono<ApiEnv>();
  ofApp.use('/:app/*', async (c, next) => {
    const wanted = c.req.param('app');
    if (wanted !== deps.app.name && wanted !== deps.app.id) throw notFound('app');
    await next();
  });
  for (const routes of [appRoutes(deps), dynoRoutes(deps), formationRoutes(deps), logSessionRoutes(deps)]) ofApp.route('/:app', routes);
  ofApp.route('/:app', appAddonRoutes(deps));
  ofApp.route('/:app', webhookRoutes({ ...deps, addonOf }, 'app'));
  ofApp.route('/:app', appDirectoryRoutes(directory));
  api.route('/apps', ofApp);
  return api;
}
