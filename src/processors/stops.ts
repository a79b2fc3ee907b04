// Stops the dynos of closed attempts. An app that answers no stop, or refuses them, takes neither the others' turn nor, by trying, their launches.
import type { DynoPlatform } from '../clients/ports.ts';
import { isRedisOutage } from '../queues/redis-outage.ts';
import type { Resources } from '../queues/resources.ts';
import type { DynoToStop, Watch } from '../queues/watch.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { LONGEST_LIFE_S } from './launch-order.ts';
import type { Pauses } from './pauses.ts';

/** How many dynos of one resource one turn stops, so that each resource has its turn. */
const PER_TURN = 50;
/** Stops of one resource that are under way at the same time: one that is not answered keeps the next ones waiting for ten seconds. */
const AT_ONCE = 5;
/**
 * Milliseconds until a stop that Heroku refused is tried again, twice as long each time up to an hour; it is given up after the longest life of a
 * one-off dyno. The refusal may be about a token that is just being replaced.
 */
const REFUSED_MS = 30_000;
const REFUSED_MOST_MS = 3_600_000;

export interface StopDeps {
  readonly resources: Resources;
  /** Resources that answered no stop: each try is charged to all. One for all shards of a process, since the app is the same. */
  readonly silences: Pauses;
  /** Every call is charged. */
  readonly charged: Pick<DynoPlatform, 'stop'>;
  readonly watch: Watch;
  /** Milliseconds of a clock that nobody sets. */
  readonly monotonic: () => number;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

/** The stops of one shard, as one process makes them. */
export function createStops(deps: StopDeps) {
  /** Stops that Heroku refused, by member: when the first was, and when the next is due, in monotonic milliseconds. */
  const refusals = new Map<string, { readonly since: number; readonly next: number }>();
  const { silences } = deps;

  /** Notes a refusal; answers whether the stop is to be tried again. */
  const again = (member: string): boolean => {
    const now = deps.monotonic();
    const since = refusals.get(member)?.since ?? now;
    if (now - since > LONGEST_LIFE_S * 1000) return false;
    refusals.set(member, { since, next: now + Math.min(Math.max(REFUSED_MS, now - since), REFUSED_MOST_MS) });
    return true;
  };

  /** Answers whether more of the resource may be stopped now. `app`: undefined for that of a resource that is gone; nothing is left to be stopped there. */
  const stop = async (app: string | undefined, { member, resource, dyno }: DynoToStop, signal: AbortSignal): Promise<boolean> => {
    deps.failpoint('stop.due');
    try {
      if (app !== undefined) await deps.charged.stop(app, dyno.id, { signal });
      silences.end(resource);
      deps.log.info({ dyno: dyno.name, dynoId: dyno.id }, 'stopped a dyno');
    } catch (error) {
      if (signal.aborted) return false;
      deps.log.warn({ dyno: dyno.name, dynoId: dyno.id, error: messageOf(error) }, 'dyno not stopped');
      const refused = error instanceof Failure && error.code === 'heroku_refused';
      const away = isRedisOutage(error);
      const unanswered = error instanceof Failure && error.retry && !away;
      if (unanswered) silences.begin(resource);
      // what cannot be stopped now stays on the list; `time_to_live` ends it at the latest
      if (refused ? again(member) : unanswered || away) {
        await deps.watch.postponed(member);
        return refused;
      }
    }
    refusals.delete(member);
    deps.failpoint('stop.stopped');
    await deps.watch.stopped(member);
    deps.failpoint('stop.noted');
    return true;
  };

  return {
    /** Of the dynos that are to be stopped those whose turn it is, by resource. `complete`: there are no others. */
    due: (some: readonly DynoToStop[], complete: boolean): ReadonlyMap<string, readonly DynoToStop[]> => {
      const now = deps.monotonic();
      // another worker stopped it, or it went with its resource
      if (complete) {
        const listed = new Set(some.map(({ member }) => member));
        for (const member of refusals.keys()) if (!listed.has(member)) refusals.delete(member);
      }
      return Map.groupBy(
        some.filter(({ member, resource }) => (refusals.get(member)?.next ?? 0) <= now && silences.left(resource) === 0),
        ({ resource }) => resource,
      );
    },

    /** Stops some dynos of a resource. Rejects as Redis does. */
    work: async (resourceId: string, dynos: readonly DynoToStop[], signal: AbortSignal): Promise<void> => {
      const resource = await deps.resources.get(resourceId);
      const left = dynos.slice(0, PER_TURN);
      const work = async () => {
        for (let one = left.shift(); one !== undefined && !signal.aborted; one = left.shift())
          if (!(await stop(resource?.app, one, signal))) left.length = 0;
      };
      // who did not answer last time is asked for one of them alone
      const atOnce = silences.known(resourceId) ? 1 : AT_ONCE;
      await Promise.all(Array.from({ length: atOnce }, work));
    },
  };
}
