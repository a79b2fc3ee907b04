// A bucket that goes while the body of a request about it still comes: the answer is that there is none, and nothing is written.
import { hash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  GetBucketVersioningCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
} from '@aws-sdk/client-s3';
import { CreateQueueCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type RawAnswer, sign } from './raw-request.ts';
import { runStore, type TestStore } from './running-store.ts';

const BUCKET = 'short-lived';
const QUEUE_ARN = 'arn:aws:sqs:us-east-1:000000000000:told';

let test: TestStore;
beforeEach(async () => {
  test = await runStore();
  await make();
});
afterEach(async () => {
  await test.close();
  expect(test.faults).toEqual([]);
});

const make = async () => {
  await test.s3().send(new CreateBucketCommand({ Bucket: BUCKET }));
  await test.s3().send(new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration: { Status: 'Enabled' } }));
};
const removeBucket = async () => void (await test.s3().send(new DeleteBucketCommand({ Bucket: BUCKET })));

type Call = { method: string; query: string; body: string };
const calls: readonly Call[] = [
  { method: 'PUT', query: 'versioning=', body: '<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>' },
  { method: 'PUT', query: 'policy=', body: '{"Version":"2012-10-17","Statement":[]}' },
  {
    method: 'PUT',
    query: 'cors=',
    body: '<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>POST</AllowedMethod></CORSRule></CORSConfiguration>',
  },
  {
    method: 'PUT',
    query: 'notification=',
    body: `<NotificationConfiguration><QueueConfiguration><Queue>${QUEUE_ARN}</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>`,
  },
  { method: 'POST', query: 'delete=', body: '<Delete><Object><Key>file</Key></Object></Delete>' },
];

/** Sends the body in two pieces; `between` happens when the first is under way and the store reads. */
async function trickle({ method, query, body }: Call, between: () => Promise<void>): Promise<Pick<RawAnswer, 'status' | 'code'>> {
  const path = `/${BUCKET}`;
  const { headers } = sign(test.endpoint, {
    method,
    path,
    query,
    body,
    headers: { 'content-md5': hash('md5', body, 'base64') },
  });
  const { hostname, port } = new URL(test.endpoint);
  return await new Promise((resolve, reject) => {
    const sent = { ...headers, 'content-length': String(Buffer.byteLength(body)), expect: '100-continue' };
    const request = httpRequest({ hostname, port, method, path: `${path}?${query}`, headers: sent, agent: false }, (answer) => {
      answer
        .setEncoding('utf8')
        .toArray()
        .then((pieces) => resolve({ status: answer.statusCode ?? 0, code: /<Code>(\w+)<\/Code>/.exec(pieces.join(''))?.[1] }), reject);
    });
    request.on('error', reject);
    // the store has looked at the request and waits for its body
    request.once('continue', () => {
      request.write(body.slice(0, 9));
      between().then(() => request.end(body.slice(9)), reject);
    });
    request.flushHeaders();
  });
}

/** What the store's file holds of buckets that are gone. */
async function leftovers(): Promise<unknown[]> {
  await test.store.close();
  const file = new DatabaseSync(join(test.dir, 'store.sqlite'), { readOnly: true });
  try {
    return ['bucket_settings', 'versions'].flatMap((table) =>
      file.prepare(`SELECT * FROM ${table} WHERE bucket NOT IN (SELECT id FROM buckets)`).all(),
    );
  } finally {
    file.close();
  }
}

it.each(calls)('$method ?$query finds no bucket, and writes nothing', async (call) => {
  const { QueueUrl } = await test.sqs().send(new CreateQueueCommand({ QueueName: 'told' }));
  expect(await trickle(call, removeBucket)).toEqual({ status: 404, code: 'NoSuchBucket' });
  expect((await test.sqs().send(new ReceiveMessageCommand({ QueueUrl }))).Messages ?? []).toEqual([]);
  expect(await leftovers()).toEqual([]);
});

it.each(calls)('$method ?$query is about the bucket that is there when its body has come', async (call) => {
  await test.sqs().send(new CreateQueueCommand({ QueueName: 'told' }));
  const answer = await trickle(call, async () => {
    await removeBucket();
    await make();
  });
  expect(answer.status).toBeLessThan(300);
  const { Versions = [], DeleteMarkers = [] } = await test.s3().send(new ListObjectVersionsCommand({ Bucket: BUCKET }));
  expect([...Versions, ...DeleteMarkers].map(({ Key }) => Key)).toEqual(call.query === 'delete=' ? ['file'] : []);
  const { Status } = await test.s3().send(new GetBucketVersioningCommand({ Bucket: BUCKET }));
  expect(Status).toBe(call.query === 'versioning=' ? 'Suspended' : 'Enabled');
  expect(await leftovers()).toEqual([]);
});
