// An unmodified @aws-sdk v3 in a process that is never restarted: for each line of its input it saves an object of that name, and says by whose key.
// Where its credentials come from stands in the environment alone (AWS_CONTAINER_CREDENTIALS_FULL_URI).
import { createInterface } from 'node:readline';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';

const s3 = new S3Client({ forcePathStyle: true });
for await (const Key of createInterface({ input: process.stdin })) {
  try {
    await s3.send(new PutObjectCommand({ Bucket: process.env.LD_S3_BUCKET, Key, Body: Key }));
    console.log(`saved ${Key} by ${(await s3.config.credentials()).accessKeyId}`);
  } catch (error) {
    console.log(`refused ${Key}: ${error.name}`);
  }
}
