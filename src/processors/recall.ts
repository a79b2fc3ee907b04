// What decides differently after a loss of Redis; `startEpoch` has it.

export interface Recall {
  /**
   * Resolves with the epoch when Redis is known to be whole, or made whole, since its connection broke last; `anew`: when it is found so now.
   * Throws Failure redis_unavailable while that is not so, at once while what was lost comes back, and what the archive throws.
   */
  settled(anew?: boolean): Promise<number>;
  /** The epoch, for what was saved (ms) before it began: it may have been decided in an earlier one. */
  epochFor(saved: number | undefined): number | undefined;
  /**
   * Names the time for which Redis has been whole, on one unbroken connection; undefined while that is not so. A launch whose intent was
   * recorded in another one is not sent: the Redis that has it may be one that forgot that it was sent before.
   */
  whole(): number | undefined;
  /** The epoch; undefined while Redis is not known to be whole. */
  epoch(): number | undefined;
  /** Which start of Redis that is; undefined where it has no one name for it (a cluster), and while it is not known to be whole. */
  server(): string | undefined;
  /** Whether a run of the resource that is not there may still be on its way back: its bucket was not compared to the end since the loss. */
  recovering(resource: string): Promise<boolean>;
  /** Puts a run back that the archive has as ended; answers whether it has it. */
  restore(runId: string): Promise<boolean>;
}
