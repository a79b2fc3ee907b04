// Whose token starts the dynos: one interface over three sources. The customer's own consent comes first, then what Heroku grants to the
// add-on, then a static token of the configuration.
import { setTimeout as sleep } from 'node:timers/promises';
import type { HerokuOAuth } from '../clients/addon-ports.ts';
import type { Locks } from '../queues/locks.ts';
import { untilAnswered } from '../queues/redis-outage.ts';
import type { Resources } from '../queues/resources.ts';
import { Failure } from '../schema/failures.ts';

/** Milliseconds before its end at which a token is refreshed. */
const EARLY_MS = 90_000;
/** Milliseconds that a refresh may take; its lock lasts as long. */
const REFRESH_MS = 15_000;
/** Milliseconds between two looks at whether the process that refreshes is done. */
const LOOK_MS = 50;

type Source = 'partner' | 'customer';

export interface HerokuTokenDeps {
  readonly resources: Resources;
  readonly locks: Locks;
  readonly oauth: HerokuOAuth;
  /** The customer's consent may come from another OAuth client than the add-on's. */
  readonly customerOAuth?: HerokuOAuth | undefined;
  /** undefined: there is none. */
  readonly staticToken: string | undefined;
  readonly now: () => number;
}

/** Tokens that are valid for another while; those of OAuth are refreshed by one process at a time. */
export function createHerokuTokens(deps: HerokuTokenDeps) {
  const { resources, locks, now } = deps;
  const oauthOf = (source: Source) => (source === 'customer' ? (deps.customerOAuth ?? deps.oauth) : deps.oauth);

  /** The token that stands now; `used`: one that Heroku does not take any more. Undefined: the resource has none of that source. */
  const current = async (id: string, source: Source, used?: string): Promise<string | undefined> => {
    const until = now() + REFRESH_MS;
    for (;;) {
      const held = await resources.secret(id, source);
      if (held === undefined) return undefined;
      if (held.access !== used && held.expiresAt - now() > EARLY_MS) return held.access;
      const release = await locks.take(`refresh-${source}`, id, REFRESH_MS);
      if (release === undefined) {
        // somebody refreshes it; what is left of the old one may do meanwhile
        if (held.access !== used && held.expiresAt > now()) return held.access;
        if (now() > until) throw new Failure('heroku_unavailable', `The ${source} token of resource ${id} was not refreshed in time.`);
        await sleep(LOOK_MS);
        continue;
      }
      try {
        const again = await resources.sealedSecret(id, source);
        if (again !== undefined && again.value.access === held.access) {
          const next = await oauthOf(source).refresh(held.refresh, { deadline: REFRESH_MS - 5_000 });
          // an owner may have withdrawn the consent meanwhile, or given another one: then that is what stands
          const keep = async () =>
            await resources.change(id, {
              from: ['provisioning', 'provisioned', 'failed', 'deprovisioning'],
              held: { [source]: again.sealed },
              secrets: { [source]: next },
            });
          // Heroku may take the one before no more: while Redis is away this goes on, though nobody waits for it
          const away = Promise.withResolvers<never>();
          const { done } = await Promise.race([untilAnswered(away.reject, keep), away.promise]);
          if (done) return next.access;
        }
      } finally {
        await release();
      }
    }
  };

  const ofResource = async (id: string, used?: string): Promise<string> => {
    const sources: readonly Source[] = (await resources.get(id))?.permission === 'customer' ? ['customer', 'partner'] : ['partner'];
    for (const source of sources) {
      const token = await current(id, source, used);
      if (token !== undefined) return token;
    }
    return staticToken();
  };

  const staticToken = (used?: string): string => {
    if (deps.staticToken !== undefined && deps.staticToken !== used) return deps.staticToken;
    throw new Failure(
      'heroku_refused',
      deps.staticToken === undefined
        ? 'The resource has no token that may start dynos, and AUTOFILES_HEROKU_TOKEN is not set.'
        : 'Heroku does not take AUTOFILES_HEROKU_TOKEN.',
    );
  };

  const ofApp = async (app: string, used?: string): Promise<string> => {
    const id = await resources.ofApp(app);
    const resource = id === undefined ? undefined : await resources.get(id);
    if (resource === undefined || resource.permission === 'static' || resource.permission === undefined) return staticToken(used);
    return await ofResource(resource.id, used);
  };

  return {
    /** The token of the add-on itself: what Heroku's partner endpoints take. Throws Failure heroku_refused without one. */
    ofAddon: async (id: string, used?: string): Promise<string> => {
      const token = await current(id, 'partner', used);
      if (token !== undefined) return token;
      throw new Failure('heroku_refused', `Resource ${id} has no token of Heroku's grant.`);
    },
    /** The token that may act on an app. */
    ofApp,
  };
}
