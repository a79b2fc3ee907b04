import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';

export interface Loop {
  /** Runs the next turn now. */
  nudge(): void;
  /** Resolves when the turn that is running has ended; no other begins. */
  stop(): Promise<void>;
}

/**
 * Runs turns one after the other, `every` milliseconds apart, until stopped; a turn that answers with a number says how many
 * milliseconds the one pause after it takes instead. A turn that fails is logged; the next comes.
 */
export function startLoop(deps: { name: string; every: number; turn: (signal: AbortSignal) => Promise<unknown>; log: Log }): Loop {
  const stopping = new AbortController();
  let wake = new AbortController();
  let nudged = false;

  const running = (async () => {
    while (!stopping.signal.aborted) {
      nudged = false;
      let pause: unknown;
      try {
        pause = await deps.turn(stopping.signal);
      } catch (error) {
        deps.log.warn({ loop: deps.name, error: messageOf(error) }, 'turn failed');
      }
      if (nudged) continue;
      wake = new AbortController();
      await sleep(typeof pause === 'number' ? pause : deps.every, undefined, {
        signal: AbortSignal.any([wake.signal, stopping.signal]),
      }).catch((error: unknown) => {
        if (!(error instanceof Error) || error.name !== 'AbortError') throw error;
      });
    }
  })();

  return {
    nudge: () => {
      nudged = true;
      wake.abort();
    },
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}
