import { createMiddleware } from 'hono/factory';
import { Failure } from '../schema/failures.ts';
import { sameSecret } from './same-secret.ts';

/**
 * Lets requests through with this user and password in HTTP Basic (RFC 7617). Compared as hashes of the whole header's text, in constant time and
 * without telling which part was wrong. `expected` undefined: nobody is let through. Throws Failure unauthorized.
 */
export function requireBasic(expected: { readonly user: string; readonly password: string } | undefined, realm: string) {
  const wanted = expected === undefined ? undefined : `${expected.user}:${expected.password}`;
  return createMiddleware(async (c, next) => {
    const sent = /^Basic ([A-Za-z0-9+/=_-]{1,2000})$/i.exec(c.req.header('authorization') ?? '')?.[1];
    // compared in any case: the answer takes the same time
    const same = sameSecret(Buffer.from(sent ?? '', 'base64').toString('utf8'), wanted ?? '');
    if (wanted === undefined || sent === undefined || !same) {
      c.header('www-authenticate', `Basic realm="${realm}"`);
      throw new Failure('unauthorized', `Send user name and password of the ${realm} by HTTP Basic.`);
    }
    return await next();
  });
}
