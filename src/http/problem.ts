import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Failure } from '../schema/failures.ts';

/** A failure as problem+json (RFC 9457). The message never carries a cause: causes may name what is not the caller's. */
export function problem(c: Context, failure: Failure): Response {
  // the failure table holds HTTP statuses with a body alone
  const status = failure.status as ContentfulStatusCode;
  return c.json(
    { type: `urn:autofiles:${failure.code}`, title: failure.code, status: failure.status, detail: failure.message, retry: failure.retry },
    status,
    {
      'content-type': 'application/problem+json',
      ...(failure.retryAfter === undefined ? {} : { 'retry-after': String(failure.retryAfter) }),
    },
  );
}
