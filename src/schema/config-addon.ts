// The part of the configuration that is about the add-on: Heroku's side of it, sign-on, operators, keys.

export interface AddonConfig {
  /** AUTOFILES_ADDON_ID: the add-on's slug in its manifest, and the user name of Heroku's calls (line-d). */
  readonly id: string;
  /** AUTOFILES_ADDON_PASSWORD: `api.password` of the manifest; unset: the Partner API is closed. */
  readonly password: string | undefined;
  /** AUTOFILES_SSO_SALT: `api.sso_salt` of the manifest; unset: nobody signs on by Heroku. */
  readonly ssoSalt: string | undefined;
  /** AUTOFILES_SSO_LEGACY: 1 accepts `resource_token` (SHA-1) where Heroku sends no `user_scoped_resource_token` (0). */
  readonly ssoLegacy: boolean;
  /** AUTOFILES_OAUTH_CLIENT_SECRET: the add-on's OAuth client secret of the Partner Portal; unset: no grant is exchanged. */
  readonly oauthClientSecret: string | undefined;
  /** HEROKU_ID_URL: URL of Heroku's identity service (https://id.heroku.com). */
  readonly herokuIdUrl: string;
  /**
   * AUTOFILES_CUSTOMER_OAUTH_ID with AUTOFILES_CUSTOMER_OAUTH_SECRET: an OAuth client by which customers let us start their dynos; its
   * callback URL is AUTOFILES_PUBLIC_URL/settings/consent/callback. Unset: no consent is asked for.
   */
  readonly customerOAuth: { readonly id: string; readonly secret: string } | undefined;
  /** AUTOFILES_TENANT_ROLE_ARN: the role that is assumed for a resource's credentials; unset: GetFederationToken. */
  readonly tenantRoleArn: string | undefined;
  /** AUTOFILES_ASYNC_DEPROVISION: 1 when Heroku has switched asynchronous deprovisioning on for the add-on (0). */
  readonly asyncDeprovision: boolean;
  /** AUTOFILES_PUBLIC_URL: where this service is reached from outside; unset: no webhooks and no consent by OAuth. */
  readonly publicUrl: string | undefined;
  /** AUTOFILES_OPERATOR_PASSWORD: opens /admin to the user `operator`, at least 16 characters; unset: closed. */
  readonly operatorPassword: string | undefined;
  /** AUTOFILES_PREVIOUS_MASTER_KEYS: master keys of before, 32 bytes in base64 each, separated by commas. */
  readonly previousMasterKeys: readonly string[];
  /** AUTOFILES_SUPPORT_URL: where the pages send people who need help (https://help.heroku.com). */
  readonly supportUrl: string;
}

/** What reads single variables and notes faults. */
interface Reader {
  text(name: string): string | undefined;
  matching(name: string, pattern: RegExp, expected: string): string | undefined;
  hidden(name: string, pattern: RegExp, expected: string): string | undefined;
  integer(name: string, minimum: number, maximum: number, fallback: number): number;
  url(name: string, protocols: readonly string[]): string | undefined;
}

const KEY = '[A-Za-z0-9+/]{43}=';

/** Reads the add-on's part; faults are noted as readConfig notes its own. `production`: public URLs must be https. */
export function readAddonConfig(read: Reader, faults: string[], production: boolean): AddonConfig {
  const https = production ? ['https:'] : ['http:', 'https:'];
  const customerId = read.text('AUTOFILES_CUSTOMER_OAUTH_ID');
  const customerSecret = read.text('AUTOFILES_CUSTOMER_OAUTH_SECRET');
  if ((customerId === undefined) !== (customerSecret === undefined))
    faults.push('AUTOFILES_CUSTOMER_OAUTH_ID and AUTOFILES_CUSTOMER_OAUTH_SECRET: found one, expected both or none.');
  return {
    id: read.matching('AUTOFILES_ADDON_ID', /^[a-z][a-z0-9-]{1,60}$/, 'the slug of the manifest, such as line-d') ?? 'line-d',
    password: read.hidden('AUTOFILES_ADDON_PASSWORD', /^.{8,72}$/, '8 to 72 characters, as in the manifest'),
    ssoSalt: read.hidden('AUTOFILES_SSO_SALT', /^.{16,}$/, 'at least 16 characters, as in the manifest'),
    ssoLegacy: read.integer('AUTOFILES_SSO_LEGACY', 0, 1, 0) === 1,
    oauthClientSecret: read.text('AUTOFILES_OAUTH_CLIENT_SECRET'),
    herokuIdUrl: read.url('HEROKU_ID_URL', https) ?? 'https://id.heroku.com',
    customerOAuth: customerId === undefined || customerSecret === undefined ? undefined : { id: customerId, secret: customerSecret },
    tenantRoleArn: read.matching(
      'AUTOFILES_TENANT_ROLE_ARN',
      /^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/,
      'the ARN of a role, arn:aws:iam::<account>:role/<name>',
    ),
    asyncDeprovision: read.integer('AUTOFILES_ASYNC_DEPROVISION', 0, 1, 0) === 1,
    publicUrl: read.url('AUTOFILES_PUBLIC_URL', https),
    operatorPassword: read.hidden('AUTOFILES_OPERATOR_PASSWORD', /^.{16,}$/, 'at least 16 characters'),
    previousMasterKeys:
      read
        .hidden('AUTOFILES_PREVIOUS_MASTER_KEYS', new RegExp(`^${KEY}(\\s*,\\s*${KEY})*$`), '32 bytes in base64 each, separated by commas')
        ?.split(/\s*,\s*/) ?? [],
    supportUrl: read.url('AUTOFILES_SUPPORT_URL', ['https:']) ?? 'https://help.heroku.com',
  };
}
