import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { ApiError } from './api-error.ts';
import type { RateLimit } from './rate-limit.ts';

const acceptedTypes = /application\/vnd\.heroku\+json\s*;\s*version=3(?:\.[\w-]+)?(?![\w.])/i;
// The same limit as the heroku CLI's own list of request ids, which grows with every call (heroku.md 2.1).
const longestRequestId = 8_000;

/** Refuses what a browser page of another site could send: a Host that is not loopback (DNS rebinding) and a foreign Origin (cross-site request). */
export function loopbackOnly(): MiddlewareHandler {
  return async (c, next) => {
    const host = c.req.header('host') ?? '';
    if (!isLoopback(`http://${host}`)) {
      throw new ApiError(403, 'forbidden', `Host is ${JSON.stringify(host)}; the local platform answers 127.0.0.1 and localhost only.`);
    }
    const origin = c.req.header('origin');
    if (origin !== undefined && !isLoopback(origin)) {
      throw new ApiError(403, 'forbidden', `Origin is ${JSON.stringify(origin)}; the local platform does not answer pages of other sites.`);
    }
    await next();
  };
}

/** Puts Request-Id on every answer: a fresh uuid after those that the caller sent. */
export function requestIds(id: () => string): MiddlewareHandler {
  return async (c, next) => {
    const sent = c.req.header('request-id');
    c.header('Request-Id', sent === undefined || sent.length > longestRequestId ? id() : `${sent},${id()}`);
    await next();
  };
}

/** Who calls: the local user, or the provider of an add-on. */
export type Principal = { kind: 'user' } | { kind: 'addon'; addonId: string };

/** What the guards leave for the routes behind them. */
export interface ApiEnv {
  Variables: { principal: Principal };
}

/**
 * 401 without a token, as `Bearer <token>` or as the password of Basic (any user): the user's own, compared in constant time, or an add-on's. 403 when `may` refuses what an add-on's
 * provider calls.
 */
export function authenticated(deps: {
  token: string;
  addonOf: (token: string) => string | undefined;
  may: (addonId: string, method: string, path: string) => boolean;
}): MiddlewareHandler<ApiEnv> {
  const expected = digest(deps.token);
  return async (c, next) => {
    const given = givenToken(c.req.header('authorization') ?? '');
    const isUser = given !== undefined && timingSafeEqual(digest(given), expected);
    const addonId = given === undefined || isUser ? undefined : deps.addonOf(given);
    if (!isUser && addonId === undefined) throw new ApiError(401, 'unauthorized', 'Invalid credentials provided.');
    if (addonId !== undefined && !deps.may(addonId, c.req.method, c.req.path))
      throw new ApiError(403, 'forbidden', `An add-on's token may not ${c.req.method} ${c.req.path}.`);
    c.set('principal', addonId === undefined ? { kind: 'user' } : { kind: 'addon', addonId });
    await next();
  };
}

/** 406 unless the caller accepts version 3 of the API (`application/vnd.heroku+json; version=3` and its variants such as `version=3.sdk`). */
export function versionThree(): MiddlewareHandler {
  return async (c, next) => {
    const accept = c.req.header('accept') ?? '';
    if (!acceptedTypes.test(accept)) {
      const message = `Accept is ${JSON.stringify(accept)}; expected application/vnd.heroku+json; version=3`;
      throw new ApiError(406, 'not_acceptable', message);
    }
    await next();
  };
}

/** Counts the call and says how many are left in RateLimit-Remaining; 429 when none is. `/account/rate-limits` is free, as on Heroku. */
export function rateLimited(limit: RateLimit): MiddlewareHandler {
  return async (c, next) => {
    const allowed = c.req.path === '/account/rate-limits' || limit.take();
    c.header('RateLimit-Remaining', String(limit.remaining()));
    if (!allowed) {
      throw new ApiError(
        429,
        'rate_limit',
        'Your account reached the API rate limit. Please wait a few minutes before making new requests.',
      );
    }
    await next();
  };
}

function givenToken(authorization: string): string | undefined {
  const [, scheme = '', value = ''] = /^(\w+) +(.+)$/.exec(authorization) ?? [];
  if (scheme.toLowerCase() === 'bearer') return value;
  if (scheme.toLowerCase() !== 'basic') return undefined;
  const pair = Buffer.from(value, 'base64').toString('utf8');
  return pair.includes(':') ? pair.slice(pair.indexOf(':') + 1) : undefined;
}

// timingSafeEqual wants equal lengths; digests have them and hide the token's.
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Whether a URL's host is this machine by a loopback name. */
export function isLoopback(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { hostname } = new URL(url);
  // browsers take every name below localhost for this machine, and in a network of containers this one is given to the platform
  return ['127.0.0.1', 'localhost', 'dynos.localhost', '[::1]'].includes(hostname);
}
