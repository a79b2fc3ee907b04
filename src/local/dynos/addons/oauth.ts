import { createHash, timingSafeEqual } from 'node:crypto';
import { ApiError } from '../api-error.ts';
import type { AddonStore, OauthSecret } from './addon-state.ts';
import type { Provider } from './providers.ts';

/** A token pair as id.heroku.com hands it out (heroku.md 1.5). */
export interface TokenPair {
  accessToken: string;
  refreshToken: string;
  /** Seconds. */
  expiresIn: number;
}

/** The authorizations of add-ons: a code with the provisioning call, exchanged once, refreshed for as long as the add-on lives. */
export interface Oauth {
  grant(addonId: string): { code: string; expiresAt: number };
  /** @throws {ApiError} 401 for a code that is unknown, used or older than five minutes, or a wrong client secret. */
  exchange(code: string, clientSecret: string): TokenPair;
  /** @throws {ApiError} 401 for an unknown refresh token or a wrong client secret. */
  refresh(refreshToken: string, clientSecret: string): TokenPair;
  /** The add-on that an access token acts for; undefined when it is unknown or over. */
  addonOf(accessToken: string): string | undefined;
}

const grantMs = 300_000;
const accessSeconds = 28_800;

/** Makes the authorizations; only digests of codes and tokens are kept. */
export function createOauth(deps: {
  store: AddonStore;
  providerOf: (addonId: string) => Provider | undefined;
  secret: () => string;
  now: () => number;
}): Oauth {
  const { store, now } = deps;
  const keep = (kind: OauthSecret['kind'], addonId: string, expiresAt: number | null): string => {
    store.dropExpired(now());
    const secret = kind === 'grant' ? deps.secret() : `HRKU-${deps.secret()}`;
    store.keepSecret({ digest: digest(secret), kind, addonId, expiresAt });
    return secret;
  };
  const refused = (what: string): ApiError => new ApiError(401, 'unauthorized', `The ${what} is unknown, used or over.`);
  const checkClient = (addonId: string, clientSecret: string): void => {
    const provider = deps.providerOf(addonId);
    const right = provider !== undefined && timingSafeEqual(Buffer.from(digest(clientSecret)), Buffer.from(digest(provider.clientSecret)));
    if (!right) throw new ApiError(401, 'unauthorized', 'The client_secret is not that of the add-on.');
  };
  const accessTo = (addonId: string): string => keep('access', addonId, now() + accessSeconds * 1000);
  const valid = (found: OauthSecret | undefined): found is OauthSecret =>
    found !== undefined && (found.expiresAt === null || found.expiresAt > now());
  return {
    grant(addonId) {
      const expiresAt = now() + grantMs;
      return { code: keep('grant', addonId, expiresAt), expiresAt };
    },
    exchange(code, clientSecret) {
      const found = store.findSecret(digest(code), 'grant');
      if (!valid(found)) throw refused('authorization code');
      // A wrong secret does not use the code up.
      checkClient(found.addonId, clientSecret);
      store.takeSecret(found.digest, 'grant');
      return { accessToken: accessTo(found.addonId), refreshToken: keep('refresh', found.addonId, null), expiresIn: accessSeconds };
    },
    refresh(refreshToken, clientSecret) {
      const found = store.findSecret(digest(refreshToken), 'refresh');
      if (!valid(found)) throw refused('refresh token');
      checkClient(found.addonId, clientSecret);
      return { accessToken: accessTo(found.addonId), refreshToken, expiresIn: accessSeconds };
    },
    addonOf(accessToken) {
      const found = store.findSecret(digest(accessToken), 'access');
      return valid(found) ? found.addonId : undefined;
    },
  };
}

function digest(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
