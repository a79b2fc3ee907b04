import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  type Event,
  GetBucketNotificationConfigurationCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type QueueConfiguration,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sendSigned } from './raw-request.ts';
import { runStore, type TestStore } from './running-store.ts';

const BUCKET = 'event-bucket';
let test: TestStore;
let s3: S3Client;
let sqs: SQSClient;
let queueUrl: string;
let queueArn: string;
let queues = 0;

beforeAll(async () => {
  test = await runStore();
  s3 = test.s3();
  sqs = test.sqs();
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  await s3.send(new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration: { Status: 'Enabled' } }));
});
afterAll(async () => {
  await test.close();
  expect(test.faults).toEqual([]);
});
beforeEach(async () => {
  queues += 1;
  queueUrl = (await sqs.send(new CreateQueueCommand({ QueueName: `events-${queues}` }))).QueueUrl ?? '';
  queueArn =
    (await sqs.send(new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['QueueArn'] }))).Attributes?.['QueueArn'] ?? '';
});

async function subscribe(...configurations: Partial<QueueConfiguration>[]): Promise<void> {
  const QueueConfigurations = configurations.map((one) => ({ QueueArn: queueArn, Events: ['s3:ObjectCreated:*'] as Event[], ...one }));
  await s3.send(new PutBucketNotificationConfigurationCommand({ Bucket: BUCKET, NotificationConfiguration: { QueueConfigurations } }));
  if (configurations.length > 0) expect((await take()).Event).toBe('s3:TestEvent');
}

/** The next message's body, deleted. */
async function take() {
  const { Messages } = await sqs.send(new ReceiveMessageCommand({ QueueUrl: queueUrl, WaitTimeSeconds: 10 }));
  const [message] = Messages ?? [];
  if (!message) throw new Error('no message came within ten seconds');
  await sqs.send(new DeleteMessageCommand({ QueueUrl: queueUrl, ReceiptHandle: message.ReceiptHandle }));
  return JSON.parse(message.Body ?? '');
}
const nextRecord = async () => (await take()).Records[0];
const counts = async () => {
  const { Attributes = {} } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['All'] }));
  return [Attributes['ApproximateNumberOfMessages'], Attributes['ApproximateNumberOfMessagesDelayed']].map(Number);
};
const put = (key: string, body = 'body') => s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: key, Body: body }));

