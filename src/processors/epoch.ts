// Finds out when Redis has lost data, puts back what the archive has of it, and has everything else decided again.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Hold } from '../queues/locks.ts';
import type { StoreState } from '../queues/store-epoch.ts';
import type { Watch } from '../queues/watch.ts';
import type { Witness } from '../schema/archive-marks.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { type Loop, startLoop } from './loop.ts';
import { type RecoveryDeps, recover, restoreRun } from './recovery.ts';
import { sharedCall } from './shared-call.ts';

/** Milliseconds between two beats: a loss that takes less than that from Redis may not be noticed as one. */
const BEAT_MS = 250;
/** Milliseconds between two witnesses in the archive, for the case that all workers end with Redis. */
const WITNESS_MS = 30_000;
/** Milliseconds after a loss in which what is not there may still be on its way back. */
const RECOVERY_MS = 3_600_000;
/** Beats that a new epoch is ahead of all that was seen: other processes may have seen a few more. */
const AHEAD = 10_000;
/** Milliseconds that a process which was killed keeps the others from raising the epoch; one that works holds on to it. */
const ALONE_MS = 10_000;
/**
 * Seconds after a start of Redis in which nobody counts on: one worker may have seen nothing of what was lost and another one, which has, comes
 * back up to two seconds later.
 */
const SETTLE_S = 5;
/** The same for a process that started after Redis did: those that were there before need five of them. */
const VOUCH_S = 2 * SETTLE_S;
/** Milliseconds that a process which ends waits for its turn to leave a last witness, and between two tries. */
const LAST_WITNESS_MS = 1_000;
const TRY_MS = 50;
/** Work that repairs what was lost: nobody must wait for its lock of before the loss. Two at a time do no harm. */
const LOCKS = ['sweep', 'sweep-buckets', 'archive'];

/** Stands for the start of a server that has no name for it. */
const NAMELESS = '';

/** A start of Redis, and for how many seconds it has been up. */
interface Server {
  readonly start: string;
  readonly seconds: number;
}

/** What decides differently after a loss of Redis. */
export interface Recall {
  /**
   * Resolves with the epoch when Redis is known to be whole, or made whole, since its connection broke last; `anew`: when it is found so now.
   * Throws Failure redis_unavailable while that is not so, and what the archive throws.
   */
  settled(anew?: boolean): Promise<number>;
  /** The epoch, for what was saved (ms) before it began: it may have been decided in an earlier one. */
  epochFor(saved: number | undefined): number | undefined;
  /**
   * Names the unbroken connection on which Redis was found whole; undefined while that is not so. A launch whose intent was recorded
   * on another one is not sent: the Redis that has it may be one that forgot that it was sent before.
   */
  whole(): number | undefined;
  /** Which start of Redis that is; undefined where it has no name for it, and while it is not known to be whole. */
  server(): string | undefined;
  /** Whether what is not there may still be on its way back. */
  recovering(): boolean;
  /** Puts a run back that the archive has as ended; answers whether it has it. */
  restore(runId: string): Promise<boolean>;
}

export interface EpochDeps extends RecoveryDeps {
  readonly watch: Watch;
  /** Redis' time in milliseconds. */
  readonly clock: () => Promise<number>;
  readonly now: () => number;
  /** Redis has lost data; the resources are back. */
  readonly onRaised: () => Promise<void>;
}

