import type { Segment } from '../blobs.ts';
import type { Bucket } from '../buckets.ts';
import type { ObjectVersion } from '../objects.ts';
import { S3Error } from '../s3-error.ts';
import { judgeRead } from './conditions.ts';
import { type Answer, authorize, bucketOf, mayDo, param, type S3Context } from './context.ts';
import { checksumHeaders, httpDate, objectHeaders } from './object-headers.ts';
import { type ByteRange, readRange } from './range.ts';

/** GET of an object: whole, a range or a part, under conditions, of the current or a named version. */
export function getObject(context: S3Context): Answer {
  return readObject(context, true);
}

/** HEAD of an object: the headers of the GET, without its body. */
export function headObject(context: S3Context): Answer {
  return readObject(context, false);
}

function readObject(context: S3Context, withBody: boolean): Answer {
  const { headers, services } = context;
  const bucket = bucketOf(context);
  const object = findReadable(context, bucket, context.key, param(context, 'versionId'));
  if (judgeRead(object, headers) === 'not-modified') {
    const { etag = '', 'last-modified': modified = '' } = objectHeaders(object, bucket.versioning !== undefined);
    return { status: 304, headers: { etag, 'last-modified': modified, ...versionHeader(bucket, object) } };
  }
  const part = partRange(object, param(context, 'partNumber'));
  const range = part?.range ?? readRange(headers['range'], object.size);
  const answered = {
    ...objectHeaders(object, bucket.versioning !== undefined),
    ...overrides(context),
    ...part?.headers,
    ...(!range && headers['x-amz-checksum-mode']?.toUpperCase() === 'ENABLED' && checksumHeaders(object.attributes.checksum)),
    ...(range && { 'content-range': `bytes ${range.start}-${range.end - 1}/${object.size}` }),
    'content-length': String(range ? range.end - range.start : object.size),
  };
  const status = range ? 206 : 200;
  if (!withBody) return { status, headers: answered };
  const segments = range ? cut(object.segments, range) : object.segments;
  const inline = services.blobs.inline(segments);
  const length = range ? range.end - range.start : object.size;
  return { status, headers: answered, body: inline ?? { length, chunks: services.blobs.read(segments) } };
}

/**
 * The version that a read is about; `source` names the bucket and key of a copy. Throws S3Error: AccessDenied, NoSuchKey (with
 * the headers that tell of a delete marker), NoSuchVersion, MethodNotAllowed for a named delete marker.
 */
export function findReadable(
  { services, credential }: S3Context,
  bucket: Bucket,
  key: string,
  versionId: string | undefined,
): ObjectVersion {
  authorize(credential, versionId === undefined ? 's3:GetObject' : 's3:GetObjectVersion', `${bucket.name}/${key}`);
  const object = services.objects.find(bucket, key, versionId);
  if (object && !object.marker) return object;
  // Without the right to list, nobody learns whether a key exists (S3 API reference, GetObject, "Permissions").
  if (!mayDo(credential, 's3:ListBucket', bucket.name)) throw new S3Error('AccessDenied');
  const marker = object && { 'x-amz-delete-marker': 'true', ...versionHeader(bucket, object) };
  if (versionId === undefined) throw new S3Error('NoSuchKey', undefined, { details: { Key: key }, ...(marker && { headers: marker }) });
  if (!object) throw new S3Error('NoSuchVersion', undefined, { details: { Key: key, VersionId: versionId } });
  throw new S3Error('MethodNotAllowed', undefined, {
    details: { Method: 'GET', ResourceType: 'DeleteMarker' },
    headers: { ...marker, allow: 'DELETE', 'last-modified': httpDate(object.modified) },
  });
}

function versionHeader(bucket: Bucket, object: ObjectVersion): Record<string, string> {
  return bucket.versioning === undefined ? {} : { 'x-amz-version-id': object.version };
}

function partRange(object: ObjectVersion, text: string | undefined): { range: ByteRange; headers: Record<string, string> } | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  const { parts = [object.size] } = object.attributes;
  if (!/^\d{1,5}$/.test(text) || number < 1)
    throw new S3Error('InvalidArgument', 'Part number must be an integer between 1 and 10000, inclusive');
  const size = parts[number - 1];
  if (size === undefined)
    throw new S3Error('InvalidPartNumber', undefined, { details: { ActualPartCount: String(parts.length), PartNumberRequested: text } });
  if (!object.attributes.parts) return undefined;
  const start = parts.slice(0, number - 1).reduce((sum, one) => sum + one, 0);
  return { range: { start, end: start + size }, headers: { 'x-amz-mp-parts-count': String(parts.length) } };
}

/** The segments of a range of a body. */
export function cut(segments: Segment[], { start, end }: ByteRange): Segment[] {
  const pieces: Segment[] = [];
  let position = 0;
  for (const [blob, offset, length] of segments) {
    const from = Math.max(start - position, 0);
    const to = Math.min(end - position, length);
    if (from < to) pieces.push([blob, offset + from, to - from]);
    position += length;
  }
  return pieces;
}

const OVERRIDES = ['content-type', 'content-language', 'expires', 'cache-control', 'content-disposition', 'content-encoding'];

function overrides(context: S3Context): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of OVERRIDES) {
    const value = param(context, `response-${name}`);
    if (value === undefined) continue;
    // Query values may hold what a header must not.
    if (!/^[\t\x20-\x7e]*$/.test(value)) throw new S3Error('InvalidArgument', `response-${name} must be printable ASCII`);
    headers[name] = value;
  }
  return headers;
}
