// A worker's own watch over itself: due work that it does not serve, though it is up, makes its health red and, when that
// lasts, ends the process, so that whoever runs it starts a fresh one.
import { within } from '../clients/deadline.ts';
import type { EventQueue } from '../clients/ports.ts';
import { dueOf, readDepths, redisTime } from '../queues/due.ts';
import { QUEUES } from '../queues/keys.ts';
import type { WorkerSigns } from '../queues/worker-signs.ts';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { createProgressWatch, type Sample } from '../schema/progress.ts';
import { type Loop, startLoop } from './loop.ts';

/** Milliseconds that Redis or the queue may take to answer a look. */
const LOOK_DEADLINE_MS = 5_000;
/** How many limits a stall may last before the process gives itself up. */
const LIMITS_TO_THE_END = 2;
/** Name of the event queue among the kinds of work. */
const EVENTS = 'events';

export interface LivenessDeps {
  readonly redis: Parameters<typeof readDepths>[0];
  readonly signs: WorkerSigns;
  /** This process, for the signs it gives. */
  readonly worker: string;
  /** The shards that it serves. */
  readonly shards: () => readonly number[];
  readonly queue: Pick<EventQueue, 'waiting'>;
  readonly queueUrl: string;
  /** How much was served so far: activations by `<queue> <shard>`. */
  readonly served: ReadonlyMap<string, number>;
  /** When the event queue last answered, in milliseconds since 1970. */
  readonly lastPollAt: () => number;
  /** Milliseconds of due work without progress after which it counts as stalled. */
  readonly stallMs: number;
  /** Shards that have, or will have, runs and that this process does not serve, in words. */
  readonly unserved?: () => string | undefined;
  /** Called once when a stall has lasted twice as long, or there are such shards: whoever starts anew serves them. */
  readonly onDead: (what: readonly string[]) => void;
  readonly monotonic: () => number;
  readonly log: Log;
}

export interface Liveness extends Loop {
  /** Kinds of work that have stalled. */
  stalled(): readonly string[];
}

/** Name of a shard's queue in `served`, signs and logs. */
export const workName = (queue: string, shard: number) => `${queue} ${shard}`;

/** Starts the watch: a look every sixth of the limit. */
export function startLiveness(deps: LivenessDeps): Liveness {
  const { redis, log } = deps;
  const every = Math.min(5_000, Math.ceil(deps.stallMs / 6));
  const watch = createProgressWatch({ limit: deps.stallMs, every: every + LOOK_DEADLINE_MS });
  let messages = 0;
  let stalled: readonly string[] = [];
  let dead = false;

  const samples = async (): Promise<ReadonlyMap<string, Sample>> => {
    const found = new Map<string, Sample>();
    const now = await redisTime(redis);
    for (const shard of deps.shards()) {
      const depths = await readDepths(redis, shard, now);
      for (const queue of Object.values(QUEUES)) {
        const what = workName(queue, shard);
        found.set(what, { due: dueOf(depths[queue]), served: deps.served.get(what) ?? 0 });
      }
    }
    return found;
  };

  const lookAtEvents = async (signal: AbortSignal): Promise<Sample> => {
    const waiting = await deps.queue.waiting(deps.queueUrl, { deadline: LOOK_DEADLINE_MS, signal });
    messages = waiting;
    // a poll that came back, empty or not, is progress: another process may have been quicker
    return { due: waiting, served: deps.lastPollAt() };
  };

  const loop = startLoop({
    name: 'liveness',
    every,
    log,
    turn: async (signal) => {
      const found = new Map(await within({ signal }, LOOK_DEADLINE_MS, samples));
      // a queue that does not answer is an outage of its own, which the poll loop reports; the jobs are judged all the same
      const events = await lookAtEvents(signal).catch((error: unknown) => {
        log.debug({ error: messageOf(error) }, 'event queue not asked how much waits');
        return undefined;
      });
      // what ends serves nothing any more, and is to: that is no stall, and no sign of life either
      if (signal.aborted) return;
      if (events !== undefined) found.set(EVENTS, events);
      const at = deps.monotonic();
      watch.look(found, at);
      const stalls = watch.stalls(at);
      const unserved = deps.unserved?.();
      const names = [...stalls.map(({ what }) => what), ...(unserved === undefined ? [] : [unserved])];
      if (names.join() !== stalled.join()) {
        if (names.length > 0)
          log.error({ stalled: names, due: names.map((what) => found.get(what)?.due ?? 0) }, 'work is due, but nothing of it is served');
        else log.info({}, 'work is served again');
      }
      stalled = names;
      // before anything is written: a Redis that is read, and takes no writes, is a reason to end, too
      if (!dead && (unserved !== undefined || stalls.some(({ since }) => at - since >= LIMITS_TO_THE_END * deps.stallMs))) {
        dead = true;
        deps.onDead(names);
      }
      const served = [...deps.served.values()].reduce((sum, n) => sum + n, 0);
      await deps.signs.give(deps.worker, { at: await redisTime(redis), served, messages, stalled: names });
    },
  });

  return {
    nudge: loop.nudge,
    stalled: () => stalled,
    // nothing is judged from the call on
    stop: async () => {
      await loop.stop();
      await deps.signs
        .withdraw(deps.worker)
        .catch((error: unknown) => log.debug({ error: messageOf(error) }, 'sign of life not withdrawn'));
    },
  };
}
