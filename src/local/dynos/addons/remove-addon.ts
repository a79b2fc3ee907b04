import { invalidParams } from '../api-error.ts';
import { userEmail } from '../releases.ts';
import type { AddonContext } from './addon-context.ts';
import type { Addon } from './addon-state.ts';
import { changesBetween, varsOf } from './app-config.ts';
import { callProvider } from './provider-calls.ts';

/** How add-ons leave. */
export interface Removal {
  /** As `Addons.destroy`. */
  destroy(addon: Addon, force: boolean): Promise<Addon>;
  /** The provider is done with removing, or gives up provisioning. */
  deprovisioned(addon: Addon): Addon;
  /** Tells the provider of an add-on that is gone for the app, until it knows. */
  tell(addon: Addon): void;
  /** Ends a provisioning or a removal that its provider does not end in time. */
  limit(addon: Addon): void;
}

// Not marked provisioned within 12 h: failed (heroku.md 1.2). Access after a DELETE that was answered with 202 ends as late.
const unfinishedMs = 12 * 3_600_000;
// How long a failed provisioning can still be looked at, so that `addons:create --wait` learns of it.
const failedMs = 600_000;
const [firstRetryMs, longestRetryMs] = [5_000, 300_000];

/** Makes the removal of add-ons. */
export function createRemoval(context: AddonContext): Removal {
  const { store } = context;
  const leaving = new Map<string, Promise<Addon>>();

  // The row goes only when the provider knows; until then it is asked again, however often the platform is restarted.
  const tell = (addon: Addon, waitMs = firstRetryMs): void => {
    // Nobody sees it any more: the name by which its app saw it is free.
    for (const { id } of store.attachments().filter(({ addonId }) => addonId === addon.id)) store.detach(id);
    callProvider(context.providerOf(addon.service), { method: 'DELETE', uuid: addon.id, signal: context.closing })
      .then((answer) => {
        if (context.closing.aborted) return;
        if (answer.kind === 'done' || answer.kind === 'later' || answer.kind === 'gone') return store.forget(addon.id);
        const why = answer.kind === 'none' ? answer.reason : `${addon.service} refused: ${answer.message}`;
        context.report(`the removal of ${addon.name} is not known to its provider yet, it is told again in ${waitMs / 1000} s (${why})`);
        context.later(waitMs, () => tell(addon, Math.min(waitMs * 2, longestRetryMs)));
      })
      .catch((error: unknown) => context.report(`the removal of ${addon.name}: ${String(error)}`));
  };

  // Config vars go, tokens die, the app restarts. Then the row is forgotten, kept until the provider knows, or shown for a while.
  const leave = (addon: Addon, then: 'forget' | 'tell' | 'show'): Addon => {
    const before = varsOf(addon, context.providerOf(addon.service), store);
    const own = store.attachments().filter(({ addonId }) => addonId === addon.id);
    for (const { id } of own) store.detach(id);
    store.dropSecretsOf(addon.id);
    const gone = context.save(addon, { state: then === 'tell' ? 'removing' : 'deprovisioned', config: {} });
    if (then === 'forget') store.forget(addon.id);
    if (then === 'tell') tell(gone);
    if (then === 'show') context.later(failedMs, () => store.forget(addon.id));
    // One that never was provisioned gave the app nothing.
    const name = own[0]?.name ?? addon.name;
    if (addon.state !== 'provisioning') context.releases.cut(`Detach ${name} (@ref:${addon.name})`, userEmail, changesBetween(before, {}));
    const shown: Addon = { ...gone, state: 'deprovisioned' };
    context.changed('destroy', shown);
    return shown;
  };

  const limit = (addon: Addon): void => {
    context.later(Math.max(0, addon.updatedAt + unfinishedMs - context.now()), () => {
      const late = context.current(addon.id);
      if (late?.state !== addon.state) return;
      context.report(`${late.name} was ${late.state} for 12 hours; it is removed`);
      leave(late, late.state === 'provisioning' ? 'tell' : 'forget');
    });
  };

  const remove = async (addon: Addon, force: boolean): Promise<Addon> => {
    const answer = await callProvider(context.providerOf(addon.service), { method: 'DELETE', uuid: addon.id, signal: context.closing });
    // It may have gone by itself meanwhile.
    const now = context.current(addon.id);
    if (now === undefined) return { ...addon, state: 'deprovisioned' };
    if (answer.kind === 'refused' && !force) throw invalidParams(answer.message);
    if (answer.kind !== 'later') return leave(now, answer.kind === 'done' || answer.kind === 'gone' ? 'forget' : 'tell');
    const waiting = context.save(now, { state: 'deprovisioning' });
    limit(waiting);
    context.changed('update', waiting);
    return waiting;
  };

  return {
    tell,
    limit,
    destroy(addon, force) {
      const under = leaving.get(addon.id);
      if (under !== undefined) return under;
      const work = remove(addon, force).finally(() => leaving.delete(addon.id));
      leaving.set(addon.id, work);
      return work;
    },
    deprovisioned(addon) {
      if (addon.state === 'provisioning') return leave(addon, 'show');
      if (addon.state === 'deprovisioning') return leave(addon, 'forget');
      if (addon.state === 'deprovisioned') return addon;
      throw invalidParams(`${addon.name} is ${addon.state}; its owner has not asked for its removal.`);
    },
  };
}
