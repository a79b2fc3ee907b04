// Calls of the Platform API by heroku-client, with what it lacks: a deadline that leaves nothing behind, bearer tokens,
// parsed replies and our failures. The launch does not go this way: heroku-client may send it five times (heroku-launch.ts).
import type { IncomingMessage } from 'node:http';
import HerokuRequest from 'heroku-client/lib/request.js';
import type { Static, TSchema } from 'typebox';
import type { Validator } from 'typebox/compile';
import { Failure, messageOf } from '../schema/failures.ts';
import { within } from './deadline.ts';
import { readRefusal } from './heroku-replies.ts';
import type { CallOptions } from './ports.ts';

/** Milliseconds for a call with its retries, when the caller names no deadline. */
const CALL_DEADLINE_MS = 10_000;
/** heroku-client counts its retries up to this. */
const NO_MORE_RETRIES = 4;

/** How to reach the Platform API. */
export interface HerokuAccess {
  /** `https://api.heroku.com`, or the local platform. */
  readonly baseUrl: string;
  /** A bearer token, or where to get the one that may act on `app`. */
  readonly token: string | ((app: string) => string | Promise<string>);
  readonly userAgent: string;
  /** Gets another token when Heroku answered 401 to `used`; rejects when there is none. Without it a 401 is final. */
  readonly renew?: (app: string, used: string) => Promise<string>;
  /** Gets the calls that are left in the bucket of the account whose token was used, whenever an answer tells. */
  readonly onRateLimit?: (remaining: number, token: string) => void;
}

export interface HerokuCall {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Path below the base URL, its parts encoded. */
  readonly path: string;
  readonly body?: unknown;
}

/** The token that may act on `app`. */
export async function tokenFor(access: HerokuAccess, app: string): Promise<string> {
  return typeof access.token === 'string' ? access.token : access.token(app);
}

/** Tells `onRateLimit` what the headers of an answer to a call with `token` say. */
export function tellRateLimit(access: HerokuAccess, headers: IncomingMessage['headers'], token: string): void {
  const remaining = Number(headers['ratelimit-remaining']);
  if (Number.isInteger(remaining)) access.onRateLimit?.(remaining, token);
}

/**
 * Makes one call and parses its reply; pages of a list (206, Next-Range) are put together by heroku-client, and a lost connection
 * is tried again by it (after 1, 2, 4, 8 s), all within the deadline (10 s without one). Throws Failure `not_found` (404), `heroku_refused` (other
 * 4xx), `heroku_unavailable` (429, 5xx, no or an unreadable answer), or the caller's own abort reason. For repeatable calls only.
 */
export async function herokuCall<Schema extends TSchema>(
  access: HerokuAccess,
  app: string,
  call: HerokuCall,
  reply: Validator<Record<never, never>, Schema>,
  options: CallOptions,
): Promise<Static<Schema>> {
  const what = `${call.method} ${call.path}`;
  let body: unknown;
  try {
    body = await within(options, CALL_DEADLINE_MS, (signal) => send(access, app, call, signal));
  } catch (error) {
    options.signal?.throwIfAborted();
    throw herokuFailure(what, error);
  }
  if (reply.Check(body)) return body;
  const [fault] = reply.Errors(body);
  const where = fault === undefined ? '' : ` at ${fault.instancePath || '/'}: ${fault.message}`;
  throw new Failure('heroku_unavailable', `${what}: the answer is not what the Platform API promises${where}.`);
}

/** With the token at hand, and once more with another one when Heroku does not take it. */
async function send(access: HerokuAccess, app: string, call: HerokuCall, signal: AbortSignal): Promise<unknown> {
  const token = await tokenFor(access, app);
  signal.throwIfAborted();
  try {
    return await sendWith(access, token, call, signal);
  } catch (error) {
    if (access.renew === undefined || statusOf(error) !== 401) throw error;
    const renewed = await access.renew(app, token);
    signal.throwIfAborted();
    return await sendWith(access, renewed, call, signal);
  }
}

async function sendWith(access: HerokuAccess, token: string, call: HerokuCall, signal: AbortSignal): Promise<unknown> {
  const request = new HerokuRequest({
    ...call,
    host: access.baseUrl,
    headers: { Authorization: `Bearer ${token}` },
    userAgent: access.userAgent,
    middleware: (response, next) => {
      tellRateLimit(access, response.headers, token);
      // it joins the chunks as text: a character on the border of two would break
      response.setEncoding('utf8');
      // and it waits for an end that a broken answer never has
      response.once('error', (error) => request.reject(error));
      next();
    },
  });
  const giveUp = () => {
    request.retries = NO_MORE_RETRIES;
    // a retry that is waiting for its turn finds nothing to do
    request.request = async () => undefined;
    request.agent.destroy();
  };
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    return await request.request();
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

/**
 * Whether a call failed at its token, and not at what that may do: Heroku took none that there was (401), or none was to be had. Another one, or
 * the same after its rotation, may do.
 */
export function failedAtToken(error: unknown): boolean {
  if (!(error instanceof Failure) || error.code !== 'heroku_refused') return false;
  // where no token was to be had, no answer of the Platform API is behind the refusal
  const status = statusOf(error.cause);
  return status === undefined || status === 401;
}

function statusOf(error: unknown): number | undefined {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

function herokuFailure(what: string, error: unknown): Failure {
  if (error instanceof Failure) return error;
  const status = statusOf(error);
  if (status === undefined) return new Failure('heroku_unavailable', `${what}: ${messageOf(error)}.`, { cause: error });
  const refusal = readRefusal(error instanceof Error && 'body' in error ? error.body : undefined);
  const said = refusal === undefined ? `HTTP ${status}` : `HTTP ${status} ${refusal.id}: ${refusal.message}`;
  if (status === 404) return new Failure('not_found', `${what}: ${said}`, { cause: error });
  const refused = status >= 400 && status < 500 && status !== 429;
  return new Failure(refused ? 'heroku_refused' : 'heroku_unavailable', `${what}: ${said}`, { cause: error });
}
