/** Lets a number of tasks run at one time; the others wait their turn. */
export interface Gate {
  through<T>(work: () => Promise<T>): Promise<T>;
}

/** Makes a gate for `width` tasks. */
export function createGate(width: number): Gate {
  let inside = 0;
  const waiting: (() => void)[] = [];
  return {
    async through(work) {
      // A leaving task hands its place to the first who waits, so `inside` does not change then.
      if (inside < width) inside += 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next === undefined) inside -= 1;
        else next();
      }
    },
  };
}
