// What Heroku does for an add-on in a chaos run: it gives out tokens for grants, keeps the config vars of add-ons and apps and where their
// events go, and hears when an add-on stands or is gone.
import { randomUUID } from 'node:crypto';
import type { Ledger } from './ledger.ts';

export interface Hook {
  readonly id: string;
  readonly url: string;
  readonly secret: string;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** What Heroku knows of one add-on. */
interface Addon {
  readonly id: string;
  readonly app: string;
  state: 'provisioning' | 'provisioned' | 'deprovisioned';
  /** Every set of config vars that it was given. */
  readonly configs: Readonly<Record<string, string>>[];
}

export type HerokuSide = ReturnType<typeof createHerokuSide>;

/** Tokens are not looked at: who may do what is tests/addon's. */
export function createHerokuSide(deps: { ledger: Ledger }) {
  const { ledger } = deps;
  const addons = new Map<string, Addon>();
  const grants = new Set<string>();
  /** By add-on or app. */
  const hooks = new Map<string, Hook[]>();

  const oauth = (fields: URLSearchParams): Answer => {
    const tokens = { access_token: `token-${randomUUID()}`, expires_in: 28_799, token_type: 'Bearer' };
    if (fields.get('grant_type') === 'refresh_token')
      return { status: 200, body: { ...tokens, refresh_token: fields.get('refresh_token') } };
    // a code works once
    if (!grants.delete(fields.get('code') ?? '')) return { status: 400, body: { id: 'invalid_grant', message: 'The code was used.' } };
    return { status: 200, body: { ...tokens, refresh_token: randomUUID() } };
  };

  const webhooks = (owner: string, method: string, id: string | undefined, body: Record<string, string>): Answer => {
    const all = hooks.get(owner) ?? [];
    if (method === 'GET') return { status: 200, body: all };
    const hook = { id: id ?? randomUUID(), url: body['url'] ?? '', secret: body['secret'] ?? '' };
    hooks.set(owner, [...all.filter((one) => one.id !== id), hook]);
    return { status: id === undefined ? 201 : 200, body: hook };
  };

  const addonCall = (addon: Addon, method: string, rest: readonly string[], body: Record<string, unknown>): Answer | undefined => {
    const shown = () => ({
      id: addon.id,
      name: `line-d-${addon.id}`,
      state: addon.state,
      app: { id: addon.app, name: `name-of-${addon.app}` },
    });
    switch (`${method} ${rest.join('/')}`) {
      case 'GET ':
        return { status: 200, body: shown() };
      case 'PATCH config': {
        const vars = body['config'] as readonly { name: string; value: string }[];
        addon.configs.push(Object.fromEntries(vars.map(({ name, value }) => [name, value])));
        return { status: 200, body: vars };
      }
      case 'POST actions/provision':
        addon.state = 'provisioned';
        ledger.note({ kind: 'told', resource: addon.id, what: 'provisioned' });
        return { status: 200, body: shown() };
      case 'POST actions/deprovision':
        addon.state = 'deprovisioned';
        ledger.note({ kind: 'told', resource: addon.id, what: 'deprovisioned' });
        return { status: 200, body: shown() };
    }
    return undefined;
  };

  return {
    /** Answers what is Heroku's and not of a dyno; undefined for everything else. */
    answer: (method: string, path: string, text: string): Answer | undefined => {
      if (path === '/oauth/token') return oauth(new URLSearchParams(text));
      const [, kind, id = '', ...rest] = path.split('/');
      const body = text === '' ? {} : JSON.parse(text);
      if ((kind === 'addons' || kind === 'apps') && rest[0] === 'webhooks') return webhooks(id, method, rest[1], body);
      if (kind !== 'addons') return undefined;
      const addon = addons.get(id);
      if (addon === undefined) return { status: 404, body: { id: 'not_found', message: 'Couldn’t find that add-on.' } };
      return addonCall(addon, method, rest, body);
    },

    /** A customer installs the add-on on a new app; answers with what Heroku asks us for. */
    install: () => {
      const id = randomUUID();
      const app = randomUUID();
      const code = randomUUID();
      addons.set(id, { id, app, state: 'provisioning', configs: [] });
      grants.add(code);
      return {
        id,
        app,
        request: {
          callback_url: `https://api.heroku.com/addons/${id}`,
          name: `line-d-${id}`,
          oauth_grant: { code, expires_at: new Date(Date.now() + 300_000).toISOString(), type: 'authorization_code' },
          options: {},
          plan: 'premium',
          region: 'amazon-web-services::us-east-1',
          uuid: id,
        },
      };
    },
    addon: (id: string): Readonly<Addon> | undefined => addons.get(id),
    /** Where events of an app's dynos go: the app's own webhooks and those of its add-ons, with what each is signed with. */
    hooksOf: (app: string): readonly Hook[] => [
      ...(hooks.get(app) ?? []),
      ...[...addons.values()].filter((addon) => addon.app === app).flatMap(({ id }) => hooks.get(id) ?? []),
    ],
    /** Every webhook there is. */
    hooks: (): readonly Hook[] => [...hooks.values()].flat(),
  };
}
