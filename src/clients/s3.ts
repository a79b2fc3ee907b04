// The object store on @aws-sdk/client-s3.
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, HeadObjectCommand, ListObjectVersionsCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Failure, messageOf } from '../schema/failures.ts';
import { AGENT_OPTIONS, type AwsAccess, awsCall, awsEndpoint, clientConfig, readAwsError } from './aws-call.ts';
import type { ObjectStore } from './ports.ts';
import { bucketCalls } from './s3-buckets.ts';
import { createLeanHead, meansGone, NULL_VERSION, unquoted } from './s3-head.ts';

/** Milliseconds before a HEAD that S3 was too busy to answer is sent again; the SDK's own growing delays follow. */
const BUSY_DELAY_MS = 100;

/** Whether S3's error is about the one object that was asked for and stays: it is in an archive class, or under a key that is not to be used. */
function isOfObject(code: string): boolean {
  return code === 'InvalidObjectState' || code.startsWith('KMS.');
}

/**
 * The objects of all buckets. With `endpoint` the bucket is the first part of the path, else of the host name.
 * Every call ends within its deadline (10 s without one), retries included, and throws Failure `s3_unavailable` with S3's error as its
 * cause when there is no usable answer (403 included: the object may be fine), `s3_refused` when that object will not be given however often it is
 * asked for, or the caller's own abort reason. `close` gives up the sockets.
 */
export function createObjectStore(access: AwsAccess): ObjectStore & { close(): void } {
  const agents = { httpAgent: new HttpAgent(AGENT_OPTIONS), httpsAgent: new HttpsAgent(AGENT_OPTIONS) };
  const pathStyle = access.endpoint !== undefined;
  // always explicit, so that AWS_ENDPOINT_URL of the environment cannot send the two paths of HEAD to different places
  const endpoint = access.endpoint ?? awsEndpoint('s3', access.region);
  const client = new S3Client({
    ...clientConfig(access, agents),
    endpoint,
    forcePathStyle: pathStyle,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  const leanHead = createLeanHead(client, { endpoint, region: access.region, pathStyle, agents });
  const named = (key: string, bucket: string, versionId?: string) =>
    `${JSON.stringify(key)}${versionId === undefined ? '' : ` version ${versionId}`} in ${bucket}`;

  return {
    ...bucketCalls(client, access.region),

    head: (bucket, key, versionId, options = {}) =>
      awsCall(
        's3_unavailable',
        `HEAD ${named(key, bucket, versionId)}`,
        options,
        async (abortSignal) => {
          const answer = await leanHead(bucket, key, versionId, abortSignal);
          if (answer.kind === 'found') return answer.head;
          if (answer.kind === 'gone') return undefined;
          if (answer.status === 429 || (answer.status ?? 0) >= 500) await sleep(BUSY_DELAY_MS, undefined, { signal: abortSignal });
          const output = await client
            .send(new HeadObjectCommand({ Bucket: bucket, Key: key, VersionId: versionId }), { abortSignal })
            .catch(async (error: unknown) => {
              // the answer to a HEAD has no words: where the bucket can be read with the same keys, it is the object that is refused
              if (readAwsError(error).status !== 400) throw error;
              await client.send(new ListObjectVersionsCommand({ Bucket: bucket, MaxKeys: 1 }), { abortSignal });
              throw new Failure(
                's3_refused',
                `HEAD ${named(key, bucket, versionId)}: HTTP 400. Its key may be the customer's own (SSE-C).`,
                {
                  cause: error,
                },
              );
            });
          return {
            versionId: output.VersionId ?? NULL_VERSION,
            etag: unquoted(output.ETag),
            size: output.ContentLength ?? 0,
            metadata: output.Metadata ?? {},
            modifiedAt: output.LastModified?.getTime(),
          };
        },
        ({ status }) => (meansGone(status) ? { value: undefined } : undefined),
      ),

    text: (bucket, key, versionId, maxBytes, options = {}) =>
      awsCall(
        's3_unavailable',
        `GET ${named(key, bucket, versionId)}`,
        options,
        async (abortSignal) => {
          const output = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key, VersionId: versionId }), { abortSignal });
          const tooLarge = (found: string) =>
            new Failure('workflow_too_large', `${named(key, bucket, versionId)} has ${found} bytes, at most ${maxBytes} are read.`);
          const chunks: Uint8Array[] = [];
          let size = 0;
          // AsyncIterable<any> in the SDK's types: on Node the body is an IncomingMessage, whose chunks are buffers
          const body = output.Body as AsyncIterable<Uint8Array> | undefined;
          for await (const chunk of body ?? []) {
            if ((output.ContentLength ?? 0) > maxBytes) throw tooLarge(String(output.ContentLength));
            size += chunk.length;
            if (size > maxBytes) throw tooLarge(`${size} or more`);
            chunks.push(chunk);
          }
          return Buffer.concat(chunks).toString('utf8');
        },
        ({ code, status }, cause) => {
          if (meansGone(status)) return { value: undefined };
          if (!isOfObject(code)) return undefined;
          throw new Failure('s3_refused', `GET ${named(key, bucket, versionId)}: HTTP ${status} ${code}. ${messageOf(cause)}`, { cause });
        },
      ),

    put: (bucket, key, body, details = {}) =>
      awsCall('s3_unavailable', `PUT ${named(key, bucket)}`, details, async (abortSignal) => {
        const order = new PutObjectCommand({
          Bucket: bucket,
          Key: key,
          Body: body,
          ...(details.onlyNew === true ? { IfNoneMatch: '*' } : {}),
          ...(details.contentType === undefined ? {} : { ContentType: details.contentType }),
          ...(details.metadata === undefined ? {} : { Metadata: { ...details.metadata } }),
        });
        const output = await client.send(order, { abortSignal }).catch((error: unknown) => {
          if (error instanceof Error && error.name === 'NoSuchBucket')
            throw new Failure('not_found', `The bucket ${bucket} does not exist.`, { cause: error });
          if (!(error instanceof Error && error.name === 'PreconditionFailed')) throw error;
          throw new Failure('conflict', `${named(key, bucket)} is there already.`, { cause: error });
        });
        return { versionId: output.VersionId ?? NULL_VERSION, etag: unquoted(output.ETag) };
      }),

    close() {
      client.destroy();
      agents.httpAgent.destroy();
      agents.httpsAgent.destroy();
    },
  };
}
