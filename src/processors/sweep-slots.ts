// Which buckets this process sweeps: it claims those that are due, a few at a time, and keeps its claims while it is at them.
import type { Ledger } from '../queues/ledger.ts';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { type Loop, startLoop } from './loop.ts';

/** Buckets that a process sweeps at the same time. */
const AT_ONCE = 8;
/** Those of them whose list has become long: they take minutes or hours, and the others must not wait for them. */
const LONG_AT_ONCE = 4;
/** Pages after which a list is long. */
const LONG_PAGES = 20;
/** Milliseconds that a claim outlives the process that made it, and between two renewals. */
const CLAIM_MS = 15_000;
const RENEW_MS = 5_000;
/** Milliseconds between two looks for resources that are on no list yet: it reads all of them. */
const ENLIST_MS = 60_000;
/** Milliseconds until a process looks again whether it may sweep. */
const NOT_YET_MS = 100;

export interface SlotsDeps {
  readonly ledger: Pick<Ledger, 'claim' | 'renew' | 'schedule' | 'enlist'>;
  /** The epoch; undefined while nothing can be swept: what is claimed in vain is put off, and after a loss of Redis all buckets are due. */
  readonly epoch: () => number | undefined;
  /** Ids of all resources. */
  readonly all: () => Promise<readonly string[]>;
  /** Redis' time in milliseconds. */
  readonly clock: () => Promise<number>;
  /** Milliseconds between two sweeps of a bucket. */
  readonly everyMs: number;
  /**
   * Sweeps the bucket of a resource and answers after how many milliseconds the next sweep is due; undefined: never. `goOn` is asked after each
   * page of a list and answers whether it may become longer than so many.
   */
  readonly sweep: (id: string, course: { signal: AbortSignal; goOn: (pages: number) => boolean }) => Promise<number | undefined>;
  readonly log: Log;
}

/**
 * Has buckets swept when they are due, until stopped. Of several processes one sweeps a bucket at a time; should one be so slow that its claim
 * runs out, two do, which costs time and nothing else.
 */
export function startSlots(deps: SlotsDeps): Loop {
  const { ledger, clock, log } = deps;
  const sweeps = new Map<string, { readonly running: Promise<void>; readonly epoch: number; readonly abort: AbortController }>();
  /** Those whose claim is kept. */
  const claimed = new Set<string>();
  const long = new Set<string>();
  let enlisted = Number.NEGATIVE_INFINITY;

  const mayGoOn = (id: string, pages: number): boolean => {
    if (pages < LONG_PAGES || long.has(id)) return true;
    if (long.size >= LONG_AT_ONCE) return false;
    long.add(id);
    return true;
  };

  const sweep = async (id: string, signal: AbortSignal): Promise<void> => {
    let pause: number | undefined = Math.min(deps.everyMs, ENLIST_MS);
    try {
      pause = await deps.sweep(id, { signal, goOn: (pages) => mayGoOn(id, pages) });
    } catch (error) {
      log.warn({ resource: id, error: messageOf(error) }, 'bucket not swept');
    }
    long.delete(id);
    claimed.delete(id);
    // what was broken off goes to whoever is there, at once
    if (pause !== undefined) await ledger.schedule(id, (await clock()) + (signal.aborted ? 0 : pause));
  };

  const begin = (id: string, epoch: number, signal: AbortSignal): void => {
    claimed.add(id);
    const abort = new AbortController();
    const running = sweep(id, AbortSignal.any([signal, abort.signal]))
      // the claim runs out, and the bucket is due again
      .catch((error: unknown) => log.warn({ resource: id, error: messageOf(error) }, 'next sweep of a bucket not noted'))
      .finally(() => {
        sweeps.delete(id);
        loop.nudge();
      });
    sweeps.set(id, { running, epoch, abort });
  };

  const breakOff = (id: string, abort: AbortController): void => {
    claimed.delete(id);
    abort.abort();
  };

  const loop = startLoop({
    name: 'sweep-buckets',
    every: Math.min(1_000, deps.everyMs),
    log,
    turn: async (signal) => {
      const epoch = deps.epoch();
      if (epoch === undefined) return NOT_YET_MS;
      // what was read before a loss proves nothing, and its bucket is due now: a long list would end in hours
      for (const [id, sweep] of sweeps) if (sweep.epoch !== epoch) breakOff(id, sweep.abort);
      const now = await clock();
      if (Math.abs(now - enlisted) >= Math.min(ENLIST_MS, deps.everyMs)) {
        await ledger.enlist(await deps.all());
        enlisted = now;
      }
      const limit = AT_ONCE - sweeps.size;
      if (limit <= 0 || signal.aborted) return undefined;
      for (const id of await ledger.claim({ now, until: now + CLAIM_MS, limit })) if (!sweeps.has(id)) begin(id, epoch, signal);
      return undefined;
    },
  });

  const renewing = startLoop({
    name: 'sweep-claims',
    every: RENEW_MS,
    log,
    turn: async () => {
      const until = (await clock()) + CLAIM_MS;
      // read after the clock: whatever ends from now on says later when it is due
      await ledger.renew([...claimed], until);
    },
  });

  return {
    nudge: loop.nudge,
    stop: async () => {
      await loop.stop();
      await Promise.all([...sweeps.values()].map(({ running }) => running));
      await renewing.stop();
    },
  };
}
