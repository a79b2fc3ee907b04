import { onSupervisorGone, tellSupervisor } from '../local/supervised.ts';
import { onEnding } from './signals.ts';

/** Milliseconds: Heroku kills 30 s after SIGTERM; everything is done before. */
const STOP_DEADLINE_MS = 25_000;

/**
 * Ends the process well: on the first SIGTERM or SIGINT, or when its supervisor is gone, `stop` runs and the process
 * ends with status 0; a signal that is sent again later, or a `stop` that hangs, ends it at once.
 */
export function stopOnSignal(stop: (deadline: number) => Promise<void>, say: (line: string) => void): void {
  let stopping = false;
  const begin = (why: string) => {
    if (stopping) return;
    stopping = true;
    say(`${why}: stopping`);
    setTimeout(() => {
      say('not stopped in time: ending at once');
      process.exit(1);
    }, STOP_DEADLINE_MS).unref();
    stop(STOP_DEADLINE_MS - 2_000).then(
      () => process.exit(0),
      (error: unknown) => {
        say(`stopping failed: ${error instanceof Error ? error.message : String(error)}`);
        process.exit(1);
      },
    );
  };
  onEnding(['SIGTERM', 'SIGINT'], begin, (signal) => {
    say(`${signal} again: ending at once`);
    process.exit(1);
  });
  onOrphaned = () => begin('supervisor gone');
}

/** What happens when the supervisor is gone: until there is something to stop well, the process simply ends. */
let onOrphaned: () => void = () => process.exit(1);

/**
 * Ends this process when its supervisor ends, in whatever way. To be called first of all: a supervisor that dies while
 * this process is still starting is noticed too.
 */
export function endWithSupervisor(): void {
  onSupervisorGone(() => onOrphaned());
}

/** Tells a supervisor, if there is one, that this process works. */
export function tellReady(port?: number): void {
  tellSupervisor({ ready: true, ...(port === undefined ? {} : { port }) });
}
