// A resource's bucket from its first day to its last (s3sqs.md §2.5, §2.7).
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import {
  AbortMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutBucketCorsCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketPolicyCommand,
  PutPublicAccessBlockCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { Failure } from '../schema/failures.ts';
import { fitsXml } from '../schema/xml-text.ts';
import type { BucketAdmin } from './addon-ports.ts';
import { AGENT_OPTIONS, type AwsAccess, awsCall, awsEndpoint, clientConfig } from './aws-call.ts';
import type { CallOptions } from './ports.ts';
import { bucketCalls, decodeKey } from './s3-buckets.ts';
import { bucketArn } from './sts.ts';

/** Days after which an upload that was never completed, and a version that was replaced or deleted, goes by itself. */
const TIDY_DAYS = 7;
/** Unfinished uploads that are given up at a time. */
const ABORTS = 100;
/** Milliseconds for one page of deletions, a thousand versions at most. */
const PAGE_DEADLINE_MS = 30_000;

/**
 * A page of any origin may send an upload form: who may upload what is said by the form's signature, which our dashboard and the
 * customers' own pages get from the API, and no cookie goes with it.
 */
const UPLOADS_BY_PAGES = {
  ID: 'autofiles-uploads',
  AllowedOrigins: ['*'],
  AllowedMethods: ['POST'],
  AllowedHeaders: ['*'],
  ExposeHeaders: ['ETag', 'Location', 'x-amz-version-id'],
  MaxAgeSeconds: 3_600,
};

/** The buckets' life on the S3 of `access`. Throws Failure `s3_unavailable`, `not_found` or `conflict`. */
export function createBucketAdmin(access: AwsAccess): BucketAdmin & { dispose(): void } {
  const agents = { httpAgent: new HttpAgent(AGENT_OPTIONS), httpsAgent: new HttpsAgent(AGENT_OPTIONS) };
  const client = new S3Client({
    ...clientConfig(access, agents, { tryTimeout: PAGE_DEADLINE_MS }),
    endpoint: access.endpoint ?? awsEndpoint('s3', access.region),
    forcePathStyle: access.endpoint !== undefined,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  const buckets = bucketCalls(client, access.region);
  const call = (what: string, bucket: string, options: CallOptions, send: (signal: AbortSignal) => Promise<unknown>) =>
    awsCall('s3_unavailable', `${what} ${bucket}`, options, send);
  /** A call on a bucket that may be gone already; undefined then. */
  const ifThere = <T>(what: string, bucket: string, options: CallOptions, send: (signal: AbortSignal) => Promise<T>) =>
    awsCall<T | undefined>('s3_unavailable', `${what} ${bucket}`, options, send, ({ code }) =>
      code === 'NoSuchBucket' ? { value: undefined } : undefined,
    );
  const putPolicy = (bucket: string, statements: readonly unknown[]) =>
    new PutBucketPolicyCommand({ Bucket: bucket, Policy: JSON.stringify({ Version: '2012-10-17', Statement: statements }) });

  return {
    make: async (bucket, options = {}) => {
      await buckets.createBucket(bucket, options);
      await call('Block public access of', bucket, options, (abortSignal) =>
        client.send(
          new PutPublicAccessBlockCommand({
            Bucket: bucket,
            PublicAccessBlockConfiguration: {
              BlockPublicAcls: true,
              IgnorePublicAcls: true,
              BlockPublicPolicy: true,
              RestrictPublicBuckets: true,
            },
          }),
          { abortSignal },
        ),
      );
      await call('Set the policy of', bucket, options, (abortSignal) =>
        client.send(putPolicy(bucket, [tlsOnly(bucket, access.region)]), { abortSignal }),
      );
      await buckets.setVersioned(bucket, options);
      await call('Set the CORS rules of', bucket, options, (abortSignal) =>
        client.send(new PutBucketCorsCommand({ Bucket: bucket, CORSConfiguration: { CORSRules: [UPLOADS_BY_PAGES] } }), { abortSignal }),
      );
      await call('Set the lifecycle of', bucket, options, (abortSignal) =>
        client.send(
          new PutBucketLifecycleConfigurationCommand({
            Bucket: bucket,
            LifecycleConfiguration: {
              Rules: [
                {
                  ID: 'autofiles-tidy',
                  Status: 'Enabled',
                  Filter: { Prefix: '' },
                  AbortIncompleteMultipartUpload: { DaysAfterInitiation: TIDY_DAYS },
                  NoncurrentVersionExpiration: { NoncurrentDays: TIDY_DAYS },
                },
              ],
            },
          }),
          { abortSignal },
        ),
      );
    },

    notify: buckets.notify,

    close: async (bucket, keeper, options = {}) => {
      await ifThere('Close', bucket, options, (abortSignal) =>
        client.send(putPolicy(bucket, [tlsOnly(bucket, access.region), nobodyBut(bucket, access.region, keeper)]), { abortSignal }),
      );
      await ifThere('Stop the events of', bucket, options, (abortSignal) =>
        client.send(new PutBucketNotificationConfigurationCommand({ Bucket: bucket, NotificationConfiguration: {} }), { abortSignal }),
      );
    },

    emptyPage: async (bucket, options = {}) => {
      const within = { deadline: PAGE_DEADLINE_MS, ...options };
      const removed = await ifThere('Empty', bucket, within, async (abortSignal) => {
        const uploads = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, MaxUploads: ABORTS, EncodingType: 'url' }), {
          abortSignal,
        });
        await Promise.all(
          (uploads.Uploads ?? []).map(({ Key, UploadId }) =>
            client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: decodeKey(Key ?? ''), UploadId }), { abortSignal }),
          ),
        );
        const page = await client.send(new ListObjectVersionsCommand({ Bucket: bucket, EncodingType: 'url' }), { abortSignal });
        const found = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].map(({ Key, VersionId }) => ({
          Key: decodeKey(Key ?? ''),
          VersionId,
        }));
        if (found.length === 0) return uploads.Uploads?.length ?? 0;
        // what XML cannot carry would have all of `DeleteObjects` refused; it is named in the path of a call of its own
        const unspeakable = found.filter(({ Key }) => !fitsXml(Key));
        await Promise.all(
          unspeakable.map((object) => client.send(new DeleteObjectCommand({ Bucket: bucket, ...object }), { abortSignal })),
        );
        const rest = found.filter(({ Key }) => fitsXml(Key));
        if (rest.length === 0) return found.length;
        const { Errors: errors = [] } = await client.send(
          new DeleteObjectsCommand({
            Bucket: bucket,
            Delete: { Quiet: true, Objects: rest },
          }),
          { abortSignal },
        );
        // a 200 answer may hold refusals; a page of nothing but refusals would go on for ever
        const [first] = errors;
        if (first !== undefined)
          throw new Failure(
            's3_unavailable',
            `Empty ${bucket}: ${errors.length} of ${rest.length} versions stayed, ${first.Code}: ${first.Message}.`,
          );
        return found.length;
      });
      return removed ?? 0;
    },

    remove: async (bucket, options = {}) => {
      await awsCall(
        's3_unavailable',
        `Remove bucket ${bucket}`,
        options,
        async (abortSignal) => {
          await client.send(new DeleteBucketCommand({ Bucket: bucket }), { abortSignal });
        },
        ({ code }, cause) => {
          if (code === 'NoSuchBucket') return { value: undefined };
          if (code !== 'BucketNotEmpty' && code !== 'OperationAborted') return undefined;
          throw new Failure('conflict', `Remove bucket ${bucket}: ${code}; it is emptied and removed again.`, { cause });
        },
      );
    },

    dispose() {
      client.destroy();
      agents.httpAgent.destroy();
      agents.httpsAgent.destroy();
    },
  };
}

function tlsOnly(bucket: string, region: string) {
  const arn = bucketArn(bucket, region);
  return {
    Sid: 'TlsOnly',
    Effect: 'Deny',
    Principal: '*',
    Action: 's3:*',
    Resource: [arn, `${arn}/*`],
    Condition: { Bool: { 'aws:SecureTransport': 'false' } },
  };
}

function nobodyBut(bucket: string, region: string, keeper: string) {
  const arn = bucketArn(bucket, region);
  return {
    Sid: 'Closed',
    Effect: 'Deny',
    Principal: '*',
    Action: 's3:*',
    Resource: [arn, `${arn}/*`],
    Condition: { ArnNotEquals: { 'aws:PrincipalArn': keeper } },
  };
}
