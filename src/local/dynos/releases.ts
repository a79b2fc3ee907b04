import type { LogStore } from './log-store.ts';
import type { PlatformState } from './platform-state.ts';

/** Everything local belongs to one made-up user. */
export const userEmail = 'you@localhost';

/** Cuts releases: each is logged and restarts the formation; one-offs go on with what they were started with. */
export interface Releases {
  /** Changes config vars (null removes) as one release, when they change anything. Says whether they did. */
  change(changes: Record<string, string | null>, description: string, actor: string): boolean;
  /** Cuts a release whether or not a config var changes with it. */
  cut(description: string, actor: string, changes?: Record<string, string | null>): void;
}

/** Makes the releases of an app; `released` is told of each. */
export function createReleases(deps: {
  state: PlatformState;
  log: LogStore;
  id: () => string;
  now: () => number;
  released: () => void;
}): Releases {
  const announce = (description: string, actor: string): void => {
    deps.log.append('app', 'api', `${description} by user ${actor}`);
    deps.log.append('app', 'api', `Release v${deps.state.currentRelease().version} created by user ${actor}`);
    deps.released();
  };
  return {
    change(changes, description, actor) {
      const changed = deps.state.changeConfigVars(changes, { id: deps.id(), description, actor, at: deps.now() });
      if (changed) announce(description, actor);
      return changed;
    },
    cut(description, actor, changes) {
      deps.state.cutRelease({ id: deps.id(), description, actor, at: deps.now() }, changes);
      announce(description, actor);
    },
  };
}
