/** Those who wait for a message, queue by queue, first come first served. */
export type Waiters = {
  /**
   * Tries `attempt` at once and then whenever the queue is woken or a hidden message becomes visible, until it returns
   * something, `waitMs` are over or `signal` aborts (then undefined).
   */
  until<T>(queue: number, attempt: () => T | undefined, waitMs: number, signal: AbortSignal): Promise<T | undefined>;
  wake(queue: number): void;
  /** Ends every wait at a queue with an error. */
  fail(queue: number, error: unknown): void;
  /** Ends every wait, now and from now on. */
  close(): void;
};

type Waiter = { attempt: () => boolean; end: () => void; fail: (error: unknown) => void };
type Line = { waiters: Set<Waiter>; timer: NodeJS.Timeout | undefined };

/** Makes the waiting room. `nextVisible` tells when (ms since 1970) the next message of a queue can be had, also when that is over: nobody may have looked since. */
export function createWaiters(deps: { now: () => number; nextVisible: (queue: number) => number | undefined }): Waiters {
  const { now, nextVisible } = deps;
  const lines = new Map<number, Line>();
  let closed = false;

  function serve(queue: number): void {
    const line = lines.get(queue);
    if (!line) return;
    for (const waiter of [...line.waiters]) {
      try {
        // The first who finds nothing tells that nothing is left for those behind.
        if (!waiter.attempt()) break;
      } catch (error) {
        waiter.fail(error);
      }
    }
    arm(queue, line);
  }

  function arm(queue: number, line: Line): void {
    clearTimeout(line.timer);
    line.timer = undefined;
    if (line.waiters.size === 0) {
      lines.delete(queue);
      return;
    }
    const next = nextVisible(queue);
    // One millisecond late rather than early: at `next` itself the message is visible.
    if (next !== undefined) line.timer = setTimeout(() => serve(queue), Math.max(1, next - now() + 1));
  }

  return {
    until<T>(queue: number, attempt: () => T | undefined, waitMs: number, signal: AbortSignal): Promise<T | undefined> {
      return new Promise((resolve, reject) => {
        if (signal.aborted) {
          resolve(undefined);
          return;
        }
        const line = lines.get(queue) ?? { waiters: new Set<Waiter>(), timer: undefined };
        // Whoever came earlier is served earlier: with others in line there is nothing for a newcomer.
        const first = line.waiters.size === 0 || closed ? attempt() : undefined;
        if (first !== undefined || closed) {
          resolve(first);
          return;
        }
        const leave = (): void => {
          line.waiters.delete(waiter);
          clearTimeout(deadline);
          signal.removeEventListener('abort', waiter.end);
          if (line.waiters.size === 0) arm(queue, line);
        };
        const waiter: Waiter = {
          attempt() {
            const value = attempt();
            if (value === undefined) return false;
            leave();
            resolve(value);
            return true;
          },
          end() {
            leave();
            resolve(undefined);
          },
          fail(error) {
            leave();
            reject(error);
          },
        };
        const deadline = setTimeout(waiter.end, waitMs);
        signal.addEventListener('abort', waiter.end, { once: true });
        line.waiters.add(waiter);
        lines.set(queue, line);
        arm(queue, line);
      });
    },
    wake: serve,
    fail(queue, error) {
      for (const waiter of [...(lines.get(queue)?.waiters ?? [])]) waiter.fail(error);
    },
    close() {
      closed = true;
      for (const line of lines.values()) {
        clearTimeout(line.timer);
        for (const waiter of [...line.waiters]) waiter.end();
      }
    },
  };
}
