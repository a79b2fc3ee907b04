// Finds out when Redis has lost data, puts back what the archive has of it, and has everything else decided again.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Hold } from '../queues/locks.ts';
import { mayPrecede, type StoreState } from '../queues/store-epoch.ts';
import type { Watch } from '../queues/watch.ts';
import type { LayoutEntries, Witness } from '../schema/archive-marks.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { type Loop, startLoop } from './loop.ts';
import type { Recall } from './recall.ts';
import { type RecoveryDeps, recover, restoreRun } from './recovery.ts';
import { sharedCall } from './shared-call.ts';
import { beatsOf, below, hasTurnedBack, highestOf, type Sight, serverOf, sightOf, startedAnew, vouchedFor } from './signs-of-loss.ts';
import { whileHeld } from './while-held.ts';

/** Milliseconds between two beats: a loss that takes less than that from Redis may not be noticed as one. */
const BEAT_MS = 250;
/** Milliseconds between two witnesses in the archive, for the case that all workers end with Redis. */
const WITNESS_MS = 30_000;
/**
 * Milliseconds, a fortnight, after a loss in which what is not there may still be on its way back, where no sweep of its bucket comes to an end of
 * it: as long as SQS keeps an event. Large buckets, and many of them, take hours.
 */
const RECOVERY_MS = 14 * 86_400_000;
/** Beats that a new epoch is ahead of all that was seen: other processes may have seen a few more. */
const AHEAD = 10_000;
/** Milliseconds that a process which was killed keeps the others from raising the epoch; one that works holds on to it. */
const ALONE_MS = 10_000;
/** Seconds after a start of Redis in which nobody counts on: a worker that has seen more of what was lost may come back up to two seconds later. */
const SETTLE_S = 5;
/** The same for a process that started after Redis did: those that were there before need five of them. */
const VOUCH_S = 2 * SETTLE_S;
/** Milliseconds that a process which ends waits for its turn to leave a last witness, and between two tries. */
const LAST_WITNESS_MS = 1_000;
const TRY_MS = 50;
/** Work that repairs what was lost: nobody must wait for its lock of before the loss. Two at a time do no harm. */
const LOCKS = ['sweep', 'archive', 'export'];

export interface EpochDeps extends RecoveryDeps {
  readonly watch: Watch;
  /** The epoch up to which everything of a resource that can come back has come back. */
  readonly recovered: (resource: string) => Promise<number>;
  /** Redis' time in milliseconds. */
  readonly clock: () => Promise<number>;
  readonly now: () => number;
  /** Milliseconds of a clock that nobody sets. */
  readonly monotonic: () => number;
  /** What was lost is back as far as the archive has it; the epoch begins when this has resolved. May be called again. */
  readonly onRecovered: () => Promise<void>;
}

