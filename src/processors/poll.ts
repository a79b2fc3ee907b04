// One look at an app's dyno list serves all its tasks: who is up, who is gone, which launch of unknown fate arrived.
// The same loop has the dynos of closed attempts stopped.
import type { Dyno, DynoPlatform } from '../clients/ports.ts';
import { adoptDyno, noteDyno } from '../queues/dyno-news.ts';
import type { Resources } from '../queues/resources.ts';
import type { Runs } from '../queues/runs.ts';
import type { Watch, Watched } from '../queues/watch.ts';
import { readMarker } from '../schema/command.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { type Loop, startLoop } from './loop.ts';
import { createStops, type StopDeps } from './stops.ts';

/** Dynos that one look of ordinary length covers; with more the looks become rarer, so that waiting stays cheap. */
const DYNOS_PER_LOOK = 200;
/** Dynos to be stopped that one turn knows of, about 1 MB. */
const STOPS_KNOWN = 10_000;
/** Dynos of one look whose fate is written at the same time. */
const NOTES_AT_ONCE = 100;
/** Resources that are worked on at the same time. */
const AT_ONCE = 20;
/** Milliseconds that a poller which was killed keeps the others from looking; two looks at a time do no harm. */
const ALONE_MS = 3_000;

export interface PollDeps extends Pick<StopDeps, 'silences'> {
  readonly runs: Runs;
  readonly resources: Resources;
  /** Lists without being charged: a look is charged before it is made, so that looks keep to their share. */
  readonly platform: DynoPlatform;
  /** Stops dynos; every call is charged. */
  readonly charged: DynoPlatform;
  /** Whether the budget allows a look now. */
  readonly mayLook: (resource: string) => Promise<boolean>;
  readonly watch: Watch;
  /** Milliseconds between two looks. */
  readonly pollMs: number;
  /** Milliseconds between two looks at an app whose dynos tell of themselves by webhook. */
  readonly hookedMs: number;
  /** Milliseconds of a clock that nobody sets. */
  readonly monotonic: () => number;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

/** Watches one shard's dynos until stopped. `nudge` makes it look at once. */
export function startPolling(deps: PollDeps): Loop {
  /** Monotonic milliseconds. */
  const nextLook = new Map<string, number>();
  const busy = new Map<string, Promise<void>>();
  const stops = createStops(deps);
  const stopping = new AbortController();
  /** Each resource is worked on by itself: an app that fails or does not answer keeps nobody else's dynos waiting. */
  const apart = (what: 'look' | 'stop', resource: string, work: () => Promise<void>) => {
    const name = `${what}:${resource}`;
    if (busy.has(name) || busy.size >= AT_ONCE) return;
    const working = work()
      .catch((error: unknown) => deps.log.warn({ resource, error: messageOf(error) }, `${what} failed`))
      .finally(() => busy.delete(name));
    busy.set(name, working);
  };
  const lookAlone = async (resource: string) => {
    if (!(await deps.mayLook(resource))) return;
    const release = await deps.watch.alone(`poll:${resource}`, ALONE_MS);
    if (release === undefined) return;
    try {
      const size = await deps.watch.count(resource);
      const rest = size <= DYNOS_PER_LOOK ? 0 : deps.pollMs * (size / DYNOS_PER_LOOK);
      nextLook.set(resource, deps.monotonic() + ((await deps.watch.hooked(resource)) ? Math.max(rest, deps.hookedMs) : rest));
      await look(deps, resource, stopping.signal);
    } finally {
      await release();
    }
  };

  const loop = startLoop({
    every: deps.pollMs,
    log: deps.log,
    name: 'poll',
    turn: async (signal) => {
      const toStop = await deps.watch.toStop(STOPS_KNOWN);
      for (const [resource, dynos] of stops.due(toStop, toStop.length < STOPS_KNOWN))
        apart('stop', resource, () => stops.work(resource, dynos, stopping.signal));
      // who was looked at longest ago comes first, so that a small budget goes round
      const watched = (await deps.watch.resources()).toSorted((a, b) => (nextLook.get(a) ?? 0) - (nextLook.get(b) ?? 0));
      for (const resource of watched) {
        if (signal.aborted) return;
        if ((nextLook.get(resource) ?? 0) <= deps.monotonic()) apart('look', resource, () => lookAlone(resource));
      }
    },
  });
  return {
    nudge: loop.nudge,
    stop: async () => {
      stopping.abort();
      await loop.stop();
      await Promise.all(busy.values());
    },
  };
}

async function look(deps: PollDeps, resourceId: string, signal: AbortSignal): Promise<void> {
  const resource = await deps.resources.get(resourceId);
  if (resource === undefined) return;
  // read before the list: a dyno that was launched after the list was made must not seem gone
  const watched = await deps.watch.of(resourceId);
  if (watched.length === 0) return;
  // Redis' clock: it wrote until when a launch is looked for
  const now = watched.some(({ until }) => until !== undefined) ? await deps.watch.clock() : 0;
  const dynos = await deps.platform.list(resource.app, { signal });
  deps.failpoint('poll.looked');
  const byId = new Map(dynos.map((dyno) => [dyno.id, dyno]));
  const byMarker = new Map<string, Dyno>();
  for (const dyno of dynos) {
    const marker = readMarker(dyno.command);
    if (marker !== undefined) byMarker.set(`${marker.taskId}/${marker.attempt}`, dyno);
  }
  // many at a time: one after the other, the ends of a thousand dynos would take seconds to be noted
  for (let i = 0; i < watched.length; i += NOTES_AT_ONCE) {
    await Promise.all(
      watched.slice(i, i + NOTES_AT_ONCE).map(async (one) => {
        if (one.dyno === undefined) await adopt(deps, resourceId, one, byMarker.get(`${one.ref.id}/${one.attempt}`), now);
        else if ((await noteDyno(deps.runs, resourceId, one, one.dyno.id, byId.get(one.dyno.id))) !== undefined)
          deps.failpoint('poll.noted');
      }),
    );
  }
}

async function adopt(deps: PollDeps, resource: string, one: Watched, dyno: Dyno | undefined, now: number): Promise<void> {
  if (dyno === undefined) {
    if (one.until !== undefined && now > one.until) await deps.watch.forget(resource, one);
    return;
  }
  const result = await adoptDyno(deps.runs, resource, one, dyno);
  deps.log.info({ taskId: one.ref.id, attempt: one.attempt, dyno: dyno.name, dynoId: dyno.id, result }, 'found a dyno');
}
