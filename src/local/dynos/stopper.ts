import type { DynoProcess } from './dyno-process.ts';

/** Remembers a stop that was asked for before the process was there, and escalates one that is not followed. */
export interface Stopper {
  /** SIGTERM now, SIGKILL when something is left after `graceMs`. A shorter grace later wins. */
  stop(graceMs: number): void;
  /** SIGKILL now. */
  kill(): void;
  /** Whether an end was asked for. */
  stopped(): boolean;
  began(process: DynoProcess): void;
  ended(): void;
}

/** Makes the stopper of one dyno; `say` writes Heroku's lines about it into the log. */
export function createStopper(say: (text: string) => void): Stopper {
  let process: DynoProcess | undefined;
  let asked: number | undefined;
  let over = false;
  let timer: NodeJS.Timeout | undefined;

  const kill = (): void => {
    say('Stopping process with SIGKILL');
    process?.signal('SIGKILL');
  };
  const terminate = (started: DynoProcess, graceMs: number): void => {
    started.signal('SIGTERM');
    clearTimeout(timer);
    timer = setTimeout(() => {
      say(`Error R12 (Exit timeout) -> At least one process failed to exit within ${graceMs / 1000} seconds of SIGTERM`);
      kill();
    }, graceMs);
  };
  return {
    stop(graceMs) {
      if (over || (asked !== undefined && asked <= graceMs)) return;
      if (asked === undefined) say('Stopping process with SIGTERM');
      asked = graceMs;
      if (process !== undefined) terminate(process, graceMs);
    },
    kill() {
      if (over) return;
      asked = 0;
      kill();
    },
    stopped: () => asked !== undefined,
    began(started) {
      process = started;
      if (asked !== undefined) terminate(started, asked);
    },
    ended() {
      over = true;
      clearTimeout(timer);
    },
  };
}
