// What a customer's dyno does: works for a while, then saves its proof with the credentials that it was given.
import { createRequire } from 'node:module';

// the image has the SDK; a customer's app would bring its own
const require = createRequire('/opt/autofiles/package.json');
const { PutObjectCommand, S3Client } = require('@aws-sdk/client-s3');
const { task_id: taskId, outputs } = JSON.parse(process.env.line_D);
await new Promise((resolve) => setTimeout(resolve, Number(process.env.WORK_MS ?? 0)));
const client = new S3Client({
  region: process.env.LD_REGION,
  endpoint: process.env.AWS_ENDPOINT_URL_S3,
  forcePathStyle: true,
  credentials: {
    accessKeyId: process.env.LD_AWS_ACCESS_KEY_ID,
    secretAccessKey: process.env.LD_AWS_SECRET_ACCESS_KEY,
    sessionToken: process.env.LD_AWS_SESSION_TOKEN,
  },
});
await client.send(
  new PutObjectCommand({
    Bucket: process.env.LD_S3_BUCKET,
    Key: `out/${taskId}`,
    Body: JSON.stringify(outputs),
    Metadata: { ld_task_id: taskId },
  }),
);
