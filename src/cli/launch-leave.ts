// Whose leave there is to start an app's dynos: the add-on's own grant is probed, an owner's consent is asked for.
import { createDynoPlatform } from '../clients/heroku.ts';
import { accountOf } from '../clients/heroku-account.ts';
import type { ConsentDeps } from '../http/dashboard/consent-routes.ts';
import { type SessionDeps, sessionProof } from '../http/session.ts';
import type { AddonWorkerDeps } from '../processors/addon.ts';
import { createHerokuTokens } from '../processors/heroku-tokens.ts';
import type { Config } from '../schema/config.ts';
import { Failure } from '../schema/failures.ts';
import type { createAddonParts } from './wiring-addon.ts';

const USER_AGENT = 'autofiles';

/**
 * There is no way to ask Heroku what a partner's token may do (heroku.md §1.6): a look at the app's dynos tells. Without that right the static
 * token of the configuration serves, if there is one; a customer's consent replaces either.
 */
export function createProbe(parts: ReturnType<typeof createAddonParts>, config: Config): AddonWorkerDeps['probe'] {
  return async ({ id, app }) => {
    const tokens = createHerokuTokens({ ...parts, staticToken: undefined, now: Date.now });
    const platform = createDynoPlatform({
      baseUrl: config.herokuApiUrl,
      userAgent: USER_AGENT,
      token: () => tokens.ofAddon(id),
      renew: (_app, used) => tokens.ofAddon(id, used),
      now: Date.now,
    });
    try {
      await platform.list(app);
      return 'partner';
    } catch (error) {
      if (!(error instanceof Failure && error.code === 'heroku_refused')) throw error;
      return config.herokuToken === undefined ? 'none' : 'static';
    }
  };
}

/** How owners consent; undefined where no OAuth client of ours is configured, or no address to which Heroku could send them back. */
export function createConsent(parts: ReturnType<typeof createAddonParts>, config: Config, session: SessionDeps): ConsentDeps | undefined {
  const { customerOAuth, herokuIdUrl, publicUrl } = config.addon;
  if (customerOAuth === undefined || parts.customerOAuth === undefined || publicUrl === undefined) return undefined;
  return {
    clientId: customerOAuth.id,
    authorizeUrl: new URL('/oauth/authorize', herokuIdUrl).href,
    oauth: parts.customerOAuth,
    sessions: session.sessions,
    proof: (c, purpose) => sessionProof(session, c, purpose),
    resources: parts.resources,
    check: async (token, app) => {
      const access = { baseUrl: config.herokuApiUrl, userAgent: USER_AGENT, token };
      await createDynoPlatform({ ...access, token: () => token, now: Date.now }).list(app);
      return await accountOf(access);
    },
    without: createProbe(parts, config),
    audit: parts.audit,
  };
}
