// What an owner sets of a resource, by the API, the command line or the settings page: one way, noted in the audit log.
import type { ResourceSettings } from '../schema/api-views.ts';
import type { Audit } from './audit.ts';
import { ADDON_ACCOUNT, type Budget } from './budget.ts';
import type { Resources } from './resources.ts';

/** Changes what is given. `actor`: who does it, as the audit log names it. Answers whether there is such a resource. */
export async function changeResource(
  deps: { resources: Pick<Resources, 'change'>; budget: Pick<Budget, 'pause' | 'resume'>; audit: Pick<Audit, 'append'> },
  id: string,
  { paused, commands }: ResourceSettings,
  actor: string,
): Promise<boolean> {
  const { done } = await deps.resources.change(id, { set: commands === undefined ? {} : { commands } });
  if (!done) return false;
  if (commands !== undefined) await deps.audit.append(id, { actor, action: 'commands.set', detail: commands });
  if (paused !== undefined) {
    await (paused ? deps.budget.pause : deps.budget.resume)(ADDON_ACCOUNT, id);
    await deps.audit.append(id, { actor, action: paused ? 'launches.pause' : 'launches.resume' });
  }
  return true;
}
