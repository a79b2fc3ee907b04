import type { DynoPlatform } from '../clients/ports.ts';
import type { Budget } from '../queues/budget.ts';
import type { RateLimit } from '../queues/rate-limit.ts';
import { Failure } from '../schema/failures.ts';

/**
 * The same platform for those who read logs: each read is a call of the account by which everybody's tasks are launched, so it is charged to its
 * budget, and an app has so many a minute (undefined: any number). Throws Failure rate_limited beyond that.
 */
export function limitedLogs(
  platform: Pick<DynoPlatform, 'log' | 'follow'>,
  deps: {
    readonly rate: Pick<RateLimit, 'take'>;
    readonly budget: Pick<Budget, 'charge'>;
    readonly account: string;
    readonly perMinute: number | undefined;
  },
): Pick<DynoPlatform, 'log' | 'follow'> {
  const enter = async (app: string): Promise<void> => {
    if (deps.perMinute !== undefined) {
      const seconds = Math.ceil((await deps.rate.take('log', app, deps.perMinute)) / 1000);
      if (seconds > 0)
        throw new Failure('rate_limited', `Found too many reads of logs of ${app}; the next one is taken in ${seconds} s.`, {
          retryAfter: seconds,
        });
    }
    await deps.budget.charge(deps.account);
  };
  return {
    log: async (app, ...more) => {
      await enter(app);
      return await platform.log(app, ...more);
    },
    follow: async function* (app, ...more) {
      await enter(app);
      yield* platform.follow(app, ...more);
    },
  };
}
