import { S3Error } from '../s3-error.ts';

/** The bytes to send, `end` exclusive. */
export type ByteRange = { start: number; end: number };

/**
 * Reads a Range header against a size. Undefined when the whole is to be sent: no header, a form that S3 ignores (several
 * ranges, another unit, last before first). Throws S3Error InvalidRange when no byte of it exists.
 */
export function readRange(header: string | undefined, size: number): ByteRange | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  if (!match) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  if (start < end) return { start, end };
  throw new S3Error('InvalidRange', undefined, {
    details: { RangeRequested: header ?? '', ActualObjectSize: String(size) },
    headers: { 'content-range': `bytes */${size}` },
  });
}
