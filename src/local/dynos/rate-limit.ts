/** Heroku's token bucket: full at first, one token a call, refilled evenly. */
export interface RateLimit {
  /** Takes one token; false when none is left. */
  take(): boolean;
  /** Whole tokens left. */
  remaining(): number;
}

/** A bucket of `perHour` calls that refills by a sixtieth of it every minute (Heroku: 4,500 and 75; heroku.md 2.1). */
export function createRateLimit(perHour: number, now: () => number): RateLimit {
  let tokens = perHour;
  let at = now();
  const refill = (): void => {
    const time = now();
    tokens = Math.min(perHour, tokens + (Math.max(0, time - at) * perHour) / 3_600_000);
    at = time;
  };
  return {
    take() {
      refill();
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
    remaining() {
      refill();
      return Math.floor(tokens);
    },
  };
}
