// Whether a sign-on form comes from Heroku (heroku.md §1.8).
import { createHash } from 'node:crypto';
import { isUuid } from '../schema/partner-api.ts';
import { sameSecret } from './same-secret.ts';

/** Seconds that a form may be old, or ahead of our clock. */
export const SSO_WINDOW_S = 300;

export interface SignOn {
  readonly resource: string;
  readonly user: string;
  readonly email: string;
  readonly app: string;
  /** What Heroku's own navigation wants back in a cookie. */
  readonly navData: string | undefined;
  /** The token that proved it, for its one use. */
  readonly token: string;
}

/**
 * Reads and proves a sign-on form; undefined for everything that Heroku did not make just now. The hashed fields are joined by `:`, so each must have its
 * strict form before it is hashed. `legacy`: a `resource_token` (SHA-1) will do where there is no `user_scoped_resource_token`; one that is there
 * and wrong is never made good by the other. `now`: milliseconds since 1970.
 */
export function readSignOn(form: URLSearchParams, options: { salt: string; legacy: boolean; now: number }): SignOn | undefined {
  const names = [...form.keys()];
  // a field that comes twice means two things to two readers
  if (new Set(names).size !== names.length) return undefined;
  const field = (name: string) => form.get(name) ?? '';
  const resource = field('resource_id');
  const timestamp = field('timestamp');
  const user = field('user_id');
  const email = field('email');
  if (!isUuid(resource) || !/^\d{9,11}$/.test(timestamp)) return undefined;
  const scoped = form.get('user_scoped_resource_token');
  let proof: { found: string; expected: string };
  if (scoped !== null) {
    if (!isUuid(user) || !isEmail(email)) return undefined;
    proof = { found: scoped, expected: digest('sha256', [resource, options.salt, timestamp, user, email]) };
  } else {
    if (!options.legacy) return undefined;
    proof = { found: field('resource_token'), expected: digest('sha1', [resource, options.salt, timestamp]) };
  }
  if (!sameSecret(proof.found, proof.expected)) return undefined;
  if (Math.abs(options.now / 1000 - Number(timestamp)) > SSO_WINDOW_S) return undefined;
  const navData = form.get('nav-data');
  return {
    resource,
    user,
    email: isEmail(email) ? email : '',
    app: field('app').slice(0, 100),
    navData: navData !== null && /^[A-Za-z0-9_-]{1,3000}={0,2}$/.test(navData) ? navData : undefined,
    token: proof.expected,
  };
}

/** One `@`, no blank, no control character, no `:`. */
function isEmail(text: string): boolean {
  return /^[^\s:@\p{Cc}]{1,128}@[^\s:@\p{Cc}]{1,253}$/u.test(text);
}

function digest(algorithm: 'sha1' | 'sha256', parts: readonly string[]): string {
  return createHash(algorithm).update(parts.join(':')).digest('hex');
}
