// One look at an app's dyno list serves all its tasks, of every shard and worker: who is up, who is gone, which launch of unknown fate arrived.
// The same loop has the dynos of closed attempts stopped.
import { within } from '../clients/deadline.ts';
import type { Dyno, DynoPlatform } from '../clients/ports.ts';
import { adoptDyno, noteDyno } from '../queues/dyno-news.ts';
import type { Looks } from '../queues/looks.ts';
import type { Resources } from '../queues/resources.ts';
import type { Runs } from '../queues/runs.ts';
import type { Watch, Watched } from '../queues/watch.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { type Loop, startLoop } from './loop.ts';
import { type Marked, markedDyno } from './marked-dynos.ts';
import { createStops, type StopDeps } from './stops.ts';

/** Dynos that one look of ordinary length covers; with more the looks become rarer, so that waiting stays cheap. */
const DYNOS_PER_LOOK = 200;
/** Dynos to be stopped that one turn knows of, about 1 MB. */
const STOPS_KNOWN = 10_000;
/** Dynos of one look whose fate is written at the same time. */
const NOTES_AT_ONCE = 100;
/** Resources that are worked on at the same time. */
const AT_ONCE = 20;
/** Part of the time between two looks for which a look keeps all other processes from one: a turn may come a little early. */
const TURN = 0.9;
/** Milliseconds that a shard is waited for: one whose node is away keeps the dynos of no other shard from being seen. */
const SHARD_MS = 3_000;
/** The same for what a look finds to write in one shard, and for the turn at a list. */
const NOTES_MS = 15_000;
const TAKE_MS = 1_000;

