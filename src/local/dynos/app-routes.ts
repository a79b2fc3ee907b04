import { Hono } from 'hono';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { stableId } from './addons/addon-name.ts';
import { invalidParams, notFound } from './api-error.ts';
import { herokuTime } from './dyno.ts';
import { pageBy } from './paging.ts';
import type { PlatformState, Release } from './platform-state.ts';
import { checkProcessText, readBody } from './read-body.ts';
import { type Releases, userEmail } from './releases.ts';

const configVarsBody = Compile(Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()])));

/** Who is signed in, in the members that the heroku CLI reads. */
export function accountJson(state: PlatformState): Record<string, unknown> {
  const { accountId, createdAt } = state.identity;
  const at = herokuTime(createdAt);
  return {
    id: accountId,
    email: userEmail,
    name: 'you',
    verified: true,
    beta: false,
    two_factor_authentication: false,
    created_at: at,
    updated_at: at,
    last_login: at,
  };
}

export interface AppRoutesDeps {
  state: PlatformState;
  releases: Releases;
  /** Whether a config var is set by an add-on, and therefore by nobody else. */
  ownedByAddon: (name: string) => boolean;
  app: { id: string; name: string };
  /** Where the app itself answers. */
  webUrl: () => string;
}

/** The app itself, its config vars and its releases, to be mounted under `/apps/:app`. */
export function appRoutes(deps: AppRoutesDeps): Hono {
  const { state } = deps;
  const routes = new Hono();
  routes.get('/', (c) => c.json(appJson(deps)));
  routes.get('/config-vars', (c) => c.json(state.configVars()));
  routes.patch('/config-vars', async (c) => {
    const changes = await readBody(c, configVarsBody);
    for (const [name, value] of Object.entries(changes)) {
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
        throw invalidParams(
          `${JSON.stringify(name)} is no name for a config var: expected letters, digits and _, not beginning with a digit.`,
        );
      }
      if (value !== null) checkProcessText(`config var ${name}`, value);
    }
    const owned = Object.keys(changes).filter((name) => deps.ownedByAddon(name));
    if (owned.length > 0) throw invalidParams(`Cannot overwrite attachment values ${owned.join(', ')}.`);
    deps.releases.change(changes, describe(changes), userEmail);
    return c.json(state.configVars());
  });
  routes.get('/releases', (c) =>
    pageBy(
      c,
      state.releases(),
      'version',
      ({ version }) => String(version),
      (release) => releaseJson(release, deps),
    ),
  );
  routes.get('/releases/:release', (c) => {
    const wanted = c.req.param('release');
    const release = state.releases().find(({ id, version }) => id === wanted || String(version) === wanted.replace(/^v/, ''));
    if (release === undefined) throw notFound('release');
    return c.json(releaseJson(release, deps));
  });
  return routes;
}

/** A release as the Platform API shows it. */
export function releaseJson(release: Release, { state, app }: Pick<AppRoutesDeps, 'state' | 'app'>): Record<string, unknown> {
  const at = herokuTime(release.createdAt);
  const { id, version, description, actor } = release;
  return {
    id,
    version,
    description,
    status: 'succeeded',
    current: version === state.currentRelease().version,
    user: { id: actor === userEmail ? state.identity.accountId : stableId(actor), email: actor },
    app: { id: app.id, name: app.name },
    slug: null,
    addon_plan_names: [],
    output_stream_url: null,
    created_at: at,
    updated_at: at,
  };
}

// As Heroku describes the release: `Set FOO, BAR config vars`.
function describe(changes: Readonly<Record<string, string | null>>): string {
  const names = (wanted: (value: string | null) => boolean): string =>
    Object.entries(changes)
      .filter(([, value]) => wanted(value))
      .map(([name]) => name)
      .join(', ');
  const set = names((value) => value !== null);
  const removed = names((value) => value === null);
  return [set === '' ? '' : `Set ${set} config vars`, removed === '' ? '' : `Remove ${removed} config vars`]
    .filter((part) => part !== '')
    .join('; ');
}

/** The app as the Platform API shows it. */
export function appJson({ state, app, webUrl }: Pick<AppRoutesDeps, 'state' | 'app' | 'webUrl'>): Record<string, unknown> {
  const { accountId, createdAt } = state.identity;
  const at = herokuTime(createdAt);
  const stack = { id: state.identity.appId, name: 'heroku-24' };
  return {
    id: app.id,
    name: app.name,
    owner: { id: accountId, email: userEmail },
    stack,
    build_stack: stack,
    generation: { id: 'cedar', name: 'cedar' },
    region: { id: state.identity.appId, name: 'us' },
    space: null,
    team: null,
    organization: null,
    // Anything but eco: the CLI asks an eco app's owner for a quota.
    process_tier: 'basic',
    web_url: webUrl(),
    git_url: null,
    maintenance: false,
    archived_at: null,
    created_at: at,
    released_at: herokuTime(state.currentRelease().createdAt),
    updated_at: at,
    repo_size: null,
    slug_size: null,
  };
}
