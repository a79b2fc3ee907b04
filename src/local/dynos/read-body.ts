import type { Context } from 'hono';
import type { Static, TSchema } from 'typebox';
import type { Validator } from 'typebox/compile';
import { ApiError, invalidParams } from './api-error.ts';

// Linux refuses to start a process with one argument or variable over 128 KiB; Heroku's own sizes are far smaller. Refused here, where it can be said.
const longestValue = 64 * 1024;

/**
 * The request's JSON body, checked.
 * @throws {ApiError} 400 `bad_request` when it is no JSON, 422 `invalid_params` naming the first member that does not fit.
 */
export async function readBody<T extends TSchema>(c: Context, schema: Validator<Record<never, never>, T>): Promise<Static<T>> {
  const raw = await c.req.text();
  let body: unknown;
  try {
    body = raw === '' ? {} : JSON.parse(raw);
  } catch (error) {
    throw new ApiError(
      400,
      'bad_request',
      `Unable to parse the request body as JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (schema.Check(body)) return body;
  const fault = schema.Errors(body).find(({ keyword }) => keyword !== 'boolean');
  throw invalidParams(`Invalid request body at ${JSON.stringify(fault?.instancePath ?? '')}: ${fault?.message ?? 'it does not fit'}.`);
}

/**
 * Refuses a text that no process could be given as an argument or variable.
 * @throws {ApiError} 422 `invalid_params`.
 */
export function checkProcessText(what: string, value: string): void {
  if (value.includes('\0')) throw invalidParams(`${what} contains a NUL character, which no process can be given.`);
  const bytes = Buffer.byteLength(value);
  if (bytes > longestValue) throw invalidParams(`${what} has ${bytes} bytes; at most ${longestValue} can be given to a process.`);
}
