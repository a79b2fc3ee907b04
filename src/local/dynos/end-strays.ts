import { processesOfDynos } from './process-identity.ts';

/** Ends processes that left their dyno's group and outlived the dyno, as the end of a container would. Linux only; elsewhere such a process stays. */
export interface Strays {
  /** Tells that a dyno has ended. */
  after(dynoId: string): void;
  /** Looks now. */
  endAll(): void;
}

// A look passes over every process of the machine, so dynos that end within this time share one.
const lookAfterMs = 250;

/** Makes the search for strays. A stray is known by the dyno's id in its environment. */
export function createStrays(): Strays {
  const ended = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  const endAll = (): void => {
    clearTimeout(timer);
    timer = undefined;
    for (const pid of processesOfDynos(ended).keys()) kill(pid);
    ended.clear();
  };
  return {
    after(dynoId) {
      ended.add(dynoId);
      timer ??= setTimeout(endAll, lookAfterMs);
    },
    endAll,
  };
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