/** Beats until stopped. */
export function startEpoch(deps: EpochDeps): Loop & { readonly recall: Recall } {
  let seen: Sight | undefined;
  let current: { epoch: number; since: number; server: string | undefined } | undefined;
  /** Monotonic milliseconds. */
  let witnessed = Number.NEGATIVE_INFINITY;
  /** The starts of Redis, by place, that were found whole last. */
  let known: readonly string[] | undefined;
  /** Breaks of the connection before the last look, when that found Redis, or made it, whole. */
  let wholeAfter = -1;
  /** Whether Redis, as it was looked at last, may lack something; a look that breaks off leaves it so. */
  let doubtful = true;
  /** How often Redis was found whole after it had not been known to be. */
  let times = 0;
  /** Since when (monotonic ms) this process has found a Redis that nobody vouched for. */
  let unvouched: number | undefined;
  /** Resolved when the look under way finds a loss and begins to put it right. Each look has its own: whoever waits for one lets go of it with that. */
  let begun = Promise.withResolvers<void>();
  /** This process counts no further: its last witness says where it left off. */
  let ended = false;

  /** A process that has just started knows nothing, and does not count before it does: what it finds is what others left. */
  const fresh = () => known === undefined;
  const read = async () => await (fresh() ? deps.epochs.peek() : deps.epochs.beat());

  /**
   * `before`: what this process found before it was alone, when there had been so many `breaks`. undefined: another process is at it, or may be
   * about to, or it is to be looked at again.
   */
  const check = async (before: StoreState, turnedBack: boolean, breaks: number): Promise<StoreState | undefined> => {
    const hold = await deps.watch.hold('epoch', ALONE_MS);
    if (hold === undefined) return undefined;
    try {
      const witness = await deps.marks.witness();
      // asked after the witness was read: what was seen before may be older than a witness of another process, or than the
      // recovery that it has just made
      const found = await read();
      // it may have been sent again to another start of Redis, and is no witness of that
      if (deps.epochs.breaks() !== breaks) return undefined;
      const behind = turnedBack && found.epoch === before.epoch;
      if (witness === undefined) {
        if (found.epoch === undefined) await deps.epochs.raise(1, beatsOf(found), found.since);
        await learn(found);
        await note(found.epoch ?? 1, found.since, beatsOf(found), serverOf(found));
      } else if (found.epoch === undefined || behind || below(beatsOf(found), beatsOf(witness)) || found.epoch < witness.epoch) {
        await begin(found, witness, hold);
      } else if (fresh() && !vouchedFor(witness, found)) {
        // whoever was there before the start of Redis may still come back and tell
        if (mayBeVouchedFor(found)) return undefined;
        await begin(found, witness, hold);
      } else {
        await learn(found);
        await note(found.epoch, found.since, beatsOf(found), serverOf(found));
      }
      witnessed = deps.monotonic();
      return await deps.epochs.beat();
    } finally {
      await hold.release();
    }
  };

  /** A node of a cluster that took over from another one has been up for long: there the time counts since it was found. */
  const mayBeVouchedFor = (found: StoreState): boolean => {
    unvouched ??= deps.monotonic();
    const ofCluster = found.places.length > 1 && deps.monotonic() - unvouched < 1_000 * VOUCH_S;
    return ofCluster || found.places.some(({ start, seconds }) => start !== '' && seconds < VOUCH_S);
  };

  /** What was lost of the layout is back when an epoch has begun: who read it before, or while it started, would place files elsewhere than they were. */
  const learn = async ({ epoch }: StoreState): Promise<void> => {
    if (current === undefined || epoch !== current.epoch) await deps.layout.relearn();
  };

  const note = async (
    epoch: number,
    since: number,
    beats: readonly number[],
    server: string | undefined,
    recovering = false,
    layout: LayoutEntries = deps.layout.entries(),
  ): Promise<void> => {
    const [beat = 0, ...nodes] = beats;
    await deps.marks.setWitness({
      epoch,
      since,
      beat,
      ...(nodes.length > 0 ? { nodes } : {}),
      ...(server === undefined ? {} : { server }),
      ...(recovering ? { recovering } : {}),
      ...(layout.length > 0 ? { layout } : {}),
    });
  };

  /**
   * Puts back what was lost and begins the next epoch. The witness says first that this is under way, so that whoever has to go on
   * with it begins the same epoch, and last that it is done, before anything may be launched in it.
   */
  const begin = async (found: StoreState, witness: Witness, hold: Hold): Promise<void> => {
    begun.resolve();
    // also where nothing told of it before: until all is back nobody may go on
    wholeAfter = -1;
    doubtful = true;
    const goesOn = witness.recovering === true && (found.epoch ?? 0) < witness.epoch;
    const epoch = goesOn ? witness.epoch : Math.max(witness.epoch, found.epoch ?? 0) + 1;
    const server = serverOf(found);
    const expected = highestOf(beatsOf(witness), seen?.beats ?? []);
    const beats = highestOf(expected, beatsOf(found)).map((beat) => beat + AHEAD);
    const since = await deps.clock();
    deps.log.error({ epoch, found: beatsOf(found), expected, goesOn }, 'Redis has lost data');
    if (!goesOn) await note(epoch, since, beatsOf(witness), server, true, witness.layout ?? []);
    deps.failpoint?.('recovery.begun');
    await deps.epochs.announce(epoch, since);
    await whileHeld({ hold, name: 'epoch-lock', ms: ALONE_MS, log: deps.log }, async () => {
      await recover(deps, epoch, witness.layout);
      // before the epoch begins: nobody comes back to that afterwards, should this process end
      await deps.epochs.free(LOCKS);
      await deps.onRecovered();
    });
    if (!(await hold.renew())) throw new Failure('redis_unavailable', 'Another process puts back what Redis has lost.');
    // that one may lack what was put back, and ends of runs that the archive did not have when it was asked
    const anew = new Failure('redis_unavailable', 'It was started anew, or emptied, while what it lost was put back.');
    if (serverOf(await deps.epochs.peek()) !== server) throw anew;
    await note(epoch, since, beats, server);
    deps.failpoint?.('recovery.kept');
    // nor did it become another one since, which nobody would notice once the epoch stands there
    if (!(await deps.epochs.raise(epoch, beats, since, found))) throw anew;
    deps.failpoint?.('recovery.raised');
  };

  /** Whether Redis has just been started anew: nobody counts past what others saw before they had the time to tell. */
  const isSettling = (found: StoreState) => startedAnew(found, known).some(({ seconds }) => seconds < SETTLE_S);

  const look = async (): Promise<void> => {
    if (ended) return;
    const breaks = deps.epochs.breaks();
    begun = Promise.withResolvers();
    const peeked = breaks === wholeAfter || fresh() ? undefined : await deps.epochs.peek();
    const counts = !fresh() && (peeked === undefined || !isSettling(peeked));
    const found = peeked !== undefined && !counts ? peeked : await read();
    const turnedBack = hasTurnedBack(found, seen, counts);
    // who waits sees what others count meanwhile, and can tell when that is lost
    if (!turnedBack) seen = sightOf(found, seen);
    const restarted = startedAnew(found, known).length > 0;
    // what only a witness told of, this process does not see in Redis; whoever began another epoch has put it back
    const stays = doubtful && found.epoch === current?.epoch;
    // a process that found Redis whole never yet knows nothing: for it, all may be lost
    doubtful = stays || found.epoch === undefined || turnedBack || restarted || fresh();
    // not every loss breaks a connection: FLUSHALL does not, nor a failover behind a proxy. Until all is back nobody may go on, here neither
    if (doubtful) wholeAfter = -1;
    // what breaks off is sent again: even one that was sure of Redis may have counted at another start of it
    if (isSettling(found) && !turnedBack && found.epoch !== undefined) return;
    let state: StoreState | undefined = found;
    if (doubtful || deps.monotonic() - witnessed >= WITNESS_MS) {
      try {
        state = await check(found, turnedBack, breaks);
      } catch (error) {
        // a witness that cannot be written now is written later; what is lost, and be it that the witness told of it, comes back first
        if (doubtful) throw error;
        deps.log.warn({ error: messageOf(error) }, 'no witness of the epoch written');
      }
      if (state === undefined && doubtful) return;
      state ??= found;
    }
    // after a break the connection sends again what was not answered: the count may be that of another start of Redis
    if (state.epoch === undefined || deps.epochs.breaks() !== breaks) return;
    const another = current !== undefined && state.epoch !== current.epoch;
    await learn(state);
    seen = sightOf(state, seen);
    current = { epoch: state.epoch, since: state.since, server: serverOf(state) };
    known = state.places.map(({ start }) => start);
    // a loss may come and be put right between two looks
    if (another || !unbroken()) times += 1;
    wholeAfter = breaks;
    doubtful = false;
  };
  const lookOnce = sharedCall(look);
  const unbroken = () => wholeAfter === deps.epochs.breaks();
  // what is written after the last witness may be lost, and nobody would notice
  const whole = () => !ended && unbroken();

  const loop = startLoop({ name: 'epoch', every: BEAT_MS, log: deps.log, turn: lookOnce });

  /** Tells whoever starts next where this process left off, so that it need not take a new start of Redis for a loss. */
  const leave = async (): Promise<void> => {
    const state = current;
    if (state === undefined || !unbroken()) return;
    for (const until = deps.monotonic() + LAST_WITNESS_MS; deps.monotonic() < until; await sleep(TRY_MS)) {
      const hold = await deps.watch.hold('epoch', ALONE_MS);
      if (hold === undefined) continue;
      try {
        const left = await deps.epochs.beat();
        // it may have been sent again to another start of Redis, and would vouch for that
        if (!unbroken() || serverOf(left) !== state.server) return;
        // another process knows of a loss that this one does not
        if (left.epoch !== state.epoch || (await deps.marks.witness())?.recovering === true) return;
        await note(state.epoch, left.since, beatsOf(left), state.server);
        return;
      } finally {
        await hold.release();
      }
    }
  };

  const end = sharedCall(async () => {
    if (ended) return;
    await loop.stop();
    ended = true;
    // one that others asked for may be under way, and count
    await lookOnce().catch(() => {});
    await leave().catch((error: unknown) => deps.log.info({ error: messageOf(error) }, 'no last witness of the epoch written'));
  });

  return {
    nudge: loop.nudge,
    stop: end,
    recall: {
      settled: async (anew = false) => {
        // not until all is back, which may take very long: what an event waits for keeps its consumer from polling, as if that had stalled
        if (!whole() || anew) await Promise.race([lookOnce(), begun.promise]);
        if (!whole() || current === undefined)
          throw new Failure('redis_unavailable', ended ? 'This worker ends.' : 'It has lost data, which comes back first.');
        return current.epoch;
      },
      whole: () => (whole() && current !== undefined ? times : undefined),
      epoch: () => (whole() ? current?.epoch : undefined),
      server: () => (whole() && known?.length === 1 ? current?.server : undefined),
      epochFor: (saved) => (current !== undefined && saved !== undefined && mayPrecede(saved, current.since) ? current.epoch : undefined),
      recovering: async (resource) => {
        if (current === undefined || current.since === 0 || deps.now() - current.since >= RECOVERY_MS) return false;
        return (await deps.recovered(resource)) < current.epoch;
      },
      restore: async (runId) => await restoreRun(deps, runId),
    },
  };
}
