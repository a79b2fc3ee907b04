import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from './api-error.ts';
import type { Dyno, DynoRequest } from './dyno.ts';
import type { Launcher } from './launch-dyno.ts';
import type { PlatformState } from './platform-state.ts';
import { expandCommand } from './procfile.ts';
import type { Rendezvous } from './rendezvous.ts';
import type { RunningDyno } from './run-dyno.ts';

/** The one-off dynos: starts them, knows those that have not ended, stops them. They never come back. */
export interface OneOffs {
  /**
   * Starts a dyno. Resolves when its process is up (or could not be started), or after 250 ms, whichever comes first; the dyno's state says which.
   * @throws {ApiError} 422 `cannot_run_above_limit`, 503 while the platform stops.
   */
  start(request: DynoRequest): Promise<Dyno>;
  /** The dynos that have not ended, oldest first. */
  list(): Dyno[];
  find(nameOrId: string): Dyno | undefined;
  /** Begins to stop a dyno (SIGTERM, then SIGKILL after the grace). False when there is no such dyno. */
  stop(nameOrId: string): boolean;
  /** Takes no more starts and begins to end every dyno, with this grace. */
  stopAll(graceMs: number): void;
}

export interface OneOffsDeps {
  launcher: Launcher;
  rendezvous: Rendezvous;
  /** How long an attached dyno waits for its client, in milliseconds (then R13). */
  attachMs: number;
  state: PlatformState;
  id: () => string;
  /** The most one-off dynos that may run at one time. */
  maxDynos: number;
  /** How long `start` waits for the process, in milliseconds. */
  answerAfterMs: number;
  stopGraceMs: number;
}

// Heroku cycles every dyno after a day; a one-off does not come back (heroku.md 2.2).
const longestLifeSeconds = 86_400;

/** Makes the one-offs of an app; none at first. */
export function createOneOffs(deps: OneOffsDeps): OneOffs {
  const running = new Map<string, RunningDyno>();
  const byName = new Map<string, RunningDyno>();
  let closing = false;

  const get = (nameOrId: string): RunningDyno | undefined => running.get(nameOrId) ?? byName.get(nameOrId);
  const launch = (request: DynoRequest): RunningDyno => {
    const { command, env, size, type, timeToLive } = request;
    const id = deps.id();
    const name = deps.state.addDyno(id, type);
    const meeting = request.attach === 'no' ? undefined : deps.rendezvous.expect(deps.attachMs);
    const run = deps.launcher.launch(
      { id, name, type, command, size, attachUrl: meeting?.url ?? null },
      {
        command: (procfile) => expandCommand(command, procfile),
        env,
        port: portOf(name),
        lifeSeconds: timeToLive ?? longestLifeSeconds,
        endState: () => 'complete',
        ...(meeting === undefined
          ? {}
          : {
              attachment: {
                client: meeting.client,
                cancel: meeting.cancel,
                tty: request.attach === 'terminal',
                keyboard: 'COLUMNS' in env,
              },
            }),
      },
    );
    running.set(id, run);
    byName.set(name, run);
    void run.ended.then(() => {
      running.delete(id);
      byName.delete(name);
    });
    return run;
  };

  return {
    async start(request) {
      if (closing) throw new ApiError(503, 'service_unavailable', 'The local dynos platform is stopping.');
      if (running.size >= deps.maxDynos) {
        const members = { limit: deps.maxDynos, size: request.size };
        throw new ApiError(422, 'cannot_run_above_limit', `Cannot run more than ${deps.maxDynos} ${request.size} size dynos.`, members);
      }
      const run = launch(request);
      // It starts only when the client has come, who needs this answer first.
      if (request.attach !== 'no') return run.dyno;
      const tooLong = new AbortController();
      await Promise.race([run.started, delay(deps.answerAfterMs, undefined, { signal: tooLong.signal }).catch(() => undefined)]);
      tooLong.abort();
      return run.dyno;
    },
    list: () => [...running.values()].map(({ dyno }) => dyno),
    find: (nameOrId) => get(nameOrId)?.dyno,
    stop(nameOrId) {
      const run = get(nameOrId);
      run?.stop(deps.stopGraceMs);
      return run !== undefined;
    },
    stopAll(graceMs) {
      closing = true;
      for (const run of running.values()) run.stop(graceMs);
    },
  };
}

// A one-off gets a PORT too, as on Heroku, though nothing is ever routed to it. Spread by number, so that dynos that run side by side rarely meet on one.
function portOf(name: string): number {
  const number = Number(name.slice(name.lastIndexOf('.') + 1));
  return 20_000 + (number % 12_000);
}
