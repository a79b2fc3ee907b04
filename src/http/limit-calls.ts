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

/** Every call of an address counts, and refused ones once more under a limit of their own. Throws Failure rate_limited. */
export function limitAddress(deps: LimitDeps) {
  const refused = limitRefused(deps, 'web');
  return createMiddleware(async (c, next) => {
    const who = networkOf(deps.addressOf(c));
    await check(deps, who, async () => await deps.rate.take('address', who, deps.limits.perAddress));
    return await refused(c, next);
  });
}

/**
 * Only refused calls of an address count: for the Partner API, which Heroku calls from few addresses for all customers. `group`: refusals elsewhere close nothing here.
 * Throws Failure rate_limited.
 */
export function limitRefused(deps: LimitDeps, group: 'web' | 'partner') {
  return createMiddleware(async (c: Context, next) => {
    const kind = `refused-${group}`;
    const who = networkOf(deps.addressOf(c));
    await check(deps, who, async () => await deps.rate.look(kind, who, deps.limits.refused));
    await next();
    if (REFUSED.includes(c.res.status)) await ask(deps, async () => await deps.rate.take(kind, who, deps.limits.refused));
  });
}

/** Every call on a resource counts, whoever makes it; stands behind requirePrincipal. Throws Failure rate_limited. */
export function limitResource(deps: LimitDeps) {
  return createMiddleware<PrincipalEnv>(async (c, next) => {
    const { resource } = c.var.principal;
    await check(deps, resource, async () => await deps.rate.take('resource', resource, deps.limits.perResource));
    return await next();
  });
}

async function check(deps: LimitDeps, who: string, call: () => Promise<number>): Promise<void> {
  const wait = await ask(deps, call);
  if (wait <= 0) return;
  const seconds = Math.ceil(wait / 1000);
  throw new Failure('rate_limited', `Found too many of ${who}; the next one is taken in ${seconds} s.`, { retryAfter: seconds });
}

async function ask(deps: LimitDeps, call: () => Promise<number>): Promise<number> {
  try {
    return await within({}, ASK_MS, call);
  } catch (error) {
    deps.log.debug({ error: messageOf(error) }, 'calls are not counted');
    return 0;
  }
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
