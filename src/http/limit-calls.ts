// How often anybody may call. A limit keeps one caller from taking what all share; it is no guard: when Redis does not answer at once, calls pass.
import { isIPv6 } from 'node:net';
import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import { within } from '../clients/deadline.ts';
import type { RateLimit } from '../queues/rate-limit.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import type { AddressOf } from './address.ts';
import type { PrincipalEnv } from './principal.ts';

/** Milliseconds that a call waits for the word of Redis. */
const ASK_MS = 150;
/** Answers that refuse a caller, and not what it asks for. */
const REFUSED: readonly number[] = [401, 403];

/** Calls a minute; as many may come at once. */
export interface CallLimits {
  readonly perResource: number;
  readonly perAddress: number;
  /** Of one address, that were refused because of who calls. */
  readonly refused: number;
}

export interface LimitDeps {
  readonly rate: RateLimit;
  readonly limits: CallLimits;
  readonly addressOf: AddressOf;
  readonly log: Log;
}

/** The limits of one process, as middleware. All throw Failure rate_limited. */
export function createLimits(deps: LimitDeps) {
  const { rate, limits } = deps;
  const ask = createAsk(deps.log);
  const check = async (who: string, call: () => Promise<number>): Promise<void> => {
    const wait = await ask(call);
    if (wait <= 0) return;
    const seconds = Math.ceil(wait / 1000);
    throw new Failure('rate_limited', `Found too many of ${who}; the next one is taken in ${seconds} s.`, { retryAfter: seconds });
  };

  /** Only refused calls of an address count: for the Partner API, which Heroku calls from few addresses for all customers. `group`: refusals elsewhere close nothing here. */
  const refused = (group: 'web' | 'partner') =>
    createMiddleware(async (c: Context, next) => {
      const kind = `refused-${group}`;
      const who = networkOf(deps.addressOf(c));
      await check(who, async () => await rate.look(kind, who, limits.refused));
      await next();
      if (REFUSED.includes(c.res.status)) await ask(async () => await rate.take(kind, who, limits.refused));
    });
  const refusedOfWeb = refused('web');

  return {
    refused,

    /** Every call of an address counts, and refused ones once more under a limit of their own. */
    address: createMiddleware(async (c, next) => {
      const who = networkOf(deps.addressOf(c));
      await check(who, async () => await rate.take('address', who, limits.perAddress));
      return await refusedOfWeb(c, next);
    }),

    /** Every call on a resource counts, whoever makes it; stands behind requirePrincipal. */
    resource: createMiddleware<PrincipalEnv>(async (c, next) => {
      const { resource } = c.var.principal;
      await check(resource, async () => await rate.take('resource', resource, limits.perResource));
      return await next();
    }),
  };
}

/** Asks Redis, and takes no answer in time for a yes. As long as it owes one that nobody waits for any more it is not asked: questions would pile up there. */
function createAsk(log: Log): (call: () => Promise<number>) => Promise<number> {
  let owed = 0;
  return async (call) => {
    if (owed > 0) return 0;
    const answer = call();
    try {
      return await within({}, ASK_MS, async () => await answer);
    } catch (error) {
      log.debug({ error: messageOf(error) }, 'calls are not counted');
      owed += 1;
      const settled = () => {
        owed -= 1;
      };
      answer.then(settled, settled);
      return 0;
    }
  };
}

/** Who has one address of IPv6 has the other 2^64 of its network, too. */
function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (v4 !== undefined) return v4;
  const [head = '', tail] = address.split('::');
  const groups = head.split(':').filter((group) => group !== '');
  const behind = tail?.split(':').filter((group) => group !== '') ?? [];
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - groups.length - behind.length }, () => '0');
  const all = [...groups, ...zeros, ...behind].map((group) => group.replace(/^0+(?=.)/, '').toLowerCase());
  return `${all.slice(0, 4).join(':')}::/64`;
}
