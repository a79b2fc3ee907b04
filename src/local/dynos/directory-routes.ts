import { Hono } from 'hono';
import { notFound } from './api-error.ts';
import { herokuTime } from './dyno.ts';
import { pageOf } from './paging.ts';
import type { PlatformState } from './platform-state.ts';
import { userEmail } from './releases.ts';

export interface DirectoryDeps {
  state: PlatformState;
  app: { id: string; name: string };
  /** The app as the API shows it. */
  showApp: () => Record<string, unknown>;
}

/** What surrounds the one app and its one user on Heroku, as far as the CLI and partners ask for it. */
export function directoryRoutes({ state, app, showApp }: DirectoryDeps): Hono {
  const routes = new Hono();
  for (const path of ['/apps', '/users/:user/apps'] as const) routes.get(path, (c) => pageOf(c, [{ id: app.id }], showApp));
  routes.get('/teams', (c) => c.json([]));
  const at = herokuTime(state.identity.createdAt);
  routes.get('/regions', (c) => {
    const region = { id: state.identity.appId, name: 'us', country: '', description: 'This machine', locale: '', private_capable: false };
    return c.json([{ ...region, provider: { name: 'amazon-web-services', region: 'us-east-1' }, created_at: at, updated_at: at }]);
  });
  routes.get('/stacks', (c) =>
    c.json([{ id: state.identity.appId, name: 'heroku-24', state: 'public', default: true, created_at: at, updated_at: at }]),
  );
  return routes;
}

/** The same of the app, to be mounted under `/apps/:app`. */
export function appDirectoryRoutes({ state, app }: DirectoryDeps): Hono {
  const routes = new Hono();
  const { accountId, createdAt } = state.identity;
  const at = herokuTime(createdAt);
  routes.get('/collaborators', (c) => {
    const user = { id: accountId, email: userEmail, federated: false };
    return pageOf(c, [{ id: accountId }], ({ id }) => ({
      id,
      app: { id: app.id, name: app.name },
      user,
      role: 'owner',
      permissions: [],
      created_at: at,
      updated_at: at,
    }));
  });
  routes.get('/pipeline-couplings', () => {
    throw notFound('pipeline coupling');
  });
  for (const path of ['/domains', '/features', '/log-drains', '/builds'] as const) routes.get(path, (c) => c.json([]));
  return routes;
}
