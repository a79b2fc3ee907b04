import { type Context, Hono } from 'hono';
import { ApiError } from '../api-error.ts';
import type { Addons } from './addons.ts';
import type { Oauth, TokenPair } from './oauth.ts';
import { type SignOn, signOnPage } from './sign-on.ts';

/**
 * What stands in for id.heroku.com and addons-sso.heroku.com, open to callers without a token: `POST /oauth/token` (its secrets are in the call) and `GET /addons-sso/:ticket`
 * (the ticket is one).
 */
export function identityRoutes(deps: { oauth: Oauth; addons: Addons; signOn: SignOn; accountId: string; nonce: () => string }): Hono {
  const { oauth, addons, signOn } = deps;
  const routes = new Hono();
  routes.post('/oauth/token', async (c) => {
    const given = await parameters(c);
    const secret = given.get('client_secret') ?? '';
    const grantType = given.get('grant_type');
    c.header('Cache-Control', 'no-store');
    if (grantType === 'authorization_code') return c.json(tokenJson(oauth.exchange(given.get('code') ?? '', secret), deps));
    if (grantType === 'refresh_token') return c.json(tokenJson(oauth.refresh(given.get('refresh_token') ?? '', secret), deps));
    throw new ApiError(400, 'bad_request', `grant_type is ${JSON.stringify(grantType)}; expected authorization_code or refresh_token.`);
  });
  routes.get('/addons-sso/:ticket', (c) => {
    c.header('Cache-Control', 'no-store');
    c.header('Referrer-Policy', 'no-referrer');
    const addonId = signOn.redeem(c.req.param('ticket'));
    const addon = addonId === undefined ? undefined : addons.find(addonId);
    const provider = addon === undefined ? undefined : addons.provider(addon.service);
    const form = addon === undefined || provider === undefined ? undefined : signOn.form(addon, provider);
    if (form === undefined)
      return c.text('This link was used, is too old, or its add-on has no dashboard. Run `heroku addons:open` again.\n', 403);
    const { html, policy } = signOnPage(form, deps.nonce());
    c.header('Content-Security-Policy', policy);
    return c.html(html);
  });
  return routes;
}

// As query parameters, as a form or as JSON: partners send all three (heroku.md 1.5).
async function parameters(c: Context): Promise<URLSearchParams> {
  const all = new URLSearchParams(new URL(c.req.url).search);
  const text = await c.req.text();
  if ((c.req.header('content-type') ?? '').includes('json')) {
    for (const [name, value] of Object.entries(jsonObject(text))) all.set(name, String(value));
  } else for (const [name, value] of new URLSearchParams(text)) all.set(name, value);
  return all;
}

function jsonObject(text: string): object {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === 'object' && found !== null ? found : {};
  } catch (cause) {
    throw new ApiError(
      400,
      'bad_request',
      `Unable to parse the request body as JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

function tokenJson(
  { accessToken, refreshToken, expiresIn }: TokenPair,
  deps: { accountId: string; nonce: () => string },
): Record<string, unknown> {
  return {
    access_token: accessToken,
    refresh_token: refreshToken,
    expires_in: expiresIn,
    token_type: 'Bearer',
    user_id: deps.accountId,
    session_nonce: deps.nonce(),
  };
}
