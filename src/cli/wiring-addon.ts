// What web and worker share of the add-on: resources, tokens of Heroku, and the clients that use them.

import { createDynoPlatform } from '../clients/heroku.ts';
import { createAddonPlatform } from '../clients/heroku-addons.ts';
import { createHerokuOAuth } from '../clients/heroku-oauth.ts';
import { createHerokuTokens } from '../processors/heroku-tokens.ts';
import { createAudit } from '../queues/audit.ts';
import type { connect } from '../queues/connection.ts';
import { createLocks } from '../queues/locks.ts';
import { createPlanUndo } from '../queues/plan-undo.ts';
import { createResourceJobs } from '../queues/resource-jobs.ts';
import { createResources } from '../queues/resources.ts';
import type { Sealer } from '../queues/secrets.ts';
import type { Config } from '../schema/config.ts';

const USER_AGENT = 'autofiles';

/** Everything on one Redis connection. */
export function createAddonParts(deps: {
  config: Config;
  redis: ReturnType<typeof connect>;
  sealer: Sealer;
  onError: (error: Error) => void;
  /** Hears how many calls Heroku says are left, where all calls are of one account: those of its own token. */
  onRateLimit?: (remaining: number) => void;
}) {
  const { config, redis, sealer } = deps;
  const { addon } = config;
  const now = Date.now;
  const resources = createResources({ redis, sealer, now });
  const locks = createLocks({ redis });
  const oauthAt = (clientSecret: string) => createHerokuOAuth({ baseUrl: addon.herokuIdUrl, clientSecret, userAgent: USER_AGENT, now });
  const oauth = oauthAt(addon.oauthClientSecret ?? '');
  const customerOAuth = addon.customerOAuth === undefined ? undefined : oauthAt(addon.customerOAuth.secret);
  const tokens = createHerokuTokens({
    resources,
    locks,
    oauth,
    customerOAuth,
    staticToken: config.herokuToken,
    now,
  });
  const access = { baseUrl: config.herokuApiUrl, userAgent: USER_AGENT };
  // tokens of add-ons and customers are of other accounts: what is left of one says nothing of the others
  const onRateLimit = (remaining: number, token: string) => {
    if (token === config.herokuToken) deps.onRateLimit?.(remaining);
  };
  return {
    resources,
    locks,
    oauth,
    customerOAuth,
    audit: createAudit({ redis }),
    planUndo: createPlanUndo({ redis }),
    jobs: createResourceJobs({ connection: redis, onError: deps.onError }),
    platform: createDynoPlatform({ ...access, onRateLimit, token: (app) => tokens.ofApp(app), renew: tokens.ofApp, now }),
    addons: createAddonPlatform({ ...access, token: (id) => tokens.ofAddon(id), renew: tokens.ofAddon }),
  };
}
