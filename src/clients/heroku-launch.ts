// POST /apps/:app/dynos: the one call that must be on the wire at most once, because it has no idempotency key.
// node:http with a connection of its own: nothing below sends it a second time, no connection that the server is just closing
// can be picked, and it is quicker than fetch (0.2 ms against 0.4 kept alive and 0.9 with `connection: close`, measured on loopback).
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import { messageOf } from '../schema/failures.ts';
import { within } from './deadline.ts';
import { type HerokuAccess, tellRateLimit, tokenFor } from './heroku-call.ts';
import { readDyno, readRefusal } from './heroku-replies.ts';
import type { DynoPlatform, LaunchOrder, LaunchOutcome } from './ports.ts';

/** Bytes of an answer that are read; a dyno has about 1,000. */
const MAX_ANSWER_BYTES = 262_144;
/** Seconds to wait after a refused token: somebody, or the token's refresh, has to change something first. */
const TOKEN_WAIT_S = 60;

/** Refusals that time heals. 401 is among them: the token's fault is not the task's, and its rotation or renewal ends it. */
const HEALING_STATUS = new Set([401, 409, 423, 429]);
/** Ids of other refusals that time heals: too many dynos at the moment. */
const HEALING_ID = new Set(['cannot_run_above_limit', 'rate_limit', 'quota_exceeded']);

/** Keeps TLS sessions for a quick resumption, but no connection. */
const httpAgent = new HttpAgent({ keepAlive: false });
const httpsAgent = new HttpsAgent({ keepAlive: false });

/** `DynoPlatform.launch`: sent once; the deadline covers token, connection, headers and body. Never throws. */
export function createLaunch(access: HerokuAccess & { readonly now: () => number }): DynoPlatform['launch'] {
  // read once: each URL that is parsed, and each that a request is made of, costs a launch several microseconds
  const base = new URL(access.baseUrl);
  const way: Way = { secure: base.protocol === 'https:', to: urlToHttpOptions(base), path: base.pathname.replace(/\/$/, '') };
  return async (app, order, options) => {
    const sent = { yes: false, token: '' };
    try {
      const { response, body } = await within(options, options.deadline, async (signal) => {
        const token = await tokenFor(access, app);
        signal.throwIfAborted();
        if (options.mayStill?.() === false) throw new Error('it came too late');
        sent.token = token;
        return post(access, way, token, app, order, signal, sent);
      });
      tellRateLimit(access, response.headers, sent.token);
      const outcome = readOutcome(response, body, access.now());
      if (response.statusCode !== 401 || access.renew === undefined || outcome.outcome !== 'refused') return outcome;
      // this POST is over; the task's next one finds the new token
      return await access.renew(app, sent.token).then(
        () => ({ ...outcome, retryAfter: 0 }),
        () => outcome,
      );
    } catch (error) {
      const cause = messageOf(error);
      return sent.yes ? { outcome: 'unknown', cause } : { outcome: 'unknown', cause: `not sent: ${cause}`, unsent: true };
    }
  };
}

/** How the Platform API is reached: its host, and what stands before all paths. */
interface Way {
  readonly secure: boolean;
  readonly to: ReturnType<typeof urlToHttpOptions>;
  readonly path: string;
}

interface Answer {
  readonly response: IncomingMessage;
  readonly body: string;
}

function post(
  access: HerokuAccess,
  { secure, to, path }: Way,
  token: string,
  app: string,
  order: LaunchOrder,
  signal: AbortSignal,
  sent: { yes: boolean },
): Promise<Answer> {
  const payload = JSON.stringify({
    command: order.command,
    attach: false,
    env: order.env,
    size: order.size,
    time_to_live: order.timeToLive,
  });
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const request = (secure ? httpsRequest : httpRequest)({
    ...to,
    path: `${path}/apps/${encodeURIComponent(app)}/dynos`,
    method: 'POST',
    agent: secure ? httpsAgent : httpAgent,
    headers: {
      accept: 'application/vnd.heroku+json; version=3',
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(payload),
      'user-agent': access.userAgent,
    },
  });
  // not as an option of the request, which watches its streams for it: that took a sixth of a launch
  signal.addEventListener('abort', () => request.destroy(signal.reason), { once: true });
  // before it is connected the operating system has no byte of the request
  request.once('socket', (socket) => {
    if (!socket.connecting) sent.yes = true;
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      sent.yes = true;
    });
  });
  request.once('error', reject);
  request.once('response', (response) => {
    const chunks: Buffer[] = [];
    let size = 0;
    response.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_ANSWER_BYTES)
        request.destroy(new Error(`HTTP ${response.statusCode}, the answer is longer than ${MAX_ANSWER_BYTES} bytes`));
      else chunks.push(chunk);
    });
    response.once('end', () => resolve({ response, body: Buffer.concat(chunks).toString('utf8') }));
    response.once('error', (error) => reject(new Error(`HTTP ${response.statusCode}, the answer broke off`, { cause: error })));
  });
  request.end(payload);
  return promise;
}

function readOutcome(response: IncomingMessage, body: string, now: number): LaunchOutcome {
  const status = response.statusCode ?? 0;
  const json = parseJson(body);
  if (status >= 200 && status < 300) {
    const dyno = readDyno(json);
    return dyno === undefined
      ? { outcome: 'unknown', cause: `HTTP ${status}, the answer is no dyno: ${excerpt(body)}` }
      : { outcome: 'accepted', dyno };
  }
  const refusal = status >= 400 && status < 500 ? readRefusal(json) : undefined;
  if (refusal === undefined) return { outcome: 'unknown', cause: `HTTP ${status}: ${excerpt(body)}` };
  const retryAfter = readRetryAfter(response.headers['retry-after'], now) ?? (status === 401 ? TOKEN_WAIT_S : undefined);
  return {
    outcome: 'refused',
    heal: HEALING_STATUS.has(status) || HEALING_ID.has(refusal.id),
    status,
    id: refusal.id,
    message: refusal.message,
    ...(retryAfter === undefined ? {} : { retryAfter }),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // what is no JSON is neither a dyno nor a refusal
  }
}

/** Seconds of a Retry-After header, which is a number of seconds or an HTTP date. */
function readRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - now) / 1_000;
  return Number.isFinite(seconds) ? Math.max(Math.ceil(seconds), 0) : undefined;
}

function excerpt(body: string): string {
  const line = body.replace(/\s+/g, ' ').trim();
  return line === '' ? 'an empty answer' : line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
