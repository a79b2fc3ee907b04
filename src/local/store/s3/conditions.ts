import type { ObjectVersion, Precondition } from '../objects.ts';
import { S3Error } from '../s3-error.ts';

/** What the conditional headers of a read come to. */
export type Freshness = 'send' | 'not-modified';

type ConditionHeaders = {
  match?: string | undefined;
  noneMatch?: string | undefined;
  modifiedSince?: string | undefined;
  unmodifiedSince?: string | undefined;
};

/** Judges a GET's or HEAD's conditions in the order of RFC 9110 §13.2.2. Throws S3Error PreconditionFailed. */
export function judgeRead(object: ObjectVersion, headers: Record<string, string>): Freshness {
  return judge(object, {
    match: headers['if-match'],
    noneMatch: headers['if-none-match'],
    modifiedSince: headers['if-modified-since'],
    unmodifiedSince: headers['if-unmodified-since'],
  });
}

/** Judges the `x-amz-copy-source-if-…` conditions. Throws S3Error PreconditionFailed. */
export function judgeCopySource(object: ObjectVersion, headers: Record<string, string>): void {
  const freshness = judge(object, {
    match: headers['x-amz-copy-source-if-match'],
    noneMatch: headers['x-amz-copy-source-if-none-match'],
    modifiedSince: headers['x-amz-copy-source-if-modified-since'],
    unmodifiedSince: headers['x-amz-copy-source-if-unmodified-since'],
  });
  if (freshness === 'not-modified') throw failed('x-amz-copy-source-If-None-Match');
}

function judge(object: ObjectVersion, { match, noneMatch, modifiedSince, unmodifiedSince }: ConditionHeaders): Freshness {
  // Dates in headers have whole seconds.
  const modified = Math.floor(object.modified / 1000) * 1000;
  if (match !== undefined) {
    if (!names(match, object.etag)) throw failed('If-Match');
  } else if (modified > readDate(unmodifiedSince, Number.POSITIVE_INFINITY)) throw failed('If-Unmodified-Since');
  if (noneMatch !== undefined) return names(noneMatch, object.etag) ? 'not-modified' : 'send';
  return modified <= readDate(modifiedSince, Number.NEGATIVE_INFINITY) ? 'not-modified' : 'send';
}

/** The precondition of a write: `If-None-Match: *` and `If-Match`. Undefined when there is none. Throws S3Error NotImplemented for other forms. */
export function writePrecondition(headers: Record<string, string>): Precondition | undefined {
  const match = headers['if-match'];
  const noneMatch = headers['if-none-match'];
  if (noneMatch !== undefined && noneMatch.trim() !== '*') {
    throw new S3Error('NotImplemented', 'A write takes If-None-Match only with the value *.');
  }
  if (match === undefined && noneMatch === undefined) return undefined;
  return (current) => {
    if (noneMatch !== undefined && current) throw failed('If-None-Match');
    if (match === undefined) return;
    if (!current) throw new S3Error('NoSuchKey');
    if (!names(match, current.etag)) throw failed('If-Match');
  };
}

function failed(condition: string): S3Error {
  return new S3Error('PreconditionFailed', undefined, { details: { Condition: condition } });
}

function names(header: string, etag: string): boolean {
  return header.split(',').some((part) => {
    const tag = part.trim().replace(/^W\//, '');
    return tag === '*' || tag.replace(/^"(.*)"$/, '$1') === etag;
  });
}

function readDate(header: string | undefined, otherwise: number): number {
  const time = Date.parse(header ?? '');
  // A date that cannot be read is ignored (RFC 9110 §13.1.3).
  return Number.isNaN(time) ? otherwise : time;
}
