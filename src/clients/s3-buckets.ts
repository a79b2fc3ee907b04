// The calls of the object store that are about whole buckets.
import {
  type BucketLocationConstraint,
  CreateBucketCommand,
  GetBucketVersioningCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { Failure } from '../schema/failures.ts';
import { awsCall } from './aws-call.ts';
import type { CallOptions, ObjectStore } from './ports.ts';
import { NULL_VERSION, unquoted } from './s3-head.ts';

/** Versions or keys of one page; S3 gives no more. */
const PAGE_LIMIT = 1_000;

/** The part of an ObjectStore that lists and sets up buckets. A bucket that does not exist is Failure `not_found`. */
export function bucketCalls(
  client: S3Client,
  region: string,
): Pick<ObjectStore, 'versions' | 'keys' | 'createBucket' | 'setVersioned' | 'versioned' | 'notify'> {
  const bucketCall = <T>(what: string, bucket: string, options: CallOptions, call: (signal: AbortSignal) => Promise<T>): Promise<T> =>
    awsCall('s3_unavailable', `${what} ${bucket}`, options, call, ({ code }, cause) => {
      if (code !== 'NoSuchBucket') return undefined;
      throw new Failure('not_found', `The bucket ${bucket} does not exist in region ${region}.`, { cause });
    });

  return {
    versions: (bucket, page = {}) =>
      bucketCall('List versions of', bucket, page, async (abortSignal) => {
        const from = page.next === undefined ? undefined : readCursor(page.next);
        const output = await client.send(
          new ListObjectVersionsCommand({
            Bucket: bucket,
            // keys may hold characters that XML cannot
            EncodingType: 'url',
            MaxKeys: Math.min(page.limit ?? PAGE_LIMIT, PAGE_LIMIT),
            ...(page.prefix === undefined ? {} : { Prefix: page.prefix }),
            ...(from === undefined ? {} : { KeyMarker: from.key }),
            ...(from?.versionId === undefined ? {} : { VersionIdMarker: from.versionId }),
          }),
          { abortSignal },
        );
        const versions = (output.Versions ?? []).map((version) => ({
          key: decodeKey(version.Key ?? ''),
          versionId: version.VersionId ?? NULL_VERSION,
          etag: unquoted(version.ETag),
          size: version.Size ?? 0,
          modifiedAt: version.LastModified?.getTime() ?? 0,
          latest: version.IsLatest ?? false,
        }));
        if (output.IsTruncated !== true || output.NextKeyMarker === undefined) return { versions };
        const upTo = decodeKey(output.NextKeyMarker);
        return { versions, next: writeCursor(upTo, output.NextVersionIdMarker), upTo };
      }),

    keys: (bucket, page) =>
      bucketCall('List', bucket, page, async (abortSignal) => {
        const output = await client.send(
          new ListObjectsV2Command({
            Bucket: bucket,
            Prefix: page.prefix,
            EncodingType: 'url',
            MaxKeys: Math.min(page.limit ?? PAGE_LIMIT, PAGE_LIMIT),
            ...(page.next === undefined ? {} : { ContinuationToken: page.next }),
          }),
          { abortSignal },
        );
        const keys = (output.Contents ?? []).map(({ Key }) => decodeKey(Key ?? ''));
        return { keys, ...(output.NextContinuationToken === undefined ? {} : { next: output.NextContinuationToken }) };
      }),

    createBucket: (bucket, options = {}) =>
      awsCall(
        's3_unavailable',
        `Create bucket ${bucket}`,
        options,
        async (abortSignal) => {
          // us-east-1 is the one region that refuses to be named here; the SDK's list of regions is never complete, hence the `as`
          const where =
            region === 'us-east-1' ? {} : { CreateBucketConfiguration: { LocationConstraint: region as BucketLocationConstraint } };
          await client.send(new CreateBucketCommand({ Bucket: bucket, ...where }), { abortSignal });
        },
        ({ code }, cause) => {
          if (code === 'BucketAlreadyOwnedByYou') return { value: undefined };
          if (code !== 'BucketAlreadyExists') return undefined;
          throw new Failure('conflict', `The bucket name ${bucket} belongs to another account; take another name.`, { cause });
        },
      ),

    setVersioned: (bucket, options = {}) =>
      bucketCall('Set versioning of', bucket, options, async (abortSignal) => {
        await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }), {
          abortSignal,
        });
      }),

    versioned: (bucket, options = {}) =>
      bucketCall('Get versioning of', bucket, options, async (abortSignal) => {
        const output = await client.send(new GetBucketVersioningCommand({ Bucket: bucket }), { abortSignal });
        return output.Status === 'Enabled';
      }),

    notify: (bucket, queueArn, options = {}) =>
      bucketCall('Set notification of', bucket, options, async (abortSignal) => {
        const NotificationConfiguration = {
          QueueConfigurations: [{ Id: 'autofiles', QueueArn: queueArn, Events: ['s3:ObjectCreated:*' as const] }],
        };
        await client.send(new PutBucketNotificationConfigurationCommand({ Bucket: bucket, NotificationConfiguration }), { abortSignal });
      }),
  };
}

/** A key of a list answer with EncodingType url: form encoding, `+` for a blank (botocore decodes it with unquote_plus). */
export function decodeKey(key: string): string {
  return decodeURIComponent(key.replaceAll('+', ' '));
}

function writeCursor(key: string, versionId: string | undefined): string {
  return JSON.stringify(versionId === undefined ? [key] : [key, versionId]);
}

function readCursor(next: string): { key: string; versionId: string | undefined } {
  const wrong = (cause?: unknown) =>
    new Failure('request_invalid', `The cursor ${JSON.stringify(next)} is not one that versions() returned as next.`, { cause });
  let cursor: unknown;
  try {
    cursor = JSON.parse(next);
  } catch (cause) {
    throw wrong(cause);
  }
  if (!Array.isArray(cursor) || typeof cursor[0] !== 'string') throw wrong();
  return { key: cursor[0], versionId: typeof cursor[1] === 'string' ? cursor[1] : undefined };
}
