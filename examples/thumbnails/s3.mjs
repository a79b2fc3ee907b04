// The app's bucket through the AWS SDK. The config vars are read at every call: the credentials are temporary.
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';

export function bucketOf(env) {
  const Bucket = env.LD_S3_BUCKET;
  if (!Bucket) throw new Error("LD_S3_BUCKET is not set. Load the app's config vars first, locally by: set -a; . .autofiles/env");
  const client = new S3Client({
    region: env.LD_REGION ?? 'us-east-1',
    credentials: {
      accessKeyId: env.LD_AWS_ACCESS_KEY_ID,
      secretAccessKey: env.LD_AWS_SECRET_ACCESS_KEY,
      sessionToken: env.LD_AWS_SESSION_TOKEN,
    },
    // the SDK follows AWS_ENDPOINT_URL_S3 by itself, but would put the bucket's name before the host's
    forcePathStyle: env.AWS_ENDPOINT_URL_S3 !== undefined,
  });
  return {
    put: async (Key, Body, Metadata = {}, ContentType = 'application/octet-stream') => {
      await client.send(new PutObjectCommand({ Bucket, Key, Body, Metadata, ContentType }));
    },
    get: async (Key, VersionId) => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key, VersionId }));
      return Buffer.from(await Body.transformToByteArray());
    },
  };
}

/** JSON in ASCII, as metadata must be: Grün becomes Gr\u00fcn, the same text to every JSON parser. */
export function asciiJson(value) {
  return JSON.stringify(value).replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
