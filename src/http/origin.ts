import { createMiddleware } from 'hono/factory';
import { Failure } from '../schema/failures.ts';
import { problem } from './problem.ts';

/**
 * Refuses requests that are addressed to another host name (DNS rebinding) or sent by another site's page (CSRF).
 * For a server that listens on loopback and that any page in the user's browser could reach.
 */
export function checkOrigin(hosts: readonly string[]) {
  return createMiddleware(async (c, next) => {
    const host = nameOf(`http://${c.req.header('host') ?? ''}`);
    if (host === undefined || !hosts.includes(host)) {
      return problem(
        c,
        new Failure('forbidden', `Found the Host ${c.req.header('host') ?? 'missing'}, expected one of ${hosts.join(', ')}.`),
      );
    }
    const origin = c.req.header('origin');
    if (origin !== undefined && !hosts.includes(nameOf(origin) ?? '')) {
      return problem(c, new Failure('forbidden', `Found the Origin ${origin}, expected this server's own.`));
    }
    return await next();
  });
}

function nameOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}
