// Signals that ask a process to end. One Ctrl-C, or one stop of a Heroku dyno or of a systemd unit, comes several times: to all processes
// of the group at once, and again from npm, npx and bin/autofiles.mjs, which pass it on to the process that they started.

/** Milliseconds within which a signal that comes again is the same one; through npx it took 42. */
const SAME_MS = 1_000;

/**
 * Calls `first` at the first of the signals, and `again` at one that somebody sends once more, which by default ends the process with status 130.
 * Answers with the way to stop listening.
 */
export function onEnding(
  signals: readonly NodeJS.Signals[],
  first: (signal: NodeJS.Signals) => void,
  again: (signal: NodeJS.Signals) => void = () => process.exit(130),
): () => void {
  let at: number | undefined;
  const on = (signal: NodeJS.Signals) => {
    if (at === undefined) {
      at = performance.now();
      first(signal);
    } else if (performance.now() - at > SAME_MS) again(signal);
  };
  for (const signal of signals) process.on(signal, on);
  return () => {
    for (const signal of signals) process.off(signal, on);
  };
}