describe('an event', () => {
  it('has the shape of version 2.1, its key form-encoded, its version named', async () => {
    await subscribe({ Id: 'all' });
    const { VersionId, ETag } = await put('in/red flower+ü&=.jpg', 'hello');
    expect(await nextRecord()).toEqual({
      eventVersion: '2.1',
      eventSource: 'aws:s3',
      awsRegion: 'us-east-1',
      eventTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      eventName: 'ObjectCreated:Put',
      userIdentity: { principalId: '000000000000' },
      requestParameters: { sourceIPAddress: '127.0.0.1' },
      responseElements: { 'x-amz-request-id': expect.stringMatching(/^[0-9A-F]{16}$/), 'x-amz-id-2': expect.any(String) },
      s3: {
        s3SchemaVersion: '1.0',
        configurationId: 'all',
        bucket: { name: BUCKET, ownerIdentity: { principalId: expect.any(String) }, arn: `arn:aws:s3:::${BUCKET}` },
        object: {
          key: 'in/red+flower%2B%C3%BC%26%3D.jpg',
          size: 5,
          eTag: ETag?.replaceAll('"', ''),
          versionId: VersionId,
          sequencer: expect.stringMatching(/^[0-9A-F]{18}$/),
        },
      },
    });
  });

  it('tells how the object was made or removed', async () => {
    await subscribe({ Events: ['s3:ObjectCreated:*', 's3:ObjectRemoved:*'] });
    const { VersionId } = await put('made');
    await s3.send(new CopyObjectCommand({ Bucket: BUCKET, Key: 'copied', CopySource: `${BUCKET}/made` }));
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket: BUCKET, Key: 'parts' }));
    const { ETag } = await s3.send(new UploadPartCommand({ Bucket: BUCKET, Key: 'parts', UploadId, PartNumber: 1, Body: 'x' }));
    await s3.send(
      new CompleteMultipartUploadCommand({ Bucket: BUCKET, Key: 'parts', UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }),
    );
    const marker = await s3.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: 'made' }));
    await s3.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: 'made', VersionId }));
    const records = [];
    for (let n = 0; n < 5; n += 1) records.push(await nextRecord());
    expect(records.map((record) => [record.eventName, record.s3.object.key])).toEqual([
      ['ObjectCreated:Put', 'made'],
      ['ObjectCreated:Copy', 'copied'],
      ['ObjectCreated:CompleteMultipartUpload', 'parts'],
      ['ObjectRemoved:DeleteMarkerCreated', 'made'],
      ['ObjectRemoved:Delete', 'made'],
    ]);
    expect(records.map((record) => record.s3.object.versionId)).toEqual([
      VersionId,
      expect.any(String),
      expect.any(String),
      marker.VersionId,
      VersionId,
    ]);
    expect(records[3].s3.object.size).toBeUndefined();
  });

  it('is sent for keys that pass the filter only', async () => {
    await subscribe(
      {
        Id: 'pictures',
        Filter: {
          Key: {
            FilterRules: [
              { Name: 'prefix', Value: 'in/' },
              { Name: 'suffix', Value: '.jpg' },
            ],
          },
        },
      },
      { Id: 'others', Filter: { Key: { FilterRules: [{ Name: 'prefix', Value: 'other/' }] } } },
    );
    for (const key of ['in/a.txt', 'out/a.jpg', 'in/a.jpg']) await put(key);
    const record = await nextRecord();
    expect([record.s3.configurationId, record.s3.object.key]).toEqual(['pictures', 'in/a.jpg']);
    expect(await counts()).toEqual([0, 0]);
  });

  it('is sent no more once the configuration is emptied, and reported as it was put', async () => {
    await subscribe({ Id: 'x', Filter: { Key: { FilterRules: [{ Name: 'prefix', Value: 'a b/' }] } } });
    const shown = await s3.send(new GetBucketNotificationConfigurationCommand({ Bucket: BUCKET }));
    expect(shown.QueueConfigurations).toEqual([
      {
        Id: 'x',
        QueueArn: queueArn,
        Events: ['s3:ObjectCreated:*'],
        Filter: { Key: { FilterRules: [{ Name: 'prefix', Value: 'a b/' }] } },
      },
    ]);
    await subscribe();
    await put('a b/c');
    expect((await s3.send(new GetBucketNotificationConfigurationCommand({ Bucket: BUCKET }))).QueueConfigurations).toBeUndefined();
    expect(await counts()).toEqual([0, 0]);
  });

  it('numbers the writes of a key in their order, across restarts too', async () => {
    await subscribe({});
    const sequencers: string[] = [];
    for (let n = 0; n < 6; n += 1) {
      if (n === 3) {
        // A clock that jumped back must not turn the order round.
        test.clock.offsetMs = -3_600_000;
        await test.restart();
        s3 = test.s3();
        sqs = test.sqs();
        s3.config.systemClockOffset = test.clock.offsetMs;
        sqs.config.systemClockOffset = test.clock.offsetMs;
      }
      await put('numbered', `${n}`);
      sequencers.push((await nextRecord()).s3.object.sequencer);
    }
    test.clock.offsetMs = 0;
    [s3, sqs] = [test.s3(), test.sqs()];
    expect(sequencers).toEqual([...sequencers].sort());
    expect(new Set(sequencers).size).toBe(6);
  });

  it('is not sent for a write that was refused', async () => {
    await subscribe({});
    await put('exists');
    await nextRecord();
    await expect(s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'exists', Body: 'x', IfNoneMatch: '*' }))).rejects.toThrow();
    await sendSigned(test.endpoint, {
      method: 'PUT',
      path: `/${BUCKET}/bad`,
      body: 'x',
      headers: { 'content-md5': '1B2M2Y8AsgTpgAmY7PhCfg==' },
    });
    expect(await counts()).toEqual([0, 0]);
  });
});

