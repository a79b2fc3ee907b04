import type { TObject } from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';

type Queries = Readonly<Record<string, readonly string[]>>;

/**
 * Reads query parameters by their schema: numbers and booleans out of their text, lists out of repeated parameters or
 * commas. Throws Failure request_invalid naming the parameter, what was found and what was expected.
 */
export function queryReader(schema: TObject): (queries: Queries) => Record<string, unknown> {
  const validator = Compile(schema);
  const known = Object.keys(schema.properties);
  return (queries) => {
    const values: Record<string, unknown> = {};
    for (const [name, texts] of Object.entries(queries)) {
      const property = Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
      if (property === undefined) {
        throw new Failure('request_invalid', `Found the query parameter ${quote(name)}, expected ${known.join(', ') || 'none'}.`);
      }
      const kind = 'type' in property ? property.type : undefined;
      if (kind === 'array') values[name] = texts.flatMap((text) => text.split(',')).filter((text) => text !== '');
      else if (texts.length > 1) throw new Failure('request_invalid', `${name}: found it ${texts.length} times, expected it once.`);
      else values[name] = parsedText(texts[0] ?? '', kind);
    }
    if (validator.Check(values)) return values;
    const [fault] = validator.Errors(values);
    const name = fault?.instancePath.split('/')[1] ?? '';
    if (name === '') throw new Failure('request_invalid', `The query is wrong: it ${fault?.message ?? 'is not as expected'}.`);
    throw new Failure(
      'request_invalid',
      `${name}: found ${quote(queries[name]?.join(',') ?? '')}, which ${fault?.message ?? 'is not as expected'}.`,
    );
  };
}

function parsedText(text: string, kind: unknown): unknown {
  if (kind === 'integer' || kind === 'number') return text.trim() === '' ? text : Number(text);
  if (kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

function quote(text: string): string {
  return JSON.stringify((text.length > 60 ? `${text.slice(0, 60)}…` : text).toWellFormed());
}
