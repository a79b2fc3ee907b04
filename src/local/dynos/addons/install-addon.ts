import { ApiError, invalidParams } from '../api-error.ts';
import { userEmail } from '../releases.ts';
import type { AddonContext } from './addon-context.ts';
import { addonName } from './addon-name.ts';
import type { Addon } from './addon-state.ts';
import { varsOf } from './app-config.ts';
import { faultIn, freeAttachment, freeName, planOf } from './choose-names.ts';
import { callProvider, type ProviderAnswer } from './provider-calls.ts';
import type { Provider } from './providers.ts';
import type { Removal } from './remove-addon.ts';

/** What a customer asks for with `addons:create`. */
export interface AddonRequest {
  /** `service` or `service:plan`. */
  plan: string;
  name?: string;
  attachment?: string;
  options: Readonly<Record<string, string>>;
}

/**
 * Installs an add-on: written down first, so that a platform killed meanwhile knows whom to tell, then asked of its provider.
 * @throws {ApiError} 422 for an unknown service or plan, a taken name and what the provider refuses, 503 when the provider does not answer.
 */
export async function installAddon(request: AddonRequest, context: AddonContext, removal: Removal): Promise<Addon> {
  const { store } = context;
  const { provider, plan } = planOf(request.plan, context.providers);
  if (!provider.requires.includes('many_per_app') && context.list().some(({ service }) => service === provider.id))
    throw invalidParams(`${context.app.name} has ${provider.name} already, and it can be installed only once in an app.`);
  const id = context.id();
  const name = freeName(request.name ?? addonName(provider.id, id), context);
  const attachment = freeAttachment(request.attachment, provider.prefix, context);
  const at = context.now();
  const asked: Addon = {
    id,
    name,
    service: provider.id,
    plan: plan.name,
    state: 'requested',
    config: {},
    message: '',
    createdAt: at,
    updatedAt: at,
  };
  store.save(asked);
  store.attach({ id: context.id(), addonId: id, name: attachment, createdAt: at });
  const answer = await ask(asked, provider, request.options, context);
  const made = take(asked, { answer, provider, attachment }, context, removal);
  context.changed('create', made);
  return made;
}

function ask(addon: Addon, provider: Provider, options: AddonRequest['options'], context: AddonContext): Promise<ProviderAnswer> {
  const { code, expiresAt } = context.oauth.grant(addon.id);
  return callProvider(provider, {
    method: 'POST',
    signal: context.closing,
    body: {
      callback_url: `${context.apiUrl()}/addons/${addon.id}`,
      name: addon.name,
      oauth_grant: { code, expires_at: new Date(expiresAt).toISOString(), type: 'authorization_code' },
      options,
      plan: addon.plan,
      region: 'amazon-web-services::us-east-1',
      uuid: addon.id,
    },
  });
}

function take(
  asked: Addon,
  { answer, provider, attachment }: { answer: ProviderAnswer; provider: Provider; attachment: string },
  context: AddonContext,
  removal: Removal,
): Addon {
  if (answer.kind === 'later') {
    const accepted = context.save(asked, { state: 'provisioning', message: answer.message });
    removal.limit(accepted);
    return accepted;
  }
  if (answer.kind === 'done') {
    const config = answer.config ?? {};
    const fault = faultIn(Object.keys(config), provider);
    if (fault !== undefined) {
      removal.tell(context.save(asked, { state: 'removing' }));
      throw new ApiError(503, 'service_unavailable', `${provider.name} answered with a config that its manifest does not allow: ${fault}`);
    }
    const made = context.save(asked, { state: 'provisioned', message: answer.message, config });
    context.releases.cut(`Attach ${attachment} (@ref:${asked.name})`, userEmail, varsOf(made, provider, context.store));
    return made;
  }
  // What is refused was not made; what was not answered may have been.
  if (answer.kind === 'none') removal.tell(context.save(asked, { state: 'removing' }));
  else context.store.forget(asked.id);
  if (answer.kind === 'refused') throw invalidParams(answer.message);
  const why = answer.kind === 'none' ? answer.reason : `${provider.id} says that it is gone`;
  throw new ApiError(503, 'service_unavailable', `The add-on could not be provisioned: ${why}. Try again when the provider answers.`);
}
