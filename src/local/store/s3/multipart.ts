import { announcedChecksum, type Checksum, readAlgorithm } from '../checksums.ts';
import { ACCOUNT_ID } from '../credentials.ts';
import { receiveBody } from '../receive-body.ts';
import { S3Error } from '../s3-error.ts';
import type { Upload } from '../uploads.ts';
import { renderXml } from '../xml.ts';
import { type Answer, bucketOf, param, type S3Context } from './context.ts';
import { readCount, urlEncoder } from './list-parameters.ts';
import { checksumElements, checksumHeaders, readAttributes } from './object-headers.ts';
import { rollUp } from './roll-up.ts';

const XMLNS = 'http://s3.amazonaws.com/doc/2006-03-01/';
const OWNER = { ID: ACCOUNT_ID, DisplayName: 'autofiles-local' };
const MAX_PARTS = 10_000;

/** POST ?uploads: begins an upload. */
export function createUpload(context: S3Context): Answer {
  const { services, headers, key, bucketName } = context;
  const bucket = bucketOf(context);
  const attributes = readAttributes(headers);
  const name = headers['x-amz-checksum-algorithm'];
  const algorithm = name === undefined ? undefined : readAlgorithm(name);
  const checksumType = algorithm && readChecksumType(headers['x-amz-checksum-type'], algorithm);
  const upload = services.uploads.create(bucket, { key, attributes, algorithm, checksumType });
  return {
    status: 200,
    headers: { ...(algorithm && checksumType && { 'x-amz-checksum-algorithm': algorithm, 'x-amz-checksum-type': checksumType }) },
    body: renderXml('InitiateMultipartUploadResult', { '@xmlns': XMLNS, Bucket: bucketName, Key: key, UploadId: upload.id }),
  };
}

