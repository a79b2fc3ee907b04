// Files for people: browsing, and links and forms that need no credentials.
import { createHmac } from 'node:crypto';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { AGENT_OPTIONS, type AwsAccess, awsCall, awsEndpoint, clientConfig } from './aws-call.ts';
import type { FileAccess } from './ports.ts';
import { decodeKey } from './s3-buckets.ts';
import { unquoted } from './s3-head.ts';

/** `now`: milliseconds since 1970. Calls throw Failure `s3_unavailable`; links and forms are made without a call. */
export function createFileAccess(access: AwsAccess & { readonly now: () => number }): FileAccess & { close(): void } {
  const agents = { httpAgent: new HttpAgent(AGENT_OPTIONS), httpsAgent: new HttpsAgent(AGENT_OPTIONS) };
  const endpoint = access.endpoint ?? awsEndpoint('s3', access.region);
  const client = new S3Client({ ...clientConfig(access, agents), endpoint, forcePathStyle: access.endpoint !== undefined });

  const placeOf = (bucket: string): URL => {
    const url = new URL(endpoint);
    if (access.endpoint === undefined) url.hostname = `${bucket}.${url.hostname}`;
    else url.pathname = `/${bucket}`;
    return url;
  };

  return {
    origin: (bucket) => placeOf(bucket).origin,

    list: (bucket, page) =>
      awsCall('s3_unavailable', `List ${bucket}`, page, async (abortSignal) => {
        const output = await client.send(
          new ListObjectsV2Command({
            Bucket: bucket,
            Prefix: page.prefix,
            Delimiter: '/',
            // keys may hold characters that XML cannot
            EncodingType: 'url',
            MaxKeys: page.limit,
            ...(page.next === undefined ? {} : { ContinuationToken: page.next }),
          }),
          { abortSignal },
        );
        return {
          files: (output.Contents ?? []).map((file) => ({
            key: decodeKey(file.Key ?? ''),
            size: file.Size ?? 0,
            etag: unquoted(file.ETag),
            modifiedAt: file.LastModified?.getTime() ?? 0,
          })),
          folders: (output.CommonPrefixes ?? []).map(({ Prefix }) => decodeKey(Prefix ?? '')),
          ...(output.NextContinuationToken === undefined ? {} : { next: output.NextContinuationToken }),
        };
      }),

    link: async (bucket, key, versionId, seconds) =>
      await getSignedUrl(
        client,
        new GetObjectCommand({
          Bucket: bucket,
          Key: key,
          VersionId: versionId,
          // what is in a bucket must not run as a page of this origin
          ResponseContentDisposition: 'attachment',
        }),
        { expiresIn: seconds },
      ),

    form: async (bucket, key, { metadata, maxBytes, seconds, contentType }) => {
      const keys = await client.config.credentials();
      const date = new Date(access.now()).toISOString().replace(/[-:]|\.\d+/g, '');
      const day = date.slice(0, 8);
      const signed: Record<string, string> = {
        key,
        ...Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`x-amz-meta-${name}`, value])),
        ...(contentType === undefined ? {} : { 'Content-Type': contentType }),
        'x-amz-algorithm': 'AWS4-HMAC-SHA256',
        'x-amz-credential': `${keys.accessKeyId}/${day}/${access.region}/s3/aws4_request`,
        'x-amz-date': date,
        ...(keys.sessionToken === undefined ? {} : { 'x-amz-security-token': keys.sessionToken }),
      };
      // S3 refuses every field that no condition names: metadata that is not pinned here is forbidden
      const policy = Buffer.from(
        JSON.stringify({
          expiration: new Date(access.now() + seconds * 1000).toISOString(),
          conditions: [
            { bucket },
            ...Object.entries(signed).map(([name, value]) => ({ [name]: value })),
            ['content-length-range', 0, maxBytes],
          ],
        }),
      ).toString('base64');
      // AWS: "Create a signing key" of Signature Version 4
      const signingKey = [day, access.region, 's3', 'aws4_request'].reduce(hmac, Buffer.from(`AWS4${keys.secretAccessKey}`));
      return { url: placeOf(bucket).href, fields: { ...signed, policy, 'x-amz-signature': hmac(signingKey, policy).toString('hex') } };
    },

    close() {
      client.destroy();
      agents.httpAgent.destroy();
      agents.httpsAgent.destroy();
    },
  };
}

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