/** Beats until stopped. */
export function startEpoch(deps: EpochDeps): Loop & { readonly recall: Recall } {
  let highest = 0;
  let current: { epoch: number; since: number; server: Server | undefined } | undefined;
  let witnessed = Number.NEGATIVE_INFINITY;
  /** The start of Redis that was found whole last. */
  let known: string | undefined;
  /** Breaks of the connection before the last look that found Redis, or made it, whole. */
  let wholeAfter = -1;

  /** A process that has just started knows nothing, and does not count before it does: what it finds is what others left. */
  const fresh = () => known === undefined;
  const read = async () => await (fresh() ? deps.epochs.peek() : deps.epochs.beat());

  /**
   * `seen`: what this process saw before it was alone. undefined: another process is at it, or may be about to.
   */
  const check = async (seen: StoreState, turnedBack: boolean, server: Server | undefined): Promise<StoreState | undefined> => {
    const hold = await deps.watch.hold('epoch', ALONE_MS);
    if (hold === undefined) return undefined;
    try {
      const witness = await deps.marks.witness();
      // asked after the witness was read: what was seen before may be older than a witness of another process, or than the
      // recovery that it has just made
      const found = await read();
      const behind = turnedBack && found.epoch === seen.epoch;
      if (witness === undefined) {
        await deps.epochs.raise(found.epoch ?? 1, found.beat, found.since);
        await note({ epoch: found.epoch ?? 1, beat: found.beat, since: found.since }, server);
      } else if (found.epoch === undefined || behind || found.beat < witness.beat || found.epoch < witness.epoch) {
        await begin(found, witness, hold, server);
      } else if (fresh() && !vouchedFor(witness, found, server)) {
        // whoever was there before the start of Redis may still come back and tell
        if (server !== undefined && server.seconds < VOUCH_S) return undefined;
        await begin(found, witness, hold, server);
      } else await note({ epoch: found.epoch, beat: found.beat, since: found.since }, server);
      witnessed = deps.now();
      return await deps.epochs.beat();
    } finally {
      await hold.release();
    }
  };

  const note = async (witness: Omit<Witness, 'format' | 'server'>, server: Server | undefined): Promise<void> => {
    await deps.marks.setWitness({ ...witness, ...(server === undefined ? {} : { server: server.start }) });
  };

  /**
   * Puts back what was lost and begins the next epoch. The witness says first that this is under way, so that whoever has to go on
   * with it begins the same epoch, and last that it is done, before anything may be launched in it.
   */
  const begin = async (found: StoreState, witness: Witness, hold: Hold, server: Server | undefined): Promise<void> => {
    const goesOn = witness.recovering === true && (found.epoch ?? 0) < witness.epoch;
    const epoch = goesOn ? witness.epoch : Math.max(witness.epoch, found.epoch ?? 0) + 1;
    const beat = Math.max(witness.beat, highest, found.beat) + AHEAD;
    const since = await deps.clock();
    deps.log.error({ epoch, found: found.beat, expected: Math.max(witness.beat, highest), goesOn }, 'Redis has lost data');
    if (!goesOn) await note({ epoch, beat: witness.beat, since, recovering: true }, server);
    const renewing = startLoop({ name: 'epoch-lock', every: ALONE_MS / 4, log: deps.log, turn: hold.renew });
    try {
      await recover(deps, epoch);
    } finally {
      await renewing.stop();
    }
    if (!(await hold.renew())) throw new Failure('redis_unavailable', 'Another process puts back what Redis has lost.');
    await note({ epoch, beat, since }, server);
    await deps.epochs.raise(epoch, beat, since);
    await deps.epochs.free(LOCKS);
    await deps.onRaised();
  };

  const look = async (): Promise<void> => {
    const breaks = deps.epochs.breaks();
    const server = breaks === wholeAfter ? current?.server : await deps.epochs.server();
    const restarted = server !== undefined && known !== undefined && server.start !== known;
    const settling = restarted && server.seconds < SETTLE_S;
    const found = settling ? await deps.epochs.peek() : await read();
    const turnedBack = (settling ? found.beat < highest : found.beat <= highest) || (restarted && foundLower(found, known, highest));
    if (settling && !turnedBack && found.epoch !== undefined) return;
    // a process that has seen no witness yet knows nothing: for it, all may be lost
    const doubtful = found.epoch === undefined || turnedBack || restarted || !Number.isFinite(witnessed);
    let state: StoreState | undefined = found;
    if (doubtful || deps.now() - witnessed >= WITNESS_MS) {
      try {
        state = await check(found, turnedBack, server);
      } catch (error) {
        // a witness that cannot be written now is written later; what is lost comes back first
        if (doubtful) throw error;
        deps.log.warn({ error: messageOf(error) }, 'no witness of the epoch written');
      }
      if (state === undefined && doubtful) return;
      state ??= found;
    }
    // after a break the connection sends again what was not answered: the count may be that of another start of Redis
    if (state.epoch === undefined || deps.epochs.breaks() !== breaks) return;
    highest = Math.max(highest, state.beat);
    current = { epoch: state.epoch, since: state.since, server };
    known = server?.start ?? known ?? NAMELESS;
    wholeAfter = breaks;
  };
  const lookOnce = sharedCall(look);
  const whole = () => wholeAfter === deps.epochs.breaks();

  const loop = startLoop({ name: 'epoch', every: BEAT_MS, log: deps.log, turn: lookOnce });

  /** Tells whoever starts next where this process left off, so that it need not take a new start of Redis for a loss. */
  const leave = async (): Promise<void> => {
    const state = current;
    if (state === undefined || !whole()) return;
    for (const until = deps.now() + LAST_WITNESS_MS; deps.now() < until; await sleep(TRY_MS)) {
      const hold = await deps.watch.hold('epoch', ALONE_MS);
      if (hold === undefined) continue;
      try {
        const { epoch, beat, since } = await deps.epochs.beat();
        // another process knows of a loss that this one does not
        if (epoch !== state.epoch || (await deps.marks.witness())?.recovering === true) return;
        await note({ epoch, beat, since }, state.server);
        return;
      } finally {
        await hold.release();
      }
    }
  };

  return {
    nudge: loop.nudge,
    stop: async () => {
      await loop.stop();
      await leave().catch((error: unknown) => deps.log.info({ error: messageOf(error) }, 'no last witness of the epoch written'));
    },
    recall: {
      settled: async (anew = false) => {
        if (!whole() || anew) await lookOnce();
        if (!whole() || current === undefined) throw new Failure('redis_unavailable', 'It has lost data, which comes back first.');
        return current.epoch;
      },
      whole: () => (whole() && current !== undefined ? wholeAfter : undefined),
      server: () => (whole() ? current?.server?.start : undefined),
      epochFor: (saved) => (current !== undefined && saved !== undefined && saved < current.since ? current.epoch : undefined),
      recovering: () => current !== undefined && current.since > 0 && deps.now() - current.since < RECOVERY_MS,
      restore: async (runId) => await restoreRun(deps, runId),
    },
  };
}

/** Whether it is known that Redis, as it is found, has all that it had: nobody started it since the witness, or nobody counted. */
function vouchedFor(witness: Witness, found: StoreState, server: Server | undefined): boolean {
  return server === undefined || witness.server === undefined || witness.server === server.start || witness.beat === found.beat;
}

/** Whether Redis was found with fewer beats than `seen` at a start after `known`, the last that this process knows: others may have counted past it. */
function foundLower({ starts }: StoreState, known: string | undefined, seen: number): boolean {
  return starts.slice(starts.findIndex(({ start }) => start === known) + 1).some(({ beat }) => beat < seen);
}
