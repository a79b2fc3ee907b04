// A person's session in a browser: the cookie, who it stands for, and the proof that a write came from a page of ours.
import { createHash } from 'node:crypto';
import type { Context } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import type { Resources } from '../queues/resources.ts';
import { SESSION_S, type Sessions } from '../queues/sessions.ts';
import { Failure } from '../schema/failures.ts';
import type { PrincipalSource } from './principal.ts';
import { limitUpload } from './read-body.ts';
import { sameSecret } from './same-secret.ts';

const READS: readonly string[] = ['GET', 'HEAD', 'OPTIONS'];

export interface SessionDeps {
  readonly sessions: Sessions;
  readonly resources: Resources;
  /**
   * Whether pages are served over HTTPS. The cookie is then `__Host-autofiles`, which no other host can set and no plain HTTP carries. On plain HTTP, which
   * only the local cloud on loopback has, browsers take no such cookie, so it is `autofiles` there.
   */
  readonly secure: boolean;
}

const cookieName = ({ secure }: Pick<SessionDeps, 'secure'>) => (secure ? '__Host-autofiles' : 'autofiles');

/** Begins a session in this browser; one that it had ends, so that nobody can plant one. */
export async function beginSession(
  deps: SessionDeps,
  c: Context,
  who: { readonly resource: string; readonly by: 'sso' | 'local'; readonly name: string },
): Promise<void> {
  await endSession(deps, c);
  const secret = await deps.sessions.begin(who);
  setCookie(c, cookieName(deps), secret, { path: '/', httpOnly: true, secure: deps.secure, sameSite: 'Lax', maxAge: SESSION_S });
}

export async function endSession(deps: SessionDeps, c: Context): Promise<void> {
  const before = getCookie(c, cookieName(deps));
  if (before === undefined) return;
  await deps.sessions.end(before);
  deleteCookie(c, cookieName(deps), { path: '/', secure: deps.secure });
}

/**
 * Whom the cookie stands for, while the resource is installed. A request that changes something must carry the session's CSRF token in the header
 * `x-csrf-token` or the form field `csrf`, and must not come from another site; else Failure forbidden.
 */
export function sessionPrincipal(deps: SessionDeps): PrincipalSource {
  return async (c) => {
    const secret = getCookie(c, cookieName(deps));
    if (secret === undefined || secret === '') return undefined;
    const session = await deps.sessions.find(secret);
    if (session === undefined || (await deps.resources.launchable(session.resource)) === undefined) return undefined;
    if (!READS.includes(c.req.method)) await checkCsrf(c, secret);
    const kind = session.by === 'local' ? 'local' : 'session';
    return { kind, resource: session.resource, scope: 'write', name: session.name };
  };
}

/** The token that pages put into their forms; undefined without a session. */
export function csrfToken(deps: Pick<SessionDeps, 'secure'>, c: Context): string | undefined {
  const secret = getCookie(c, cookieName(deps));
  return secret === undefined ? undefined : csrfOf(secret);
}

/** What this session alone can know, for one purpose; tells nothing about the cookie. Undefined without a session. */
export function sessionProof(deps: Pick<SessionDeps, 'secure'>, c: Context, purpose: string): string | undefined {
  const secret = getCookie(c, cookieName(deps));
  return secret === undefined ? undefined : createHash('sha256').update(`${purpose}\n${secret}`).digest('base64url');
}

async function checkCsrf(c: Context, secret: string): Promise<void> {
  const site = c.req.header('sec-fetch-site');
  const sent = c.req.header('x-csrf-token') ?? (await formField(c, 'csrf'));
  const foreign = site !== undefined && site !== 'same-origin' && site !== 'none';
  if (foreign || sent === undefined || !sameSecret(sent, csrfOf(secret))) {
    throw new Failure(
      'forbidden',
      'The request does not prove that it came from a page of this service. Load the page again and repeat it.',
    );
  }
}

async function formField(c: Context, name: string): Promise<string | undefined> {
  if (!/^(application\/x-www-form-urlencoded|multipart\/form-data)\b/i.test(c.req.header('content-type') ?? '')) return undefined;
  await limitUpload(c, async () => {});
  const value = (await c.req.parseBody())[name];
  return typeof value === 'string' ? value : undefined;
}

/** Derived from the cookie's secret: nobody who cannot read the cookie can make it, and it tells nothing about the cookie. */
function csrfOf(secret: string): string {
  return createHash('sha256').update(`csrf\n${secret}`).digest('base64url');
}