function readChecksumType(text: string | undefined, algorithm: Checksum['algorithm']): Checksum['type'] {
  // CRC64NVME knows the whole object only; the others are composite unless said otherwise (S3 user guide, "Checking object integrity").
  const type = text?.toUpperCase() ?? (algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE');
  const possible = algorithm === 'CRC64NVME' ? ['FULL_OBJECT'] : algorithm.startsWith('SHA') ? ['COMPOSITE'] : ['FULL_OBJECT', 'COMPOSITE'];
  if ((type === 'FULL_OBJECT' || type === 'COMPOSITE') && possible.includes(type)) return type;
  throw new S3Error('InvalidRequest', `The ${type} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`);
}

/** The upload that a request names, and the number of the part when it names one. Throws S3Error NoSuchUpload, InvalidArgument. */
export function uploadOf(context: S3Context): Upload {
  return context.services.uploads.get(bucketOf(context), context.key, param(context, 'uploadId') ?? '');
}

/** The part number of a request. */
export function partNumberOf(context: S3Context): number {
  const text = param(context, 'partNumber') ?? '';
  const number = Number(text);
  if (/^\d{1,5}$/.test(text) && number >= 1 && number <= MAX_PARTS) return number;
  throw new S3Error('InvalidArgument', 'Part number must be an integer between 1 and 10000, inclusive', {
    details: { ArgumentName: 'partNumber', ArgumentValue: text },
  });
}

/** PUT ?partNumber&uploadId: takes one part. */
export async function uploadPart(context: S3Context): Promise<Answer> {
  const { services } = context;
  const bucket = bucketOf(context);
  const number = partNumberOf(context);
  const upload = uploadOf(context);
  const announced = announcedChecksum(context.headers)?.algorithm;
  if (upload.algorithm !== undefined && announced !== undefined && announced !== upload.algorithm) {
    throw new S3Error(
      'InvalidRequest',
      `Checksum Type mismatch occurred, expected checksum Type: ${upload.algorithm.toLowerCase()}, actual checksum Type: ${announced.toLowerCase()}`,
    );
  }
  context.welcomeBody();
  const { staged, md5, checksum } = await receiveBody(context, services.blobs, upload.algorithm);
  const etag = md5.toString('hex');
  try {
    services.uploads.putPart(bucket, upload, { number, body: { staged }, size: staged.size, etag, checksum });
  } catch (error) {
    await services.blobs.discard(staged);
    throw error;
  }
  const { 'x-amz-checksum-type': _, ...headers } = checksumHeaders(checksum);
  return { status: 200, headers: { etag: `"${etag}"`, ...headers } };
}

/** DELETE ?uploadId: throws an upload away. */
export function abortUpload(context: S3Context): Answer {
  context.services.uploads.drop(uploadOf(context));
  return { status: 204 };
}

/** GET ?uploadId: the parts that came so far. */
export function listParts(context: S3Context): Answer {
  const upload = uploadOf(context);
  const max = readCount(context, 'max-parts');
  const marker = Number(param(context, 'part-number-marker') ?? 0);
  if (!Number.isInteger(marker) || marker < 0) throw new S3Error('InvalidArgument', 'part-number-marker must be a number');
  const found = context.services.uploads.parts(upload, marker, max + 1);
  const parts = found.slice(0, max);
  const body = renderXml('ListPartsResult', {
    '@xmlns': XMLNS,
    Bucket: context.bucketName,
    Key: upload.key,
    UploadId: upload.id,
    Initiator: OWNER,
    Owner: OWNER,
    StorageClass: upload.attributes.headers['x-amz-storage-class'] ?? 'STANDARD',
    PartNumberMarker: marker,
    NextPartNumberMarker: parts.at(-1)?.number ?? 0,
    MaxParts: max,
    IsTruncated: found.length > max,
    ChecksumAlgorithm: upload.algorithm,
    ChecksumType: upload.checksumType,
    Part: parts.map((part) => ({
      PartNumber: part.number,
      LastModified: new Date(part.modified).toISOString(),
      ETag: `"${part.etag}"`,
      Size: part.size,
      ...checksumElements(part.checksum),
    })),
  });
  return { status: 200, body };
}

/** GET ?uploads: the uploads under way. */
export function listUploads(context: S3Context): Answer {
  const { services, bucketName } = context;
  const bucket = bucketOf(context);
  const encode = urlEncoder(context);
  const max = readCount(context, 'max-uploads');
  const [prefix, delimiter] = [param(context, 'prefix') ?? '', param(context, 'delimiter') ?? ''];
  const keyMarker = param(context, 'key-marker');
  const idMarker = keyMarker === undefined ? undefined : param(context, 'upload-id-marker') || undefined;
  const after = keyMarker === undefined ? undefined : { key: keyMarker, uploadId: idMarker };
  // Uploads under way are few: all of them are read, then rolled up and cut.
  const page = rollUp(services.uploads.list(bucket, { prefix, after, max: -1 }), { prefix, delimiter, max, passed: keyMarker });
  const last = page.last;
  const body = renderXml('ListMultipartUploadsResult', {
    '@xmlns': XMLNS,
    Bucket: bucketName,
    KeyMarker: encode(keyMarker ?? ''),
    UploadIdMarker: idMarker ?? '',
    NextKeyMarker: page.truncated ? encode(last?.key ?? '') : undefined,
    NextUploadIdMarker: page.truncated ? (last?.id ?? '') : undefined,
    Prefix: encode(prefix),
    Delimiter: delimiter === '' ? undefined : encode(delimiter),
    EncodingType: param(context, 'encoding-type'),
    MaxUploads: max,
    IsTruncated: page.truncated,
    Upload: page.entries.map((upload) => ({
      Key: encode(upload.key),
      UploadId: upload.id,
      Initiator: OWNER,
      Owner: OWNER,
      StorageClass: upload.attributes.headers['x-amz-storage-class'] ?? 'STANDARD',
      Initiated: new Date(upload.created).toISOString(),
      ChecksumAlgorithm: upload.algorithm,
      ChecksumType: upload.checksumType,
    })),
    CommonPrefixes: page.prefixes.map((common) => ({ Prefix: encode(common) })),
  });
  return { status: 200, body };
}
