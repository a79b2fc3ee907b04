import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { createMiddleware } from 'hono/factory';
import { Failure } from '../schema/failures.ts';
import { problem } from './problem.ts';

/** Bytes of UTF-8 that the body of a call may have: a workflow has at most 65,536, and JSON may write it with escapes. */
const MAX_BODY_BYTES = 524_288;

/** What TypeBox' `Compile` makes of a schema. */
export interface Validator<T> {
  Check(value: unknown): value is T;
  Errors(value: unknown): readonly { instancePath: string; message: string }[];
}

/** The JSON body of a call; nothing counts as `{}`. Throws Failure request_invalid with the place that is wrong. */
export async function readBody<T>(c: Context, validator: Validator<T>): Promise<T> {
  const text = await c.req.text();
  let body: unknown;
  try {
    body = text === '' ? {} : JSON.parse(text);
  } catch (cause) {
    throw new Failure('request_invalid', 'The body is not JSON.', { cause });
  }
  if (validator.Check(body)) return body;
  const [fault] = validator.Errors(body);
  throw new Failure('request_invalid', `The body is wrong at ${fault?.instancePath || '/'}: ${fault?.message ?? 'not as expected'}.`);
}

/** Bytes of a file and its form's other fields that the page takes without JavaScript. */
const MAX_UPLOAD_BYTES = 25 * 1024 * 1024;

/**
 * Limits the one body that may be a file. To be passed before anything of it is read, be it the form's proof of where it comes from, and only by
 * those who have a session. A body that was read for that proof has passed here before. Throws Failure request_invalid.
 */
export const limitUpload = createMiddleware(async (c, next) => (c.req.raw.bodyUsed ? await next() : await uploadLimit(c, next)));

const uploadLimit = bodyLimit({
  maxSize: MAX_UPLOAD_BYTES,
  onError: () => {
    throw new Failure(
      'request_invalid',
      'Found more than 25 MB, which this page takes without JavaScript. Save it with an S3 client: `autofiles put FILE`.',
    );
  },
});

/** For every call whose route has no smaller limit, whatever its length was said to be. `except`: paths that take more and limit it themselves. */
export function limitBody(options: { readonly except: readonly string[] }) {
  const limit = bodyLimit({ maxSize: MAX_BODY_BYTES, onError: (c) => problem(c, tooLarge()) });
  return createMiddleware(async (c, next) => (options.except.includes(c.req.path) ? await next() : await limit(c, next)));
}

function tooLarge(): Failure {
  return new Failure('request_too_large', `The body has more than ${MAX_BODY_BYTES} bytes.`);
}
