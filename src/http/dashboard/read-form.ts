import type { Context } from 'hono';
import { Failure } from '../../schema/failures.ts';

/** The fields of a form; a file may be one. Throws Failure request_invalid for any other body. */
export async function readForm(c: Context): Promise<FormData> {
  try {
    return await c.req.formData();
  } catch (cause) {
    throw new Failure('request_invalid', 'The body is not a form.', { cause });
  }
}