describe('a configuration', () => {
  it('is refused when it names a queue that is not there, an unknown event, or overlaps', async () => {
    const attempt = (...QueueConfigurations: QueueConfiguration[]) =>
      s3.send(new PutBucketNotificationConfigurationCommand({ Bucket: BUCKET, NotificationConfiguration: { QueueConfigurations } })).then(
        () => 'taken',
        (error: { name: string }) => error.name,
      );
    const one = { QueueArn: queueArn, Events: ['s3:ObjectCreated:*'] as Event[] };
    const keyed = (Name: 'prefix' | 'suffix', Value: string) => ({ Filter: { Key: { FilterRules: [{ Name, Value }] } } });
    expect(await attempt({ ...one, QueueArn: 'arn:aws:sqs:us-east-1:000000000000:nowhere' })).toBe('InvalidArgument');
    expect(await attempt({ ...one, Events: ['s3:ReducedRedundancyLostObject'] })).toBe('InvalidArgument');
    expect(await attempt(one, { ...one, Events: ['s3:ObjectCreated:Put'] })).toBe('InvalidArgument');
    expect(await attempt({ ...one, ...keyed('prefix', 'a') }, { ...one, ...keyed('prefix', 'ab') })).toBe('InvalidArgument');
    expect(await attempt({ ...one, ...keyed('prefix', 'a') }, { ...one, ...keyed('prefix', 'b') })).toBe('taken');
    const topic =
      '<NotificationConfiguration><TopicConfiguration><Topic>arn</Topic><Event>s3:ObjectCreated:*</Event></TopicConfiguration></NotificationConfiguration>';
    const answer = await sendSigned(test.endpoint, { method: 'PUT', path: `/${BUCKET}`, query: 'notification=', body: topic });
    expect([answer.status, answer.code]).toEqual([501, 'NotImplemented']);
    await subscribe();
  });
});

describe('the chaos switch', () => {
  const turn = async (settings: object) => {
    const answer = await sendSigned(test.endpoint, { method: 'PUT', path: '/_autofiles/chaos', body: JSON.stringify(settings) });
    expect([answer.status, JSON.parse(answer.text)]).toEqual([200, settings]);
  };

  it('duplicates events', async () => {
    await subscribe({});
    await turn({ duplicate: 1 });
    await put('doubled');
    const [first, second] = [await nextRecord(), await nextRecord()];
    expect(second).toEqual(first);
    await turn({});
  });

  it('delays events, which count as delayed and outlive a restart', async () => {
    await subscribe({});
    await turn({ delay_ms: 60_000 });
    await put('delayed');
    expect(await counts()).toEqual([0, 1]);
    await test.restart();
    [s3, sqs] = [test.s3(), test.sqs()];
    expect(await counts()).toEqual([0, 1]);
    test.clock.offsetMs = 61_000;
    sqs.config.systemClockOffset = 61_000;
    expect((await nextRecord()).s3.object.key).toBe('delayed');
    test.clock.offsetMs = 0;
    sqs.config.systemClockOffset = 0;
  });

  it('lets later events overtake earlier ones, and loses none', async () => {
    await subscribe({});
    await turn({ reorder: 0.5 });
    const keys = Array.from({ length: 30 }, (_, n) => `reordered/${String(n).padStart(2, '0')}`);
    for (const key of keys) await put(key);
    const came: string[] = [];
    while (came.length < keys.length) came.push((await nextRecord()).s3.object.key);
    expect(came).not.toEqual(keys);
    expect([...came].sort()).toEqual(keys);
    await turn({});
  });

  it('refuses settings that make no sense, and shows the current ones', async () => {
    await turn({ delay_ms: [10, 20] });
    for (const body of ['{"duplicate":2}', '{"delay":1}', 'x', '{"delay_ms":[1]}']) {
      const answer = await sendSigned(test.endpoint, { method: 'PUT', path: '/_autofiles/chaos', body });
      expect([body, answer.status, answer.code]).toEqual([body, 400, 'InvalidArgument']);
    }
    expect((await sendSigned(test.endpoint, { path: '/_autofiles/chaos' })).text).toBe('{"delay_ms":[10,20]}');
    await turn({});
  });
});

describe('a long poll', () => {
  it('wakes at once on a new event', async () => {
    await subscribe({});
    const controller = new AbortController();
    const waiting = sqs.send(new ReceiveMessageCommand({ QueueUrl: queueUrl, WaitTimeSeconds: 20 }), { abortSignal: controller.signal });
    // The write is sent only when the poll has surely been taken: the store answers a second request after it.
    await counts();
    await put('waking');
    const { Messages } = await waiting;
    expect(JSON.parse(Messages?.[0]?.Body ?? '').Records[0].s3.object.key).toBe('waking');
  });
});
