import type { Dyno } from './dyno.ts';
import { createStrays } from './end-strays.ts';
import { createGate } from './gate.ts';
import { type RunDeps, type RunningDyno, type RunPlan, runDyno } from './run-dyno.ts';

/** Starts dynos, whatever becomes of them, and waits for the last of them. */
export interface Launcher {
  launch(what: Pick<Dyno, 'id' | 'name' | 'type' | 'command' | 'size' | 'attachUrl'>, plan: RunPlan): RunningDyno;
  /** Resolves when every dyno that was launched is gone with its folder and its strays. */
  allGone(): Promise<void>;
}

// Copies compete for the disk and for libuv's four threads: more at one time only makes each of them later.
const startsAtOnce = 16;

/** Makes the launcher that one-offs and the formation share. */
export function createLauncher(deps: RunDeps): Launcher {
  const gate = createGate(startsAtOnce);
  const strays = createStrays();
  // Kept longer than the dynos: an ended one still has its folder removed.
  const leaving = new Set<Promise<void>>();
  return {
    launch(what, plan) {
      const { id: releaseId, version } = deps.state.currentRelease();
      const at = deps.now();
      const dyno: Dyno = { ...what, release: { id: releaseId, version }, createdAt: at, updatedAt: at, state: 'starting' };
      deps.changed('create', dyno, undefined);
      const run = runDyno(dyno, plan, gate, deps);
      void run.ended.then(() => {
        deps.changed('destroy', dyno, undefined);
        strays.after(what.id);
      });
      leaving.add(run.gone);
      void run.gone.then(() => leaving.delete(run.gone));
      return run;
    },
    async allGone() {
      await Promise.all(leaving);
      strays.endAll();
    },
  };
}
