// Who asks, and what they may do: the one word that every route of one resource rests on.
import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import { Failure } from '../schema/failures.ts';
import type { Scope } from '../schema/token-view.ts';
import type { Caller } from './streams.ts';

export interface Principal {
  /** `token`: an API token; `session`: a person through SSO; `operator`: who runs this service; `local`: the token of the local cloud. */
  readonly kind: 'token' | 'session' | 'operator' | 'local';
  /** Id of the one resource that it may see and act on. */
  readonly resource: string;
  readonly scope: Scope;
  /** Who it is, for histories and the audit log: a token's name, a person's address. No secret. */
  readonly name: string;
}

/**
 * One way to tell who asks. undefined: the request carries nothing of that kind, the next source is asked. A source that
 * finds something wrong (a revoked token, a forged cookie) answers undefined, too: what is wrong with it is nobody's business.
 */
export type PrincipalSource = (c: Context) => Promise<Principal | undefined>;

export interface PrincipalEnv {
  Variables: { principal: Principal; caller: Caller };
}

/** Methods that change nothing. */
const READS: readonly string[] = ['GET', 'HEAD', 'OPTIONS'];

/**
 * Lets requests through whose principal one of the sources knows; handlers find it as `c.var.principal`. What is no read
 * needs the scope `write`, except where `retrieves` says that a POST only asks (a validation, a search). Throws Failure
 * unauthorized or forbidden.
 */
export function requirePrincipal(sources: readonly PrincipalSource[], retrieves: (path: string) => boolean = () => false) {
  return createMiddleware<PrincipalEnv>(async (c, next) => {
    const principal = await firstOf(sources, c);
    if (principal === undefined) {
      c.header('www-authenticate', 'Bearer');
      throw new Failure(
        'unauthorized',
        'Send `Authorization: Bearer <token>`; tokens are made in the dashboard, the local one is AUTOFILES_TOKEN in .autofiles/env.',
      );
    }
    if (principal.scope !== 'write' && !READS.includes(c.req.method) && !retrieves(c.req.path)) {
      throw new Failure('forbidden', `Found the scope ${principal.scope}, expected write for ${c.req.method} ${c.req.path}.`);
    }
    c.set('principal', principal);
    c.set('caller', callerOf(sources, c, principal));
    return await next();
  });
}

/** Who opens a stream, to be asked for again while it is open. */
export function callerOf(sources: readonly PrincipalSource[], c: Context, { resource, kind }: Principal): Caller {
  return {
    resource,
    stands: async () => {
      try {
        const found = await firstOf(sources, c);
        return found?.resource === resource && found.kind === kind;
      } catch (error) {
        // a refusal is an answer; that Redis does not answer is none
        if (error instanceof Failure && error.status < 500) return false;
        throw error;
      }
    },
  };
}

/** Whom the first source that knows the request says it comes from. */
export async function firstOf(sources: readonly PrincipalSource[], c: Context): Promise<Principal | undefined> {
  for (const source of sources) {
    const principal = await source(c);
    if (principal !== undefined) return principal;
  }
  return undefined;
}
