import { randomBytes } from 'node:crypto';
import type { AddonsDeps } from './addon-context.ts';
import { type AddonViews, createAddonViews } from './addon-json.ts';
import { createAddonStore } from './addon-state.ts';
import { type Addons, createAddons } from './addons.ts';
import { varsOf } from './app-config.ts';
import { createOauth, type Oauth } from './oauth.ts';
import type { Provider } from './providers.ts';
import { createSignOn, type SignOn } from './sign-on.ts';

/** Everything about add-ons, which the rest of the platform knows only as routes, releases and config vars. */
export interface AddonSide {
  providers: readonly Provider[];
  addons: Addons;
  views: AddonViews;
  oauth: Oauth;
  signOn: SignOn;
  /** Whether a config var of the app is set by an add-on. */
  ownedByAddon: (name: string) => boolean;
}

/** Wires the add-ons of the local app; nothing is called before `addons.resume`. `secret` makes an unguessable text. */
export function createAddonSide(deps: Omit<AddonsDeps, 'store' | 'oauth'> & { secret: () => string }): AddonSide {
  const { state, app, providers } = deps;
  const store = createAddonStore(state.database);
  const providerOf = (addonId: string): Provider | undefined => {
    const addon = store.addons().find(({ id }) => id === addonId);
    return providers.find(({ id }) => id === addon?.service);
  };
  const oauth = createOauth({ ...deps, store, providerOf });
  const signOn = createSignOn({ app, accountId: state.identity.accountId, key: randomBytes(32), nonce: deps.secret, now: deps.now });
  const addons = createAddons({ ...deps, store, oauth });
  return {
    providers,
    oauth,
    signOn,
    addons,
    views: createAddonViews({
      store,
      providers,
      app,
      createdAt: state.identity.createdAt,
      webUrl: (addon) => deps.apiUrl() + signOn.ticketPath(addon),
    }),
    ownedByAddon: (name) =>
      store.addons().some((addon) => {
        const provider = providerOf(addon.id);
        return provider !== undefined && name in varsOf(addon, provider, store);
      }),
  };
}
