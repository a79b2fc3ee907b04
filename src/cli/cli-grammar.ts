// Small grammars of the heroku CLI.
import { Failure } from '../schema/failures.ts';

/** `web=2`, `web+1`, `web-1`, `web=2:standard-1x`. Throws Failure request_invalid. */
export function scalingOf(text: string): { type: string; quantity: number | string; size?: string } {
  const [, type, how, number, size] = /^([A-Za-z0-9_-]+?)([=+-])(\d{1,3})(?::([A-Za-z0-9-]+))?$/.exec(text) ?? [];
  if (type === undefined || how === undefined || number === undefined)
    throw new Failure('request_invalid', `Found ${JSON.stringify(text)}, expected a process type with a number, such as web=1.`);
  return { type, quantity: how === '=' ? Number(number) : `${how}${number}`, ...(size === undefined ? {} : { size }) };
}

/** `NAME=value`, quoted as far as a POSIX shell and \`heroku local\` need it. */
export function shellLine(name: string, value: string): string {
  if (/^[\w./+@%:,-]*$/.test(value)) return `${name}=${value}`;
  return `${name}='${value.replaceAll("'", `'\\''`)}'`;
}
