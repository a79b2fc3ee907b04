import { createHash } from 'node:crypto';
import type { Segment } from '../blobs.ts';
import { type Checksum, type ChecksumAlgorithm, startChecksum } from '../checksums.ts';
import { decodePercent } from '../http-request.ts';
import type { ObjectVersion } from '../objects.ts';
import { S3Error } from '../s3-error.ts';
import { judgeCopySource } from './conditions.ts';
import { openBucket, type S3Context } from './context.ts';
import { findReadable } from './object-read.ts';

/** What `x-amz-copy-source` names: an object that the credential may read. `versioned`: its bucket ever had versions. */
export type CopySource = { object: ObjectVersion; bucketName: string; versioned: boolean; named: boolean };

/** AWS' limit for what one copy request may copy. */
const MAX_COPY_BYTES = 5 * 1024 ** 3;

/**
 * Finds the source of a copy and judges its conditions. Throws S3Error: InvalidArgument for a header that names nothing,
 * AccessDenied, NoSuchBucket, NoSuchKey, PreconditionFailed.
 */
export function findCopySource(context: S3Context): CopySource {
  const { headers } = context;
  const header = headers['x-amz-copy-source'] ?? '';
  const [, named = '', versionId] = /^(.*?)(?:\?versionId=([^&]+))?$/s.exec(header) ?? [];
  // Some clients encode the slash between bucket and key too.
  const [, bucketName, key] = /^\/?([^/]+)\/(.+)$/s.exec(decodePercent(named)) ?? [];
  if (!bucketName || !key || bucketName.startsWith('arn:')) {
    throw new S3Error('InvalidArgument', 'Copy Source must mention the source bucket and key: sourcebucket/sourcekey', {
      details: { ArgumentName: 'x-amz-copy-source', ArgumentValue: header },
    });
  }
  const bucket = openBucket(context, bucketName);
  const object = findReadable(context, bucket, key, versionId);
  judgeCopySource(object, headers);
  return { object, bucketName, versioned: bucket.versioning !== undefined, named: versionId !== undefined };
}

/** Refuses a source larger than one copy request may copy. */
export function checkCopySize(size: number): void {
  if (size <= MAX_COPY_BYTES) return;
  throw new S3Error(
    'InvalidRequest',
    `The specified copy source is larger than the maximum allowable size for a copy source: ${MAX_COPY_BYTES}`,
  );
}

/** Reads bytes that the store holds to compute their MD5 (hex) and a checksum. */
export async function digestSegments(
  { services }: S3Context,
  segments: Segment[],
  algorithm: ChecksumAlgorithm | undefined,
): Promise<{ md5: string; checksum: Checksum | undefined }> {
  const md5 = createHash('md5');
  const stream = algorithm && startChecksum(algorithm);
  for await (const bytes of services.blobs.read(segments)) {
    md5.update(bytes);
    stream?.update(bytes);
  }
  return { md5: md5.digest('hex'), checksum: stream && algorithm && { algorithm, value: stream.value(), type: 'FULL_OBJECT' } };
}
