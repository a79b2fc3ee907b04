import { createHash, timingSafeEqual } from 'node:crypto';
import { createMiddleware } from 'hono/factory';
import { Failure } from '../schema/failures.ts';
import { problem } from './problem.ts';

/** Lets requests through that carry the token; compares hashes in constant time. Without a token nobody is let through. */
export function requireBearer(token: string | undefined) {
  const expected = token === undefined ? undefined : digest(token);
  return createMiddleware(async (c, next) => {
    const found = /^Bearer (\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
    if (expected === undefined || found === undefined || !timingSafeEqual(digest(found), expected)) {
      c.header('www-authenticate', 'Bearer');
      return problem(
        c,
        new Failure('unauthorized', 'Send `Authorization: Bearer <token>`; the local one is AUTOFILES_TOKEN in .autofiles/env.'),
      );
    }
    return await next();
  });
}

const digest = (text: string) => createHash('sha256').update(text).digest();
