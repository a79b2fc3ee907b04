import type { IncomingMessage } from 'node:http';
import type { Blobs } from '../blobs.ts';
import type { Bucket, Buckets } from '../buckets.ts';
import type { Credential } from '../credentials.ts';
import type { Events, Requester } from '../events.ts';
import { queryValue } from '../http-request.ts';
import type { Listing } from '../listing.ts';
import type { Objects } from '../objects.ts';
import type { Queues } from '../queue/queues.ts';
import { receiveText } from '../receive-body.ts';
import { S3Error } from '../s3-error.ts';
import type { PayloadProtection } from '../sigv4.ts';
import type { Uploads } from '../uploads.ts';
import { parseXml } from '../xml.ts';

/** AWS' limit for a key, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1024;

/** What the S3 operations work with. */
export type S3Services = {
  buckets: Buckets;
  objects: Objects;
  listing: Listing;
  uploads: Uploads;
  blobs: Blobs;
  events: Events;
  queues: Queues;
  region: string;
  now: () => number;
};

/** One verified S3 request. */
export type S3Context = {
  services: S3Services;
  req: IncomingMessage;
  method: string;
  /** '' when the request is about no bucket. */
  bucketName: string;
  /** '' when the request is about no object. */
  key: string;
  query: Record<string, string | string[]>;
  /** Lower-case names. Headers that a presigned address carries in its query are among them. */
  headers: Record<string, string>;
  credential: Credential;
  payload: PayloadProtection;
  requester: Requester;
  /** Tells a client that waits for it (Expect: 100-continue) to send the body. To be called before the body is read. */
  welcomeBody: () => void;
};

/** What an operation answers. A body that is neither text nor bytes is streamed and needs its length. */
export type Answer = {
  status: number;
  headers?: Record<string, string>;
  body?: string | Buffer | { length: number; chunks: AsyncGenerator<Buffer, void, void> };
};

/**
 * The bucket of the request. Throws S3Error as `openBucket` does. Who waits in between (for a body) asks again afterwards: by then
 * the bucket may be gone, or be another one of the same name.
 */
export function bucketOf(context: S3Context): Bucket {
  return openBucket(context, context.bucketName);
}

/** A bucket by its name. Throws S3Error NoSuchBucket, or AccessDenied to whom it is no business whether the bucket exists. */
export function openBucket({ services, credential }: S3Context, name: string): Bucket {
  const bucket = services.buckets.find(name);
  if (!bucket && !mayDo(credential, 's3:ListBucket', name)) throw new S3Error('AccessDenied');
  return bucket ?? services.buckets.get(name);
}

/** Throws S3Error KeyTooLongError for a key that AWS does not take. */
export function refuseLongKey(key: string): void {
  const size = Buffer.byteLength(key);
  if (size <= MAX_KEY_BYTES) return;
  throw new S3Error('KeyTooLongError', undefined, { details: { Size: String(size), MaxSizeAllowed: String(MAX_KEY_BYTES) } });
}

/** The first value of a query parameter. */
export function param(context: S3Context, name: string): string | undefined {
  return queryValue(context.query, name);
}

/** Throws S3Error AccessDenied when the credential may not do this. A resource is `bucket` or `bucket/key`. */
export function authorize(credential: Credential, action: string, resource: string): void {
  if (mayDo(credential, action, resource)) return;
  throw new S3Error(
    'AccessDenied',
    `User: ${credential.arn} is not authorized to perform: ${action} on resource: "arn:aws:s3:::${resource}"`,
  );
}

/** Whether the credential may do this. */
export function mayDo(credential: Credential, action: string, resource: string): boolean {
  return credential.root || credential.policy.allows(action, `arn:aws:s3:::${resource}`);
}

/** Reads the request's body as an XML document. Throws S3Error MalformedXML; `required` refuses a body without any checksum. */
export async function readXmlBody(context: S3Context, options: { limit: number; digestRequired?: boolean }): Promise<unknown> {
  context.welcomeBody();
  const { text, digested } = await receiveText(context, options.limit);
  if (options.digestRequired && !digested) {
    throw new S3Error('InvalidRequest', 'Missing required header for this request: Content-MD5 OR x-amz-checksum-*');
  }
  const document = parseXml(text);
  if (document === undefined) throw new S3Error('MalformedXML');
  return document;
}
