import type { IncomingMessage } from 'node:http';
import { S3Error } from './s3-error.ts';

/** The parts of a request that the store reads, taken from the raw request line and headers. */
export type ParsedRequest = {
  method: string;
  /** The path as it was sent, percent-encoding untouched. */
  rawPath: string;
  /** Decoded query parameters; a repeated name holds a list. A name without `=` has the value ''. */
  query: Record<string, string | string[]>;
  /** Header values by lower-case name; repeated ones joined by a comma. UTF-8 bytes are read as UTF-8. */
  headers: Record<string, string>;
};

/** Reads request line and headers. Throws S3Error InvalidURI for a percent-encoding that is not UTF-8. */
export function parseRequest(req: IncomingMessage): ParsedRequest {
  const target = originForm(req.url ?? '/');
  const mark = target.indexOf('?');
  return {
    method: req.method ?? 'GET',
    rawPath: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? emptyRecord() : parseQuery(target.slice(mark + 1)),
    headers: readHeaders(req.rawHeaders),
  };
}

/** The first value of a query parameter, or undefined when it was not sent. */
export function queryValue(query: ParsedRequest['query'], name: string): string | undefined {
  const value = query[name];
  return Array.isArray(value) ? value[0] : value;
}

/** Decodes percent-encoding as UTF-8. Throws S3Error InvalidURI when it is none. */
export function decodePercent(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new S3Error(
      'InvalidURI',
      `Couldn't parse the specified URI: ${JSON.stringify(text.slice(0, 200))} is not percent-encoded UTF-8.`,
    );
  }
}

/** Percent-encodes as SigV4 wants it: everything but letters, digits and `-._~`. */
export function encodePercent(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

function originForm(url: string): string {
  // A proxy-style request line carries the whole address; the Host header decides, the path is what we want.
  const match = /^https?:\/\/[^/?]*(.*)$/i.exec(url);
  const path = match?.[1] ?? url;
  return path.startsWith('/') ? path : `/${path}`;
}

/** Reads `a=1&b` into a record without a prototype, so that any name is just a name. */
export function parseQuery(text: string): Record<string, string | string[]> {
  const query = emptyRecord<string | string[]>();
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decodePercent((equals < 0 ? pair : pair.slice(0, equals)).replaceAll('+', ' '));
    const value = equals < 0 ? '' : decodePercent(pair.slice(equals + 1).replaceAll('+', ' '));
    const held = query[name];
    if (held === undefined) query[name] = value;
    else query[name] = Array.isArray(held) ? [...held, value] : [held, value];
  }
  return query;
}

function readHeaders(raw: string[]): Record<string, string> {
  const headers = emptyRecord<string>();
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = (raw[index] ?? '').toLowerCase();
    const value = utf8(raw[index + 1] ?? '');
    const held = headers[name];
    headers[name] = held === undefined ? value : `${held},${value}`;
  }
  return headers;
}

function utf8(value: string): string {
  // Node reads header bytes as latin1. Clients send UTF-8 and sign those bytes, so read them as such where they are valid.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: this is the test for "beyond ASCII".
  if (/^[\u0000-\u007f]*$/.test(value)) return value;
  const decoded = Buffer.from(value, 'latin1').toString('utf8');
  return decoded.includes('\ufffd') ? value : decoded;
}

function emptyRecord<T>(): Record<string, T> {
  return Object.create(null);
}
