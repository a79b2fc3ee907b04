import type { Addon, AddonStore, Attachment } from './addon-state.ts';
import type { Provider } from './providers.ts';

/** The variables that an add-on gives its app through one attachment: the service's prefix gives way to the attachment's name (heroku.md 1.9). */
export function attachedVars(addon: Addon, attachment: Attachment, provider: Provider): Record<string, string> {
  return Object.fromEntries(Object.entries(addon.config).map(([name, value]) => [attachedName(name, attachment, provider), value]));
}

function attachedName(name: string, attachment: Attachment, { prefix }: Provider): string {
  return name.startsWith(`${prefix}_`) ? attachment.name + name.slice(prefix.length) : name;
}

/** The variables that the app has from an add-on, through all of its attachments. While it is being provisioned there are none. */
export function varsOf(addon: Addon, provider: Provider, store: AddonStore): Record<string, string> {
  if (addon.state !== 'provisioned' && addon.state !== 'deprovisioning') return {};
  const own = store.attachments().filter(({ addonId }) => addonId === addon.id);
  return Object.assign({}, ...own.map((attachment) => attachedVars(addon, attachment, provider)));
}

/** The changes of config vars that lead from what an add-on gave before to what it gives now; null removes. */
export function changesBetween(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): Record<string, string | null> {
  const gone = Object.keys(before).filter((name) => !(name in after));
  return { ...after, ...Object.fromEntries(gone.map((name) => [name, null])) };
}
