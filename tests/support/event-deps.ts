import type { EventDeps } from '../../src/processors/event-deps.ts';

/** What deciding an event needs beside the stores and the place of its run, where a test says nothing else: real clocks, no limits, nobody who listens. */
export function eventDeps(
  parts: Pick<EventDeps, 'runs' | 'resources' | 'store' | 'planners' | 'place'> & Partial<Pick<EventDeps, 'failpoint'>>,
): EventDeps {
  return {
    outstanding: () => 0,
    runsPerMinute: 1_000,
    now: Date.now,
    failpoint: () => {},
    telemetry: { eventDecided: () => {} },
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    ...parts,
  };
}
