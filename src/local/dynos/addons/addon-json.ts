import { herokuTime } from '../dyno.ts';
import { stableId } from './addon-name.ts';
import type { Addon, AddonStore, Attachment } from './addon-state.ts';
import { attachedVars } from './app-config.ts';
import { planId } from './choose-names.ts';
import type { Provider, ServicePlan } from './providers.ts';

type Json = Record<string, unknown>;

/** Shows add-ons as the Platform API does, expanded as the CLI asks for with Accept-Expansion and Accept-Inclusion. */
export interface AddonViews {
  addon(addon: Addon): Json;
  attachment(attachment: Attachment): Json;
  service(provider: Provider): Json;
  plan(provider: Provider, plan: ServicePlan): Json;
  /** The config of an add-on as its provider sees it. */
  config(addon: Addon): { name: string; value: string }[];
}

/** Makes the views of the local app. */
export function createAddonViews(deps: {
  store: AddonStore;
  providers: readonly Provider[];
  app: { id: string; name: string };
  createdAt: number;
  /** The URL that signs the user in. */
  webUrl: (addon: Addon) => string;
}): AddonViews {
  const { store, app } = deps;
  const at = herokuTime(deps.createdAt);
  const appRef = { id: app.id, name: app.name };
  const price = ({ cents }: { cents: number }): Json => ({ cents, unit: 'month', contract: false, metered: false });

  const service = (provider: Provider): Json => ({
    id: stableId(provider.id),
    name: provider.id,
    human_name: provider.name,
    cli_plugin_name: null,
    state: 'ga',
    supports_multiple_installations: provider.requires.includes('many_per_app'),
    supports_sharing: provider.requires.includes('attachable'),
    supported_generations: [{ id: 'cedar', name: 'cedar' }],
    created_at: at,
    updated_at: at,
  });
  const plan = (provider: Provider, one: ServicePlan): Json => ({
    id: planId({ provider, plan: one }),
    name: `${provider.id}:${one.name}`,
    human_name: one.humanName,
    description: one.description,
    addon_service: { id: stableId(provider.id), name: provider.id },
    price: price(one),
    default: one.default,
    compliance: null,
    installable_inside_private_network: false,
    installable_outside_private_network: true,
    space_default: false,
    state: 'ga',
    visible: true,
    created_at: at,
    updated_at: at,
  });
  // A provider that was taken out of the file leaves its add-ons behind.
  const known = (addon: Addon): { provider: Provider; plan: ServicePlan } => {
    const left: ServicePlan = { name: addon.plan, humanName: addon.plan, description: '', cents: 0, default: false };
    const provider = deps.providers.find(({ id }) => id === addon.service);
    if (provider !== undefined) return { provider, plan: provider.plans.find(({ name }) => name === addon.plan) ?? left };
    const nobody: Provider = {
      id: addon.service,
      name: addon.service,
      password: '',
      ssoSalt: '',
      clientSecret: '',
      prefix: addon.service.toUpperCase().replaceAll('-', '_'),
      configVars: [],
      requires: [],
      baseUrl: '',
      ssoUrl: undefined,
      plans: [left],
      permissions: new Set(),
    };
    return { provider: nobody, plan: left };
  };
  const attachmentsOf = (addon: Addon): Attachment[] => store.attachments().filter(({ addonId }) => addonId === addon.id);
  const varsOf = (attachment: Attachment, addon: Addon): string[] => Object.keys(attachedVars(addon, attachment, known(addon).provider));

  return {
    service,
    plan,
    addon(addon) {
      const { provider, plan: one } = known(addon);
      return {
        id: addon.id,
        name: addon.name,
        actions: [],
        addon_service: service(provider),
        app: appRef,
        billed_price: price(one),
        billing_entity: { ...appRef, type: 'app' },
        config_vars: attachmentsOf(addon).flatMap((attachment) => varsOf(attachment, addon)),
        plan: plan(provider, one),
        provider_id: addon.id,
        provision_message: addon.message,
        state: addon.state,
        web_url: deps.webUrl(addon),
        created_at: herokuTime(addon.createdAt),
        updated_at: herokuTime(addon.updatedAt),
      };
    },
    attachment(attachment) {
      const addon = store.addons().find(({ id }) => id === attachment.addonId);
      if (addon === undefined)
        throw new Error(`attachment ${attachment.name} belongs to no add-on; platform.db was changed by another program`);
      const { provider, plan: one } = known(addon);
      const made = herokuTime(attachment.createdAt);
      return {
        id: attachment.id,
        name: attachment.name,
        namespace: null,
        app: appRef,
        addon: { id: addon.id, name: addon.name, app: appRef, plan: plan(provider, one) },
        config_vars: varsOf(attachment, addon),
        web_url: deps.webUrl(addon),
        log_input_url: null,
        created_at: made,
        updated_at: made,
      };
    },
    config: (addon) => Object.entries(addon.config).map(([name, value]) => ({ name, value })),
  };
}
