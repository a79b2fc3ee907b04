// One look at an app's dyno list serves all its tasks: who is up, who is gone, which launch of unknown fate arrived.
// The same loop stops the dynos of closed attempts.
import type { Dyno, DynoPlatform } from '../clients/ports.ts';
import type { Resources } from '../queues/resources.ts';
import type { Runs } from '../queues/runs.ts';
import type { Watch, Watched } from '../queues/watch.ts';
import { readMarker } from '../schema/command.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { type Loop, startLoop } from './loop.ts';

/** Dynos that one look of ordinary length covers; with more the looks become rarer, so that waiting stays cheap. */
const DYNOS_PER_LOOK = 200;
/** Dynos stopped in one turn. */
const STOPS_PER_TURN = 50;

export interface PollDeps {
  readonly runs: Runs;
  readonly resources: Resources;
  readonly platform: DynoPlatform;
  readonly watch: Watch;
  /** Milliseconds between two looks. */
  readonly pollMs: number;
  readonly now: () => number;
  readonly log: Log;
}

/** Watches one shard's dynos until stopped. `nudge` makes it look at once. */
export function startPolling(deps: PollDeps): Loop {
  const nextLook = new Map<string, number>();
  return startLoop({
    every: deps.pollMs,
    log: deps.log,
    name: 'poll',
    turn: async (signal) => {
      await stopDynos(deps);
      for (const resource of await deps.watch.resources()) {
        if (signal.aborted) return;
        if ((nextLook.get(resource) ?? 0) > deps.now()) continue;
        const release = await deps.watch.alone(`poll:${resource}`, 30_000);
        if (release === undefined) continue;
        try {
          const size = await deps.watch.count(resource);
          nextLook.set(resource, deps.now() + (size <= DYNOS_PER_LOOK ? 0 : deps.pollMs * (size / DYNOS_PER_LOOK)));
          await look(deps, resource);
        } finally {
          await release();
        }
      }
    },
  });
}

async function look(deps: PollDeps, resourceId: string): Promise<void> {
  const resource = await deps.resources.get(resourceId);
  if (resource === undefined) return;
  // read before the list: a dyno that was launched after the list was made must not seem gone
  const watched = await deps.watch.of(resourceId);
  if (watched.length === 0) return;
  const dynos = await deps.platform.list(resource.app);
  const byId = new Map(dynos.map((dyno) => [dyno.id, dyno]));
  const byMarker = new Map<string, Dyno>();
  for (const dyno of dynos) {
    const marker = readMarker(dyno.command);
    if (marker !== undefined) byMarker.set(`${marker.taskId}/${marker.attempt}`, dyno);
  }
  for (const one of watched) {
    if (one.dyno === undefined) await adopt(deps, resourceId, one, byMarker.get(`${one.ref.id}/${one.attempt}`));
    else await observe(deps, resourceId, one, one.dyno.id, byId.get(one.dyno.id));
  }
}

async function adopt(deps: PollDeps, resource: string, one: Watched, dyno: Dyno | undefined): Promise<void> {
  if (dyno === undefined) return;
  const { ref, attempt, noOutput, timeout } = one;
  deps.log.info({ taskId: ref.id, attempt, dyno: dyno.name }, 'adopted a dyno');
  await deps.runs.launched({ ref, resource, attempt, timeout, noOutput, dyno, up: dyno.state === 'up', adopted: true });
}

async function observe(deps: PollDeps, resource: string, one: Watched, dynoId: string, dyno: Dyno | undefined): Promise<void> {
  if (dyno !== undefined && dyno.state !== 'up' && dyno.state !== 'crashed') return;
  const kind = dyno === undefined ? 'gone' : dyno.state === 'up' ? 'up' : 'crashed';
  await deps.runs.observe({ ref: one.ref, resource, attempt: one.attempt, kind, dynoId, noOutput: one.noOutput });
}

/** What cannot be stopped now stays on the list; `time_to_live` ends it at the latest. */
async function stopDynos(deps: PollDeps): Promise<void> {
  for (const { member, resource: id, dyno } of await deps.watch.toStop(STOPS_PER_TURN)) {
    const resource = await deps.resources.get(id);
    try {
      if (resource !== undefined) await deps.platform.stop(resource.app, dyno.id);
      deps.log.info({ dyno: dyno.name, dynoId: dyno.id }, 'stopped a dyno');
    } catch (error) {
      deps.log.warn({ dyno: dyno.name, error: messageOf(error) }, 'dyno not stopped');
      if (error instanceof Failure && error.retry) return;
    }
    await deps.watch.stopped(member);
  }
}
