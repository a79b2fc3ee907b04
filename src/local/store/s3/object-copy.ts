import { type ChecksumAlgorithm, readAlgorithm } from '../checksums.ts';
import type { ObjectAttributes } from '../objects.ts';
import { S3Error } from '../s3-error.ts';
import { renderXml } from '../xml.ts';
import { writePrecondition } from './conditions.ts';
import { type Answer, bucketOf, type S3Context } from './context.ts';
import { type CopySource, checkCopySize, digestSegments, findCopySource } from './copy-source.ts';
import { partNumberOf, uploadOf } from './multipart.ts';
import { checksumElements, readAttributes } from './object-headers.ts';
import { cut } from './object-read.ts';

const XMLNS = 'http://s3.amazonaws.com/doc/2006-03-01/';

/** PUT with x-amz-copy-source: the new object shares the bytes of the old one. */
export async function copyObject(context: S3Context): Promise<Answer> {
  const { services, headers, key, requester, bucketName } = context;
  // refused before its source is read
  bucketOf(context);
  const replace = readDirective(headers['x-amz-metadata-directive']);
  const asked = readAttributes(headers);
  const precondition = writePrecondition(headers);
  const source = findCopySource(context);
  const { object } = source;
  checkCopySize(object.size);
  const toItself = source.bucketName === bucketName && object.key === key && !source.named;
  if (toItself && !replace && headers['x-amz-storage-class'] === undefined && headers['x-amz-website-redirect-location'] === undefined) {
    throw new S3Error(
      'InvalidRequest',
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    );
  }
  const { etag, checksum } = await digestOfCopy(context, source);
  const attributes = replace ? asked : inherit(object.attributes, asked);
  const { versionId, modified } = services.objects.put(
    // it may have gone while the source was read
    bucketOf(context),
    { key, body: { segments: object.segments }, etag, size: object.size, attributes: checksum ? { ...attributes, checksum } : attributes },
    { event: 'ObjectCreated:Copy', requester, precondition },
  );
  const body = renderXml('CopyObjectResult', {
    '@xmlns': XMLNS,
    LastModified: iso(modified),
    ETag: `"${etag}"`,
    ...checksumElements(checksum),
    ChecksumType: checksum?.type,
  });
  return { status: 200, headers: { ...sourceHeader(source), ...(versionId !== undefined && { 'x-amz-version-id': versionId }) }, body };
}

function readDirective(directive: string | undefined): boolean {
  if (directive === undefined || directive === 'COPY') return false;
  if (directive === 'REPLACE') return true;
  throw new S3Error('InvalidArgument', 'Unknown metadata directive.', {
    details: { ArgumentName: 'x-amz-metadata-directive', ArgumentValue: directive },
  });
}

// Storage class and redirect are never taken over from the source (S3 API reference, CopyObject).
function inherit(source: ObjectAttributes, asked: ObjectAttributes): ObjectAttributes {
  const headers = { ...source.headers };
  for (const name of ['x-amz-storage-class', 'x-amz-website-redirect-location']) {
    const value = asked.headers[name];
    if (value === undefined) delete headers[name];
    else headers[name] = value;
  }
  return { headers, metadata: source.metadata };
}

// A copy is one piece with a plain MD5 for its ETag, whatever the source was made of.
async function digestOfCopy(context: S3Context, { object }: CopySource) {
  const { checksum: held } = object.attributes;
  const name = context.headers['x-amz-checksum-algorithm'];
  const wanted: ChecksumAlgorithm | undefined = name === undefined ? held?.algorithm : readAlgorithm(name);
  const keep = held?.algorithm === wanted && held?.type !== 'COMPOSITE';
  if (keep && !object.etag.includes('-')) return { etag: object.etag, checksum: held };
  const { md5, checksum } = await digestSegments(context, object.segments, wanted);
  return { etag: md5, checksum };
}

/** PUT ?partNumber&uploadId with x-amz-copy-source: the part shares the bytes of an object, or of a range of it. */
export async function uploadPartCopy(context: S3Context): Promise<Answer> {
  const { services, headers } = context;
  const bucket = bucketOf(context);
  const number = partNumberOf(context);
  const upload = uploadOf(context);
  const source = findCopySource(context);
  const { object } = source;
  const range = readSourceRange(headers['x-amz-copy-source-range'], object.size);
  const size = range.end - range.start;
  checkCopySize(size);
  const segments = cut(object.segments, range);
  const { md5: etag, checksum } = await digestSegments(context, segments, upload.algorithm);
  const modified = services.uploads.putPart(bucket, upload, { number, body: { segments }, size, etag, checksum });
  const body = renderXml('CopyPartResult', {
    '@xmlns': XMLNS,
    LastModified: iso(modified),
    ETag: `"${etag}"`,
    ...checksumElements(checksum),
  });
  return { status: 200, headers: sourceHeader(source), body };
}

function readSourceRange(header: string | undefined, size: number): { start: number; end: number } {
  if (header === undefined) return { start: 0, end: size };
  const match = /^bytes=(\d+)-(\d+)$/.exec(header);
  if (!match || Number(match[1]) > Number(match[2])) {
    throw new S3Error(
      'InvalidArgument',
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
      {
        details: { ArgumentName: 'x-amz-copy-source-range', ArgumentValue: header },
      },
    );
  }
  const end = Number(match[2]) + 1;
  if (end > size) throw new S3Error('InvalidRange', `Range specified is not valid for source object of size: ${size}`);
  return { start: Number(match[1]), end };
}

function sourceHeader({ object, versioned }: CopySource): Record<string, string> {
  return versioned ? { 'x-amz-copy-source-version-id': object.version } : {};
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
