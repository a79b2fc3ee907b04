import { ApiError } from '../api-error.ts';
import type { PlatformState } from '../platform-state.ts';
import type { Releases } from '../releases.ts';
import type { Addon, AddonStore } from './addon-state.ts';
import type { Oauth } from './oauth.ts';
import type { Provider } from './providers.ts';

export interface AddonsDeps {
  providers: readonly Provider[];
  store: AddonStore;
  state: PlatformState;
  releases: Releases;
  oauth: Oauth;
  app: { id: string; name: string };
  id: () => string;
  now: () => number;
  /** Where the Platform API answers, for the callback. */
  apiUrl: () => string;
  /** What happened to an add-on, for webhooks. */
  changed: (action: 'create' | 'update' | 'destroy', addon: Addon) => void;
  report: (message: string) => void;
}

/** What all that is done to add-ons shares. */
export interface AddonContext extends AddonsDeps {
  /** Those that the API shows, oldest first. */
  list(): Addon[];
  /** The add-on as it is now, whatever its state. */
  current(id: string): Addon | undefined;
  /** @throws {ApiError} 503 when the file of providers does not name it any more. */
  providerOf(service: string): Provider;
  /** Writes changes down and gives the add-on with them. */
  save(addon: Addon, changes: Partial<Addon>): Addon;
  /** Does work after `ms`, unless the platform closes before. */
  later(ms: number, work: () => void): void;
  /** Aborted when the platform closes. */
  closing: AbortSignal;
  close(): void;
}

/** Makes the context. */
export function createAddonContext(deps: AddonsDeps): AddonContext {
  const { store } = deps;
  const closing = new AbortController();
  const timers = new Set<NodeJS.Timeout>();
  return {
    ...deps,
    list: () => store.addons().filter(({ state }) => state === 'provisioning' || state === 'provisioned' || state === 'deprovisioning'),
    current: (id) => store.addons().find((addon) => addon.id === id),
    providerOf(service) {
      const found = deps.providers.find(({ id }) => id === service);
      if (found === undefined) throw new ApiError(503, 'service_unavailable', `The local platform does not know ${service} any more.`);
      return found;
    },
    save(addon, changes) {
      const next = { ...addon, ...changes, updatedAt: deps.now() };
      store.save(next);
      return next;
    },
    later(ms, work) {
      const timer = setTimeout(() => {
        timers.delete(timer);
        work();
      }, ms);
      timers.add(timer);
    },
    closing: closing.signal,
    close() {
      closing.abort();
      for (const timer of timers) clearTimeout(timer);
    },
  };
}
