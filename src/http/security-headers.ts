import { createMiddleware } from 'hono/factory';

/**
 * Nothing may run or be loaded but our own files; no page may be framed; forms go to us alone. `store`: an origin that images may
 * come from and files may be sent to, too.
 */
export function contentSecurityPolicy(store = ''): string {
  const also = store === '' ? '' : ` ${store}`;
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    `img-src 'self'${also}`,
    `connect-src 'self'${also}`,
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ');
}

/** Seconds, two years: how long a browser comes by HTTPS alone. */
const HSTS_S = 63_072_000;

/**
 * The headers of every answer (OWASP ASVS 5.0, 3.4). What a route sets itself stays: files with a hash in their name may be cached, all else is not.
 * `secure`: the service is reached over HTTPS.
 */
export function securityHeaders(deps: { secure: boolean }) {
  const always: readonly (readonly [string, string])[] = [
    ['content-security-policy', contentSecurityPolicy()],
    ['x-content-type-options', 'nosniff'],
    ['referrer-policy', 'same-origin'],
    ['cross-origin-opener-policy', 'same-origin'],
    ['cross-origin-resource-policy', 'same-origin'],
    ['x-frame-options', 'DENY'],
    ['cache-control', 'no-store'],
    ...(deps.secure ? [['strict-transport-security', `max-age=${HSTS_S}; includeSubDomains`] as const] : []),
  ];
  return createMiddleware(async (c, next) => {
    await next();
    for (const [name, value] of always) if (!c.res.headers.has(name)) c.res.headers.set(name, value);
  });
}
