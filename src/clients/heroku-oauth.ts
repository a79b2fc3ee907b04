// Tokens from Heroku's identity service (heroku.md §1.5).
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure, messageOf } from '../schema/failures.ts';
import type { HerokuOAuth, OAuthTokens } from './addon-ports.ts';
import { within } from './deadline.ts';
import type { CallOptions } from './ports.ts';

/** Milliseconds for a call, when the caller names no deadline. */
const CALL_DEADLINE_MS = 10_000;

const tokenReply = Compile(
  Type.Object({
    access_token: Type.String({ minLength: 1 }),
    // a refresh need not bring a new one
    refresh_token: Type.Optional(Type.Union([Type.String({ minLength: 1 }), Type.Null()])),
    /** Seconds; Heroku sends 28,800 or one less. */
    expires_in: Type.Number({ exclusiveMinimum: 0 }),
  }),
);
const errorReply = Compile(
  Type.Object({ id: Type.Optional(Type.String()), error: Type.Optional(Type.String()), message: Type.Optional(Type.String()) }),
);

/**
 * The token endpoint at `baseUrl` (`https://id.heroku.com`). Throws Failure `heroku_refused` (a code used before or expired, a
 * revoked token, a wrong secret) or `heroku_unavailable`. Codes and tokens never stand in a message.
 */
export function createHerokuOAuth(access: { baseUrl: string; clientSecret: string; userAgent: string; now: () => number }): HerokuOAuth {
  const ask = async (fields: Record<string, string>, options: CallOptions): Promise<OAuthTokens> => {
    const what = `OAuth ${fields['grant_type']}`;
    let status: number;
    let body: unknown;
    try {
      ({ status, body } = await within(options, CALL_DEADLINE_MS, async (signal) => {
        const response = await fetch(new URL('/oauth/token', access.baseUrl), {
          method: 'POST',
          headers: { accept: 'application/json', 'user-agent': access.userAgent },
          body: new URLSearchParams({ ...fields, client_secret: access.clientSecret }),
          redirect: 'error',
          signal,
        });
        const text = await response.text();
        return { status: response.status, body: parseJson(text) };
      }));
    } catch (error) {
      options.signal?.throwIfAborted();
      throw new Failure('heroku_unavailable', `${what}: ${messageOf(error)}.`, { cause: error });
    }
    if (status >= 200 && status < 300 && tokenReply.Check(body)) {
      return {
        access: body.access_token,
        refresh: body.refresh_token ?? fields['refresh_token'] ?? '',
        expiresAt: access.now() + body.expires_in * 1000,
      };
    }
    const said = errorReply.Check(body) ? [body.id ?? body.error, body.message].filter((x) => x !== undefined).join(': ') : '';
    const refused = status >= 400 && status < 500 && status !== 429 && status !== 408;
    throw new Failure(refused ? 'heroku_refused' : 'heroku_unavailable', `${what}: HTTP ${status}${said === '' ? '' : ` ${said}`}.`);
  };

  return {
    exchange: (code, options = {}) =>
      ask(
        { grant_type: 'authorization_code', code, ...(options.verifier === undefined ? {} : { code_verifier: options.verifier }) },
        options,
      ),
    refresh: (refreshToken, options = {}) => ask({ grant_type: 'refresh_token', refresh_token: refreshToken }, options),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // what is no JSON has no token in it
  }
}
