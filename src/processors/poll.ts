// One look at an app's dyno list serves all its tasks: who is up, who is gone, which launch of unknown fate arrived.
// The same loop stops the dynos of closed attempts.
import type { Dyno, DynoPlatform } from '../clients/ports.ts';
import { adoptDyno, noteDyno } from '../queues/dyno-news.ts';
import { isRedisOutage } from '../queues/redis-outage.ts';
import type { Resources } from '../queues/resources.ts';
import type { Runs } from '../queues/runs.ts';
import type { DynoToStop, Watch, Watched } from '../queues/watch.ts';
import { readMarker } from '../schema/command.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { LONGEST_LIFE_S } from './launch-order.ts';
import { type Loop, startLoop } from './loop.ts';

/** Dynos that one look of ordinary length covers; with more the looks become rarer, so that waiting stays cheap. */
const DYNOS_PER_LOOK = 200;
/** Dynos to be stopped that one turn knows of, about 1 MB; and how many of one resource it stops, so that each resource has its turn. */
const STOPS_KNOWN = 10_000;
const STOPS_PER_RESOURCE = 50;
/** Stops of one resource that are under way at the same time: one that is not answered keeps the next ones waiting for ten seconds. */
const STOPS_AT_ONCE = 5;
/**
 * Milliseconds until a stop that Heroku refused is tried again, twice as long each time up to an hour; it is given up after the longest life of a
 * one-off dyno. The refusal may be about a token that is just being replaced.
 */
const REFUSED_MS = 30_000;
const REFUSED_MOST_MS = 3_600_000;
/** Dynos of one look whose fate is written at the same time. */
const NOTES_AT_ONCE = 100;
/** Resources that are worked on at the same time. */
const AT_ONCE = 20;
/** Milliseconds that a poller which was killed keeps the others from looking; two looks at a time do no harm. */
const ALONE_MS = 3_000;

export interface PollDeps {
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
  readonly now: () => number;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

/** Watches one shard's dynos until stopped. `nudge` makes it look at once. */
export function startPolling(deps: PollDeps): Loop {
  const nextLook = new Map<string, number>();
  const busy = new Map<string, Promise<void>>();
  const refusals: Refusals = new Map();
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
      nextLook.set(resource, deps.now() + ((await deps.watch.hooked(resource)) ? Math.max(rest, deps.hookedMs) : rest));
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
      const due = (await deps.watch.toStop(STOPS_KNOWN)).filter(({ member }) => (refusals.get(member)?.next ?? 0) <= deps.now());
      for (const [resource, dynos] of Map.groupBy(due, (one) => one.resource))
        apart('stop', resource, () => stopDynos(deps, resource, dynos.slice(0, STOPS_PER_RESOURCE), refusals, stopping.signal));
      // who was looked at longest ago comes first, so that a small budget goes round
      const watched = (await deps.watch.resources()).toSorted((a, b) => (nextLook.get(a) ?? 0) - (nextLook.get(b) ?? 0));
      for (const resource of watched) {
        if (signal.aborted) return;
        if ((nextLook.get(resource) ?? 0) <= deps.now()) apart('look', resource, () => lookAlone(resource));
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

/** Stops that Heroku refused, by member: when the first was, and when the next is due. Milliseconds since 1970. */
type Refusals = Map<string, { readonly since: number; readonly next: number }>;

/** What cannot be stopped now stays on the list; `time_to_live` ends it at the latest. */
async function stopDynos(
  deps: PollDeps,
  resourceId: string,
  dynos: readonly DynoToStop[],
  refusals: Refusals,
  signal: AbortSignal,
): Promise<void> {
  const resource = await deps.resources.get(resourceId);
  const left = [...dynos];
  const work = async () => {
    for (let one = left.shift(); one !== undefined && !signal.aborted; one = left.shift())
      await stopDyno(deps, resource?.app, one, refusals, signal);
  };
  await Promise.all(Array.from({ length: STOPS_AT_ONCE }, work));
}

/** `app`: undefined for that of a resource that is gone; nothing is left to be stopped there. */
async function stopDyno(
  deps: PollDeps,
  app: string | undefined,
  { member, dyno }: DynoToStop,
  refusals: Refusals,
  signal: AbortSignal,
): Promise<void> {
  deps.failpoint('stop.due');
  try {
    if (app !== undefined) await deps.charged.stop(app, dyno.id, { signal });
    deps.log.info({ dyno: dyno.name, dynoId: dyno.id }, 'stopped a dyno');
  } catch (error) {
    if (signal.aborted) return;
    deps.log.warn({ dyno: dyno.name, dynoId: dyno.id, error: messageOf(error) }, 'dyno not stopped');
    const refused = error instanceof Failure && error.code === 'heroku_refused';
    if (refused ? again(refusals, member, deps.now()) : (error instanceof Failure && error.retry) || isRedisOutage(error)) {
      await deps.watch.postponed(member);
      return;
    }
  }
  refusals.delete(member);
  deps.failpoint('stop.stopped');
  await deps.watch.stopped(member);
  deps.failpoint('stop.noted');
}

/** Notes a refusal; answers whether the stop is to be tried again. */
function again(refusals: Refusals, member: string, now: number): boolean {
  const since = refusals.get(member)?.since ?? now;
  if (now - since > LONGEST_LIFE_S * 1000) return false;
  refusals.set(member, { since, next: now + Math.min(Math.max(REFUSED_MS, now - since), REFUSED_MOST_MS) });
  return true;
}
