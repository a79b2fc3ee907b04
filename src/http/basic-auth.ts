import { createHash, timingSafeEqual } from 'node:crypto';
import { createMiddleware } from 'hono/factory';
import { Failure } from '../schema/failures.ts';

/**
 * Lets requests through with this user and password in HTTP Basic (RFC 7617). Compared as hashes of the whole header's text, in constant time and
 * without telling which part was wrong. `expected` undefined: nobody is let through. Throws Failure unauthorized.
 */
export function requireBasic(expected: { readonly user: string; readonly password: string } | undefined, realm: string) {
  const wanted = expected === undefined ? undefined : digest(`${expected.user}:${expected.password}`);
  return createMiddleware(async (c, next) => {
    const sent = /^Basic ([A-Za-z0-9+/=_-]{1,2000})$/i.exec(c.req.header('authorization') ?? '')?.[1];
    // hashed in any case: the answer takes the same time
    const found = digest(Buffer.from(sent ?? '', 'base64').toString('utf8'));
    if (wanted === undefined || sent === undefined || !timingSafeEqual(found, wanted)) {
      c.header('www-authenticate', `Basic realm="${realm}"`);
      throw new Failure('unauthorized', `Send user name and password of the ${realm} by HTTP Basic.`);
    }
    return await next();
  });
}

const digest = (text: string) => createHash('sha256').update(text, 'utf8').digest();
