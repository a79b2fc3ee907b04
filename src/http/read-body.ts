import type { Context } from 'hono';
import { Failure } from '../schema/failures.ts';

/** Bytes of UTF-8 that the body of a call may have: a workflow has at most 65,536, and JSON may write it with escapes. */
const MAX_BODY_BYTES = 524_288;

/** What TypeBox' `Compile` makes of a schema. */
export interface Validator<T> {
  Check(value: unknown): value is T;
  Errors(value: unknown): readonly { instancePath: string; message: string }[];
}

/** The JSON body of a call; nothing counts as `{}`. Throws Failure request_invalid with the place that is wrong. */
export async function readBody<T>(c: Context, validator: Validator<T>): Promise<T> {
  if (Number(c.req.header('content-length') ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const text = await c.req.text();
  if (text.length > MAX_BODY_BYTES) throw tooLarge();
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

function tooLarge(): Failure {
  return new Failure('request_invalid', `The body has more than ${MAX_BODY_BYTES} bytes.`);
}
