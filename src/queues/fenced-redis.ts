import { type ChainableCommander, Redis } from 'ioredis';
import { Failure } from '../schema/failures.ts';

/** Whether the connection broke; what was under way is not sent again. */
export function isOutage(error: unknown): boolean {
  return error instanceof Error && error.name === 'MaxRetriesPerRequestError';
}

/** What was to be added rests on a record that is not the same any more. */
class FenceLost extends Error {
  override readonly name = 'FenceLost';
}

/**
 * A connection whose MULTI also says that the trees stand, that refuses a MULTI whose WATCH was on another connection, and
 * that tells an aborted EXEC, or one in which a script failed, from a good one (BullMQ would trip over the null of the
 * first and overlook the second).
 */
export class FencedRedis extends Redis {
  /** Puts the last words into a MULTI and answers how many they are. */
  planned: (transaction: ChainableCommander) => number = () => 0;
  private watchedOn: unknown;

  /** Watches the keys: the next MULTI does nothing when one of them changes before it. */
  async fenceOff(keys: readonly string[]): Promise<void> {
    await this.watch(...keys);
    this.watchedOn = this.stream;
  }

  async fenceIn(): Promise<void> {
    this.planned = () => 0;
    const stands = this.watchedOn === this.stream && this.status === 'ready';
    this.watchedOn = undefined;
    // a connection that broke took its watches with it
    if (stands) await this.unwatch();
  }

  // biome-ignore lint/suspicious/noExplicitAny: ioredis overloads multi() by its argument; every overload passes through
  override multi(...args: any[]): any {
    const transaction: ChainableCommander = super.multi(...args);
    const exec = transaction.exec.bind(transaction);
    transaction.exec = async () => {
      if (this.status !== 'ready' || this.watchedOn !== this.stream) throw new FenceLost('the connection broke after the watch');
      const count = this.planned(transaction);
      const replies = await exec().finally(() => {
        // EXEC ends all watches, whatever comes of it
        this.watchedOn = undefined;
      });
      if (replies === null) throw new FenceLost('a run changed while its tree was being made');
      for (const [error] of replies) if (error !== null) throw error;
      for (const [, word] of replies.slice(replies.length - count)) {
        if (word !== 'planned') throw new Failure('internal', `A tree came out ${String(word)}, expected all of its jobs.`);
      }
      return replies;
    };
    return transaction;
  }
}
