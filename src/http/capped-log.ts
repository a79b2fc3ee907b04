import type { Log } from '../schema/log.ts';

const MINUTE_MS = 60_000;

/**
 * Warns of what strangers may cause any number of times: so many lines a minute, and the next one then says how many were left out (`unsaid`). `now`:
 * milliseconds since 1970.
 */
export function cappedWarning(deps: {
  readonly log: Pick<Log, 'warn'>;
  readonly now: () => number;
  readonly perMinute: number;
}): Log['warn'] {
  let since = Number.NEGATIVE_INFINITY;
  let said = 0;
  let unsaid = 0;
  return (fields, message) => {
    const now = deps.now();
    if (now - since >= MINUTE_MS) {
      since = now;
      said = 0;
    }
    if (said >= deps.perMinute) {
      unsaid += 1;
      return;
    }
    said += 1;
    deps.log.warn(unsaid === 0 ? fields : { ...fields, unsaid }, message);
    unsaid = 0;
  };
}
