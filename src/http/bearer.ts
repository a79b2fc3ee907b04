// Principals that show a token in `Authorization: Bearer`.
import type { Context } from 'hono';
import { Failure } from '../schema/failures.ts';
import type { Scope } from '../schema/token-view.ts';
import type { PrincipalSource } from './principal.ts';
import { sameSecret } from './same-secret.ts';

/**
 * The one token of the local cloud, which may do everything with the resource that its app has just now; compares hashes in constant time.
 * Throws Failure not_found while the app has none.
 */
export function localToken(deps: { token: string | undefined; resource: () => Promise<string | undefined> }): PrincipalSource {
  const expected = deps.token;
  return async (c) => {
    const found = bearerOf(c);
    if (expected === undefined || found === undefined || !sameSecret(found, expected)) return undefined;
    const resource = await deps.resource();
    if (resource === undefined)
      throw new Failure('not_found', 'The app has no add-on just now: `heroku addons:create line-d` or the next start makes one.');
    return { kind: 'local', resource, scope: 'write', name: 'local' };
  };
}

/**
 * Tokens that were made for one resource. `find` answers undefined for one that never was or was revoked. They end with the removal's first
 * moment (`gone`), and not with its last, which takes them away.
 */
export function apiTokens(deps: {
  find: (token: string) => Promise<{ name: string; resource: string; scope: Scope } | undefined>;
  gone: (resource: string) => Promise<boolean>;
}): PrincipalSource {
  return async (c) => {
    const found = bearerOf(c);
    const token = found === undefined ? undefined : await deps.find(found);
    if (token === undefined || (await deps.gone(token.resource))) return undefined;
    return { kind: 'token', resource: token.resource, scope: token.scope, name: token.name };
  };
}

function bearerOf(c: Context): string | undefined {
  return /^Bearer (\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
}
