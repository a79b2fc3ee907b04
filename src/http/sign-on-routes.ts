// How a person gets a session: by Heroku's sign-on form, or on one's own machine by the one-time link of `autofiles open`.
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { setCookie } from 'hono/cookie';
import { html } from 'hono/html';
import type { Audit } from '../queues/audit.ts';
import { Failure } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import type { AddressOf } from './address.ts';
import { type PrincipalSource, requirePrincipal } from './principal.ts';
import { beginSession, endSession, type SessionDeps } from './session.ts';
import { readSignOn, SSO_WINDOW_S } from './sso-token.ts';

/** Bytes of a form; Heroku's has about 2,000. */
const MAX_FORM_BYTES = 16_384;

export interface SignOnDeps extends SessionDeps {
  /** undefined: nobody signs on by Heroku. */
  readonly ssoSalt: string | undefined;
  readonly ssoLegacy: boolean;
  readonly supportUrl: string;
  /** Who may make a link: the token of the local cloud. */
  readonly local: PrincipalSource;
  readonly audit: Audit;
  readonly addressOf: AddressOf;
  readonly now: () => number;
  readonly log: Log;
}

/** To be mounted at the root. */
export function signOnRoutes(deps: SignOnDeps): Hono {
  const routes = new Hono();
  const limit = bodyLimit({ maxSize: MAX_FORM_BYTES, onError: (c) => refuse(deps, c) });

  routes.post('/heroku/sso', limit, async (c) => {
    if (deps.ssoSalt === undefined) return refuse(deps, c);
    const form = new URLSearchParams(await c.req.text());
    const signOn = readSignOn(form, { salt: deps.ssoSalt, legacy: deps.ssoLegacy, now: deps.now() });
    if (signOn === undefined) return refuse(deps, c);
    // the window has two sides, and a token counts once in all of it
    const first = await deps.sessions.first('sso', signOn.token, 2 * SSO_WINDOW_S + 60);
    if (!first || (await deps.resources.launchable(signOn.resource)) === undefined) return refuse(deps, c);
    const name = signOn.email === '' ? signOn.user || 'owner' : signOn.email;
    await beginSession(deps, c, { resource: signOn.resource, by: 'sso', name });
    if (signOn.navData !== undefined) setCookie(c, 'heroku-nav-data', signOn.navData, { path: '/', secure: deps.secure, sameSite: 'Lax' });
    await deps.audit.append(signOn.resource, {
      actor: name,
      action: 'session.begin',
      detail: 'Heroku sign-on',
      address: deps.addressOf(c),
    });
    return c.redirect('/', 303);
  });

  routes.post('/session/links', requirePrincipal([deps.local]), async (c) => {
    const { resource, kind } = c.var.principal;
    if (kind !== 'local') throw new Failure('forbidden', 'Links are made with the token of a local cloud alone.');
    const code = await deps.sessions.link({ resource, by: 'local', name: 'you' });
    return c.json({ path: `/session/open?code=${code}` }, 201);
  });

  routes.get('/session/open', async (c) => {
    const who = await deps.sessions.follow(c.req.query('code') ?? '');
    if (who === undefined || (await deps.resources.launchable(who.resource)) === undefined)
      return page(c, 403, 'This link was used or is too old', 'Make another one with `autofiles open`.', deps.supportUrl);
    await beginSession(deps, c, who);
    return c.redirect('/', 303);
  });

  routes.post('/session/end', limit, async (c) => {
    await endSession(deps, c);
    return page(c, 200, 'Signed out', 'Open the add-on again to come back.', deps.supportUrl);
  });
  return routes;
}

/** One answer for everything that is wrong: which part it was is nobody's business. */
function refuse(deps: SignOnDeps, c: Context): Response | Promise<Response> {
  deps.log.warn({ address: deps.addressOf(c) }, 'refused a sign-on');
  return page(
    c,
    403,
    'This sign-on is not valid',
    'It may be too old, or was used before. Open the add-on from your app’s page at Heroku, or with `heroku addons:open`, once more.',
    deps.supportUrl,
  );
}

function page(c: Context, status: 200 | 403, title: string, words: string, supportUrl: string): Response | Promise<Response> {
  return c.html(
    html`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
      <main><h1>${title}</h1><p>${words}</p><p>Need help? <a href="${supportUrl}" rel="noreferrer">Support</a></p></main></html>`,
    status,
  );
}
