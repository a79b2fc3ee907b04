// The end of an engine: quiet, drained, its last word, closed; each in what is left of the time.
import { waitAtMost } from './wait-at-most.ts';

/** Milliseconds that a stop gives to the archive; what is left over the next process archives. */
const ARCHIVE_LAST_MS = 2_000;
/** Milliseconds of a stop's deadline that are kept for its last words, a quarter of it at most. */
const LAST_WORDS_MS = 2_500;
/** Milliseconds that each part has at least, also when the time is up. */
const LEAST_MS = 100;

/** What ends, in this order. */
export interface Ending {
  /**
   * Nothing new begins from here on, of any kind. A worker's close waits for its activations; they are short, and what is left is run again by another worker.
   * `ms`: how long they may take.
   */
  begun(ms: number): readonly Promise<unknown>[];
  /** The last word must be said in any case: without it the next worker takes what it finds for a loss. `ms`: how long the archive may take. */
  lastWord(ms: number): Promise<void>;
  /** What was let go of without waiting. */
  settled(): Promise<void>;
  closed(): Promise<void>;
  gone(): void;
}

/** Resolves within `deadline` milliseconds, or a little later. `monotonic`: milliseconds. Rejects as the parts do; none of them should. */
export async function stopInOrder(ending: Ending, { deadline, monotonic }: { deadline: number; monotonic: () => number }): Promise<void> {
  const until = monotonic() + deadline;
  const left = () => Math.max(LEAST_MS, Math.ceil(until - monotonic()));
  const toDrain = () => Math.max(LEAST_MS, left() - Math.min(LAST_WORDS_MS, deadline / 4));
  await waitAtMost(toDrain(), Promise.all(ending.begun(toDrain())));
  await waitAtMost(left(), ending.lastWord(Math.min(ARCHIVE_LAST_MS, left())));
  await waitAtMost(left(), ending.settled());
  await waitAtMost(left(), ending.closed());
  ending.gone();
}
