// A bucket's files as they stand, one after the other: for taking them away.
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Readable } from 'node:stream';
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { Failure } from '../schema/failures.ts';
import { AGENT_OPTIONS, type AwsAccess, awsCall, awsEndpoint, clientConfig } from './aws-call.ts';
import type { CallOptions } from './ports.ts';
import { decodeKey } from './s3-buckets.ts';
import { meansGone, NULL_VERSION, unquoted } from './s3-head.ts';

/** Milliseconds without a byte after which a download is given up. */
const SILENCE_MS = 60_000;
/** Milliseconds for the first byte, with all tries. */
const OPEN_MS = 60_000;

/** A file in a list; `etag` without quotes. */
export interface ListedFile {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly etag: string;
}

/** A file that is being read. The stream must be read to its end or destroyed. */
export interface OpenedFile {
  readonly body: Readable;
  readonly size: number;
  readonly etag: string;
  readonly versionId: string;
  readonly contentType: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly modifiedAt: number;
}

export interface BucketReader {
  /** All files whose key begins with `prefix`, in key order. Throws Failure `s3_unavailable`. */
  files(bucket: string, prefix: string, signal: AbortSignal): AsyncGenerator<ListedFile>;
  /** The newest version of a file; undefined when it was deleted meanwhile. Throws Failure `s3_unavailable`. */
  open(bucket: string, key: string, options?: CallOptions): Promise<OpenedFile | undefined>;
  /** Gives up the sockets. */
  close(): void;
}

/** Reads the buckets that `access` may read. */
export function createBucketReader(access: AwsAccess): BucketReader {
  const agents = { httpAgent: new HttpAgent(AGENT_OPTIONS), httpsAgent: new HttpsAgent(AGENT_OPTIONS) };
  const endpoint = access.endpoint ?? awsEndpoint('s3', access.region);
  const client = new S3Client({
    ...clientConfig(access, agents, { tryTimeout: SILENCE_MS, silence: SILENCE_MS }),
    endpoint,
    forcePathStyle: access.endpoint !== undefined,
  });
  return {
    async *files(bucket, prefix, signal) {
      let next: string | undefined;
      do {
        const page = await awsCall('s3_unavailable', `List ${bucket}`, { signal }, (abortSignal) =>
          client.send(
            // keys may hold characters that XML cannot
            new ListObjectsV2Command({
              Bucket: bucket,
              Prefix: prefix,
              EncodingType: 'url',
              ...(next === undefined ? {} : { ContinuationToken: next }),
            }),
            { abortSignal },
          ),
        );
        for (const { Key, Size, ETag } of page.Contents ?? []) yield { key: decodeKey(Key ?? ''), size: Size ?? 0, etag: unquoted(ETag) };
        next = page.NextContinuationToken;
      } while (next !== undefined);
    },

    open: (bucket, key, options = {}) =>
      awsCall<OpenedFile | undefined>(
        's3_unavailable',
        `GET ${JSON.stringify(key)} in ${bucket}`,
        { deadline: OPEN_MS, ...options },
        async (abortSignal) => {
          const output = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }), { abortSignal });
          if (output.Body === undefined)
            throw new Failure('s3_unavailable', `GET ${JSON.stringify(key)} in ${bucket}: an answer without a body.`);
          return {
            // on Node the SDK's body is an IncomingMessage
            body: output.Body as Readable,
            size: output.ContentLength ?? 0,
            etag: unquoted(output.ETag),
            versionId: output.VersionId ?? NULL_VERSION,
            contentType: output.ContentType,
            metadata: output.Metadata ?? {},
            modifiedAt: output.LastModified?.getTime() ?? 0,
          };
        },
        ({ status }) => (meansGone(status) ? { value: undefined } : undefined),
      ),

    close() {
      client.destroy();
      agents.httpAgent.destroy();
      agents.httpsAgent.destroy();
    },
  };
}
