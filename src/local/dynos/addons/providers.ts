import { readFileSync } from 'node:fs';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { isLoopback } from '../guard-requests.ts';

const Urls = Type.Object({ base_url: Type.String(), sso_url: Type.Optional(Type.String()) });
const ProviderEntry = Type.Object({
  /** The add-on's `addon-manifest.json` as it is pushed to Heroku (heroku.md 1.9). `api.test` wins over `api.production` here. */
  manifest: Type.Object({
    id: Type.String({ pattern: '^[a-z][a-z0-9-]*$' }),
    name: Type.Optional(Type.String()),
    api: Type.Object({
      password: Type.String({ minLength: 1 }),
      sso_salt: Type.String({ minLength: 1 }),
      config_vars_prefix: Type.Optional(Type.String({ pattern: '^[A-Z][0-9A-Z_]*$' })),
      config_vars: Type.Optional(Type.Array(Type.String({ pattern: '^[A-Z][0-9A-Z_]+$' }))),
      requires: Type.Optional(Type.Array(Type.String())),
      test: Type.Optional(Urls),
      production: Type.Optional(Urls),
    }),
  }),
  /** The OAuth client secret, which on Heroku the Partner Portal shows. */
  client_secret: Type.String({ minLength: 1 }),
  /** The first, or the one marked `default`, is what `addons:create SERVICE` without a plan gets. */
  plans: Type.Array(
    Type.Object({
      name: Type.String({ pattern: '^[a-z0-9][a-z0-9_-]*$' }),
      human_name: Type.Optional(Type.String()),
      description: Type.Optional(Type.String()),
      /** US cents a month. */
      cents: Type.Optional(Type.Integer({ minimum: 0 })),
      default: Type.Optional(Type.Boolean()),
    }),
    { minItems: 1 },
  ),
  /** What Heroku grants a partner on request, beyond the standard set (heroku.md 1.6). */
  permissions: Type.Optional(Type.Array(Type.Union(['dynos', 'formation', 'releases', 'logs'].map((one) => Type.Literal(one))))),
});
const entries = Compile(Type.Array(ProviderEntry));

/** A plan of an add-on service; `cents` a month. */
export interface ServicePlan {
  name: string;
  humanName: string;
  description: string;
  cents: number;
  default: boolean;
}

/** An add-on service with how its provider is reached. */
export interface Provider {
  id: string;
  name: string;
  password: string;
  ssoSalt: string;
  clientSecret: string;
  prefix: string;
  /** The config vars that it may set; undefined: all with its prefix. */
  configVars: readonly string[] | undefined;
  requires: readonly string[];
  baseUrl: string;
  ssoUrl: string | undefined;
  plans: readonly ServicePlan[];
  permissions: ReadonlySet<string>;
}

/**
 * The providers of a JSON file: an array of `{manifest, client_secret, plans, permissions?}`.
 * @throws Error naming the file and what does not fit; a provider that is not on loopback is refused, since it would be handed credentials.
 */
export function readProviders(file: string): Provider[] {
  let found: unknown;
  try {
    found = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new Error(`${file}: the add-on providers could not be read: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  if (!entries.Check(found)) {
    const faults = entries.Errors(found).map(({ instancePath, message }) => `${instancePath} ${message}`);
    throw new Error(`${file}: the add-on providers do not fit: ${faults.slice(0, 5).join('; ')}`);
  }
  return found.map((entry) => toProvider(entry, file));
}

function toProvider({ manifest, client_secret, plans, permissions }: Static<typeof ProviderEntry>, file: string): Provider {
  const { id, api } = manifest;
  const urls = api.test ?? api.production;
  if (urls === undefined) throw new Error(`${file}: ${id}: api.test.base_url is missing; it says where the Partner API answers`);
  for (const url of [urls.base_url, urls.sso_url]) {
    if (url !== undefined && !isLoopback(url)) {
      throw new Error(`${file}: ${id}: ${url} is not on this machine; the local platform calls add-ons on 127.0.0.1 and localhost only`);
    }
  }
  const chosen = plans.findIndex((plan) => plan.default === true);
  return {
    id,
    name: manifest.name ?? id,
    password: api.password,
    ssoSalt: api.sso_salt,
    clientSecret: client_secret,
    prefix: api.config_vars_prefix ?? id.toUpperCase().replaceAll('-', '_'),
    configVars: api.config_vars,
    requires: api.requires ?? [],
    baseUrl: urls.base_url.replace(/\/+$/, ''),
    ssoUrl: urls.sso_url,
    plans: plans.map((plan, index) => ({
      name: plan.name,
      humanName: plan.human_name ?? plan.name,
      description: plan.description ?? `${manifest.name ?? id} ${plan.human_name ?? plan.name}`,
      cents: plan.cents ?? 0,
      default: index === Math.max(0, chosen),
    })),
    permissions: new Set(permissions ?? []),
  };
}
