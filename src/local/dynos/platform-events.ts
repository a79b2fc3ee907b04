import type { AddonViews } from './addons/addon-json.ts';
import type { Addon } from './addons/addon-state.ts';
import { releaseJson } from './app-routes.ts';
import { type Dyno, type DynoState, dynoJson } from './dyno.ts';
import type { PlatformState } from './platform-state.ts';
import type { Webhooks } from './webhooks/webhooks.ts';

type Action = 'create' | 'update' | 'destroy';

/** Turns what happens on the platform into events for webhooks. */
export interface PlatformEvents {
  dyno(action: Action, dyno: Dyno, previous: DynoState | undefined): void;
  /** The newest release. */
  release(): void;
  addon(action: Action, addon: Addon, views: AddonViews): void;
  /** A process type that was scaled, as the API shows it. */
  formation(entry: Record<string, unknown>): void;
}

/** Makes the events of an app. */
export function createPlatformEvents(deps: {
  webhooks: Webhooks;
  state: PlatformState;
  app: { id: string; name: string };
}): PlatformEvents {
  const { webhooks, state, app } = deps;
  return {
    dyno(action, dyno, previous) {
      const data = dynoJson(dyno, app);
      const before = previous === undefined ? {} : { previous: { state: previous } };
      webhooks.publish({ include: 'api:dyno', action, resource: 'dyno', data, ...before });
    },
    release() {
      const data = releaseJson(state.currentRelease(), { state, app });
      webhooks.publish({ include: 'api:release', action: 'create', resource: 'release', data });
    },
    addon: (action, addon, views) => webhooks.publish({ include: 'api:addon', action, resource: 'addon', data: views.addon(addon) }),
    formation: (data) => webhooks.publish({ include: 'api:formation', action: 'update', resource: 'formation', data }),
  };
}