export interface PollDeps extends Pick<StopDeps, 'silences'> {
  readonly runs: Runs;
  readonly resources: Resources;
  /** Lists without being charged: a look is charged before it is made, so that looks keep to their share. */
  readonly platform: DynoPlatform;
  /** Stops dynos; every call is charged. */
  readonly charged: DynoPlatform;
  /** Whether the budget allows a look now. */
  readonly mayLook: (resource: string) => Promise<boolean>;
  /** Those of all shards. */
  readonly watches: readonly Watch[];
  readonly looks: Looks;
  /** Milliseconds between two looks. */
  readonly pollMs: number;
  /** Milliseconds between two looks at an app whose dynos tell of themselves by webhook. */
  readonly hookedMs: number;
  /** Milliseconds of a clock that nobody sets. */
  readonly monotonic: () => number;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

interface Shard {
  readonly number: number;
  readonly watch: Watch;
  readonly stops: ReturnType<typeof createStops>;
}

/** Watches the dynos of all shards until stopped. `nudge` makes it look at once. */
export function startPolling(deps: PollDeps): Loop {
  /** Monotonic milliseconds. */
  const nextLook = new Map<string, number>();
  const busy = new Map<string, Promise<void>>();
  const shards: readonly Shard[] = deps.watches.map((watch, number) => ({ number, watch, stops: createStops({ ...deps, watch }) }));
  const stopping = new AbortController();
  /** What is read of shards, without those that do not answer. */
  const ofAll = async <T>(what: string, some: readonly Shard[], read: (shard: Shard) => Promise<T>): Promise<readonly T[]> => {
    const found = await Promise.allSettled(some.map((shard) => within({ deadline: SHARD_MS }, SHARD_MS, () => read(shard))));
    for (const [k, one] of found.entries())
      if (one.status === 'rejected')
        deps.log.warn({ shard: some[k]?.number, error: messageOf(one.reason) }, `${what}: a shard was not read`);
    return found.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  };
  /** Each resource is worked on by itself: an app that fails or does not answer keeps nobody else's dynos waiting. */
  const apart = (what: string, resource: string, work: () => Promise<void>) => {
    const name = `${what}:${resource}`;
    if (busy.has(name) || busy.size >= AT_ONCE * shards.length) return;
    const working = work()
      .catch((error: unknown) => deps.log.warn({ resource, error: messageOf(error) }, `${what} failed`))
      .finally(() => busy.delete(name));
    busy.set(name, working);
  };
  /** Whether the turn is this process's: it is, too, where the node of Redis that has the turns does not answer. Two lists at a time do no harm. */
  const isOurs = async (resource: string): Promise<boolean> => {
    try {
      return await within({ deadline: TAKE_MS }, TAKE_MS, () => deps.looks.take(resource, shards.length, deps.pollMs * TURN));
    } catch (error) {
      deps.log.warn({ resource, error: messageOf(error) }, 'turn at a dyno list not taken');
      return true;
    }
  };
  /** `there`: the shards that have dynos of it; `whole`: of all of which that is known. */
  const lookAlone = async (resource: string, there: readonly Shard[], whole: boolean) => {
    if (!(await isOurs(resource))) {
      // somebody else just looked
      nextLook.set(resource, deps.monotonic());
      return;
    }
    if (!(await deps.mayLook(resource))) return;
    // read before the list: a dyno that was launched after the list was made must not seem gone
    const read = await ofAll('the dynos that are watched', there, async ({ number, watch }) => {
      const watched = await watch.of(resource);
      // Redis' clock: it wrote until when a launch is looked for
      const now = watched.some(({ until }) => until !== undefined) ? await watch.clock() : 0;
      return { number, watch, watched, now, hooked: await watch.hooked(resource) };
    });
    const noted = await look(deps, resource, read, stopping.signal);
    // another worker may see what this one does not
    if (!whole || !noted || read.length < there.length) return await deps.looks.leave(resource, shards.length);
    const dynos = read.reduce((sum, { watched }) => sum + watched.length, 0);
    const rest = dynos <= DYNOS_PER_LOOK ? 0 : deps.pollMs * (dynos / DYNOS_PER_LOOK);
    const next = read.some(({ hooked }) => hooked) ? Math.max(rest, deps.hookedMs) : rest;
    nextLook.set(resource, deps.monotonic() + next);
    if (next > deps.pollMs) await deps.looks.rest(resource, shards.length, next * TURN);
  };

  const loop = startLoop({
    every: deps.pollMs,
    log: deps.log,
    name: 'poll',
    turn: async (signal) => {
      const toStop = await ofAll('dynos to be stopped', shards, async (shard) => ({
        ...shard,
        dynos: await shard.watch.toStop(STOPS_KNOWN),
      }));
      for (const { number, stops, dynos } of toStop) {
        for (const [resource, due] of stops.due(dynos, dynos.length < STOPS_KNOWN))
          apart(`stop in shard ${number}`, resource, () => stops.work(resource, due, stopping.signal));
      }
      const watched = new Map<string, Shard[]>();
      const lists = await ofAll('resources with dynos', shards, async (shard) => ({ shard, resources: await shard.watch.resources() }));
      for (const { shard, resources } of lists)
        for (const resource of resources) watched.set(resource, [...(watched.get(resource) ?? []), shard]);
      const whole = lists.length === shards.length;
      for (const resource of nextLook.keys()) if (!watched.has(resource)) nextLook.delete(resource);
      // who was looked at longest ago comes first, so that a small budget goes round
      for (const [resource, there] of [...watched].toSorted(([a], [b]) => (nextLook.get(a) ?? 0) - (nextLook.get(b) ?? 0))) {
        if (signal.aborted) return;
        if ((nextLook.get(resource) ?? 0) <= deps.monotonic()) apart('look', resource, () => lookAlone(resource, there, whole));
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

/** The dynos that one shard's tasks wait for. */
interface ShardWatched {
  readonly number: number;
  readonly watch: Watch;
  readonly watched: readonly Watched[];
  /** Milliseconds by Redis' clock, of before the list; 0 where nothing goes by it. */
  readonly now: number;
}

/** Answers whether what the list shows stands in Redis, all of it. */
async function look(deps: PollDeps, resourceId: string, read: readonly ShardWatched[], signal: AbortSignal): Promise<boolean> {
  if (read.every(({ watched }) => watched.length === 0)) return true;
  const resource = await deps.resources.get(resourceId);
  if (resource === undefined) return true;
  const dynos = await deps.platform.list(resource.app, { signal });
  deps.failpoint('poll.looked');
  // one that takes no writes keeps the others from none
  const noted = await Promise.allSettled(
    read.map((shard) => within({ deadline: NOTES_MS }, NOTES_MS, () => note(deps, resourceId, shard, dynos))),
  );
  for (const [k, one] of noted.entries())
    if (one.status === 'rejected')
      deps.log.warn({ resource: resourceId, shard: read[k]?.number, error: messageOf(one.reason) }, 'what a dyno list shows is not noted');
  return noted.every(({ status }) => status === 'fulfilled');
}

async function note(deps: PollDeps, resourceId: string, { watch, watched, now }: ShardWatched, dynos: readonly Dyno[]): Promise<void> {
  const byId = new Map(dynos.map((dyno) => [dyno.id, dyno]));
  // many at a time: one after the other, the ends of a thousand dynos would take seconds to be noted
  for (let i = 0; i < watched.length; i += NOTES_AT_ONCE) {
    await Promise.all(
      watched.slice(i, i + NOTES_AT_ONCE).map(async (one) => {
        if (one.dyno === undefined) await adopt({ ...deps, watch }, resourceId, one, markedDyno(dynos, one.ref.id, one.attempt), now);
        else if ((await noteDyno(deps.runs, resourceId, one, one.dyno.id, byId.get(one.dyno.id))) !== undefined)
          deps.failpoint('poll.noted');
      }),
    );
  }
}

async function adopt(deps: PollDeps & { watch: Watch }, resource: string, one: Watched, dyno: Marked, now: number): Promise<void> {
  // of several nobody can tell which was launched: none is adopted, and none stopped
  if (dyno === undefined || dyno === 'several') {
    if (one.until !== undefined && now > one.until) await deps.watch.forget(resource, one);
    return;
  }
  const result = await adoptDyno(deps.runs, resource, one, dyno);
  deps.log.info({ taskId: one.ref.id, attempt: one.attempt, dyno: dyno.name, dynoId: dyno.id, result }, 'found a dyno');
}
