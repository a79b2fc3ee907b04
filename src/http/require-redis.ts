// What becomes of a request while Redis is away: it is refused at once, and nothing of it is done later.
import { createMiddleware } from 'hono/factory';
import { isRedisOutage } from '../queues/redis-outage.ts';
import { Failure } from '../schema/failures.ts';
import { problem } from './problem.ts';

/** Seconds after which a refused request may be sent again: as long as there may be between two tries to reach Redis. */
const AGAIN_S = 2;

/** Refuses requests while Redis does not answer, before anything of them was done. `ready` never rejects. */
export function requireRedis(ready: () => Promise<boolean>) {
  return createMiddleware(async (c, next) => {
    if (await ready()) return await next();
    // not thrown: a line in the log for each would bury why
    return problem(c, new Failure('redis_unavailable', 'Nothing of the request was done. Please send it again.', { retryAfter: AGAIN_S }));
  });
}

/** What an error is for who sent the request. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (!isRedisOutage(error)) return new Failure('internal', '', { cause: error });
  const words = 'It went away while the request was under way, of which a part may be done. Please look, or send it again.';
  return new Failure('redis_unavailable', words, { cause: error, retryAfter: AGAIN_S });
}
