import { invalidParams } from '../api-error.ts';
import type { AddonContext } from './addon-context.ts';
import { stableId } from './addon-name.ts';
import type { Provider, ServicePlan } from './providers.ts';

const namePattern = /^[a-zA-Z][a-zA-Z0-9_-]{0,255}$/;
const attachmentPattern = /^[A-Z][A-Z0-9_]*$/;

/** The id of a plan in the API. */
export function planId({ provider, plan }: { provider: Provider; plan: ServicePlan }): string {
  return stableId(provider.id, plan.name);
}

/**
 * The plan that `service`, `service:plan` or a plan's id names.
 * @throws {ApiError} 422 in the words that the CLI looks for (`addons:upgrade` lists the plans then).
 */
export function planOf(wanted: string, providers: readonly Provider[]): { provider: Provider; plan: ServicePlan } {
  const [service, name] = wanted.split(':');
  for (const provider of providers) {
    for (const plan of provider.plans) {
      const named =
        (provider.id === service || stableId(provider.id) === service) && (name === undefined ? plan.default : plan.name === name);
      if (named || planId({ provider, plan }) === wanted) return { provider, plan };
    }
  }
  throw invalidParams(`Couldn't find either the add-on service or the add-on plan of "${wanted}".`);
}

/** The name, when it is one and nobody has it. @throws {ApiError} 422. */
export function freeName(name: string, { store }: AddonContext): string {
  if (!namePattern.test(name))
    throw invalidParams(`Name ${JSON.stringify(name)} must begin with a letter and have only letters, digits, - and _.`);
  if (store.addons().some((addon) => addon.name === name)) throw invalidParams(`Name ${name} is already taken.`);
  return name;
}

/** The wished name of an attachment, or the first free one of a service's prefix. @throws {ApiError} 422. */
export function freeAttachment(wanted: string | undefined, prefix: string, { store, app }: AddonContext): string {
  const taken = new Set(store.attachments().map(({ name }) => name));
  if (wanted !== undefined) {
    const name = wanted.toUpperCase().replaceAll('-', '_');
    if (!attachmentPattern.test(name))
      throw invalidParams(`Attachment name ${JSON.stringify(wanted)} must have only letters, digits and _, and begin with a letter.`);
    if (taken.has(name)) throw invalidParams(`Attachment name ${name} is already in use on ${app.name}.`);
    return name;
  }
  for (let number = 0; ; number += 1) {
    const name = number === 0 ? prefix : `${prefix}_${number}`;
    if (!taken.has(name)) return name;
  }
}

/** What does not fit about the names of config vars that a provider gives; undefined when all do (heroku.md 1.9). */
export function faultIn(names: readonly string[], { prefix, configVars, id }: Provider): string | undefined {
  for (const name of names) {
    if (configVars !== undefined && !configVars.includes(name))
      return `${name} is not among the config_vars of ${id}'s manifest: ${configVars.join(', ')}.`;
    if (!name.startsWith(`${prefix}_`) || !/^[A-Z][0-9A-Z_]+$/.test(name))
      return `${name} does not begin with ${prefix}_, the prefix of ${id}.`;
  }
  return undefined;
}
