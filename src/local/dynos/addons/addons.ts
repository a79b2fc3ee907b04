import { ApiError, invalidParams, notFound } from '../api-error.ts';
import { userEmail } from '../releases.ts';
import { type AddonsDeps, createAddonContext } from './addon-context.ts';
import { stableId } from './addon-name.ts';
import type { Addon, Attachment } from './addon-state.ts';
import { changesBetween, varsOf } from './app-config.ts';
import { faultIn, freeAttachment, freeName, planOf } from './choose-names.ts';
import { type AddonRequest, installAddon } from './install-addon.ts';
import { callProvider } from './provider-calls.ts';
import type { Provider } from './providers.ts';
import { createRemoval } from './remove-addon.ts';

/** Heroku's side of add-ons (heroku.md 1): tells providers, keeps what they answer, and lets the app see it as config vars and releases. */
export interface Addons {
  /** Those that the API shows, oldest first. */
  list(): Addon[];
  /** By id or name; a failed provisioning is found too, for a while. */
  find(idOrName: string): Addon | undefined;
  provider(service: string): Provider | undefined;
  attachments(): Attachment[];
  /**
   * Installs an add-on.
   * @throws {ApiError} 422 for an unknown service or plan, a taken name and what the provider refuses, 503 when the provider does not answer.
   */
  create(request: AddonRequest): Promise<Addon>;
  /** @throws {ApiError} as `create`. */
  changePlan(addon: Addon, plan: string): Promise<Addon>;
  /** @throws {ApiError} 422 for a name that is taken or none. */
  rename(addon: Addon, name: string): Addon;
  /**
   * Removes an add-on: `deprovisioned`, or `deprovisioning` while its provider takes its time. A provider that does not answer cannot hold it: it is told later.
   * @throws {ApiError} 422 with the provider's words when it refuses, unless `force`.
   */
  destroy(addon: Addon, force: boolean): Promise<Addon>;
  attach(addon: Addon, name: string | undefined): Attachment;
  /** @throws {ApiError} 422 for the last attachment. */
  detach(attachment: Attachment): void;
  /** The provider sets (string) and removes (null) its variables. @throws {ApiError} 422 for names that are not its own. */
  setConfig(addon: Addon, changes: Readonly<Record<string, string | null>>): Addon;
  /** The provider is done with provisioning: config vars appear, a release is cut, the app restarts. */
  provisioned(addon: Addon): Addon;
  /** The provider is done with removing, or gives up provisioning. */
  deprovisioned(addon: Addon): Addon;
  /** Takes up what a stopped platform left unfinished. */
  resume(): void;
  close(): void;
}

/** Makes the add-ons of the local app. */
export function createAddons(deps: AddonsDeps): Addons {
  const context = createAddonContext(deps);
  const { store, releases, providerOf, save, list } = context;
  const removal = createRemoval(context);
  const actorOf = ({ service }: Addon): string => `${service}@addons.heroku.com`;
  const setting = (names: readonly string[]): string => (names.length === 0 ? '' : `, setting ${names.join(', ')}`);

  return {
    list,
    find: (idOrName) =>
      store.addons().find(({ id, name, state }) => (id === idOrName || name === idOrName) && state !== 'requested' && state !== 'removing'),
    provider: (service) => deps.providers.find(({ id }) => id === service || stableId(id) === service),
    attachments() {
      const shown = new Set(list().map(({ id }) => id));
      return store.attachments().filter(({ addonId }) => shown.has(addonId));
    },
    create: (request) => installAddon(request, context, removal),
    async changePlan(addon, wanted) {
      const { provider, plan } = planOf(wanted.includes(':') ? wanted : `${addon.service}:${wanted}`, deps.providers);
      if (provider.id !== addon.service) throw invalidParams(`${addon.name} is a ${addon.service}; it cannot become a ${provider.id}.`);
      if (addon.state !== 'provisioned')
        throw invalidParams(`${addon.name} is ${addon.state}; its plan can be changed when it is provisioned.`);
      const body = { plan: plan.name, uuid: addon.id };
      const answer = await callProvider(provider, { method: 'PUT', uuid: addon.id, body, signal: context.closing });
      if (answer.kind === 'refused') throw invalidParams(answer.message);
      if (answer.kind === 'gone') throw invalidParams(`${provider.name} says that ${addon.name} is gone.`);
      if (answer.kind === 'none') throw new ApiError(503, 'service_unavailable', `The plan was not changed: ${answer.reason}.`);
      const now = context.current(addon.id);
      if (now === undefined) throw notFound('add_on');
      const before = varsOf(now, provider, store);
      const changed = save(now, { plan: plan.name, message: answer.message, config: answer.config ?? now.config });
      const changes = changesBetween(before, varsOf(changed, provider, store));
      releases.change(changes, `Update ${addon.name} to ${addon.service}:${plan.name}`, userEmail);
      deps.changed('update', changed);
      return changed;
    },
    rename: (addon, name) => (name === addon.name ? addon : save(addon, { name: freeName(name, context) })),
    destroy: removal.destroy,
    attach(addon, wanted) {
      const provider = providerOf(addon.service);
      const name = freeAttachment(wanted, provider.prefix, context);
      const attachment = { id: deps.id(), addonId: addon.id, name, createdAt: deps.now() };
      store.attach(attachment);
      releases.cut(`Attach ${name} (@ref:${addon.name})`, userEmail, varsOf(addon, provider, store));
      return attachment;
    },
    detach(attachment) {
      const addon = context.current(attachment.addonId);
      const others = store.attachments().filter(({ addonId, id }) => addonId === attachment.addonId && id !== attachment.id);
      if (addon === undefined || others.length === 0) {
        const of = addon?.name ?? 'its add-on';
        throw invalidParams(`${attachment.name} is the only attachment of ${of}; \`heroku addons:destroy\` removes the add-on.`);
      }
      const provider = providerOf(addon.service);
      const before = varsOf(addon, provider, store);
      store.detach(attachment.id);
      releases.cut(`Detach ${attachment.name} (@ref:${addon.name})`, userEmail, changesBetween(before, varsOf(addon, provider, store)));
    },
    setConfig(addon, changes) {
      const provider = providerOf(addon.service);
      const fault = faultIn(Object.keys(changes), provider);
      if (fault !== undefined) throw invalidParams(fault);
      const before = varsOf(addon, provider, store);
      const merged = Object.entries({ ...addon.config, ...changes });
      const changed = save(addon, { config: Object.fromEntries(merged.filter((entry): entry is [string, string] => entry[1] !== null)) });
      const after = varsOf(changed, provider, store);
      releases.change(changesBetween(before, after), `Update ${addon.name}${setting(Object.keys(after))}`, actorOf(addon));
      return changed;
    },
    provisioned(addon) {
      if (addon.state !== 'provisioning') return addon;
      const made = save(addon, { state: 'provisioned' });
      const vars = varsOf(made, providerOf(addon.service), store);
      releases.cut(`@ref:${addon.name} completed provisioning${setting(Object.keys(vars))}`, actorOf(addon), vars);
      deps.changed('update', made);
      return made;
    },
    deprovisioned: removal.deprovisioned,
    resume() {
      for (const addon of store.addons()) {
        if (deps.providers.every(({ id }) => id !== addon.service)) {
          deps.report(`the add-on ${addon.name} is kept, but its service ${addon.service} is not among the providers`);
        } else if (addon.state === 'requested' || addon.state === 'removing') removal.tell(save(addon, { state: 'removing' }));
        else if (addon.state === 'deprovisioned') store.forget(addon.id);
        else if (addon.state !== 'provisioned') removal.limit(addon);
      }
    },
    close: context.close,
  };
}
