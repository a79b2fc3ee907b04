import {
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  type Message,
  PurgeQueueCommand,
  ReceiveMessageCommand,
  type ReceiveMessageCommandInput,
  SendMessageBatchCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { Consumer } from 'sqs-consumer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sendSigned } from './raw-request.ts';
import { runStore, type TestStore } from './running-store.ts';

let test: TestStore;
let sqs: SQSClient;
let made = 0;

beforeAll(async () => {
  test = await runStore();
  sqs = test.sqs();
});
afterAll(async () => {
  await test.close();
  expect(test.faults).toEqual([]);
});

async function queue(attributes: Record<string, string> = {}): Promise<string> {
  made += 1;
  return (await sqs.send(new CreateQueueCommand({ QueueName: `queue-${made}`, Attributes: attributes }))).QueueUrl ?? '';
}
const send = (QueueUrl: string, MessageBody: string, more: object = {}) =>
  sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, ...more }));
const receive = async (QueueUrl: string, more: Partial<ReceiveMessageCommandInput> = {}) =>
  (await sqs.send(new ReceiveMessageCommand({ QueueUrl, MessageSystemAttributeNames: ['All'], ...more }))).Messages ?? [];
const one = async (QueueUrl: string, more: Partial<ReceiveMessageCommandInput> = {}): Promise<Message> => {
  const [message] = await receive(QueueUrl, { WaitTimeSeconds: 10, ...more });
  if (!message) throw new Error('no message within ten seconds');
  return message;
};
const counts = async (QueueUrl: string) => {
  const { Attributes = {} } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
  const found: Record<string, string> = Attributes;
  return ['', 'NotVisible', 'Delayed'].map((kind) => Number(found[`ApproximateNumberOfMessages${kind}`]));
};
/** Moves the store's clock and the client's with it. */
const advance = (ms: number) => {
  test.clock.offsetMs += ms;
  sqs.config.systemClockOffset = test.clock.offsetMs;
};
const fails = (call: Promise<unknown>) =>
  call.then(
    () => 'succeeded',
    (error: { name: string }) => error.name,
  );

describe('queues', () => {
  it('are made once, found by name, listed and deleted', async () => {
    const url = await queue({ VisibilityTimeout: '45' });
    const name = url.slice(url.lastIndexOf('/') + 1);
    expect((await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes: { VisibilityTimeout: '45' } }))).QueueUrl).toBe(url);
    expect(await fails(sqs.send(new CreateQueueCommand({ QueueName: name, Attributes: { VisibilityTimeout: '46' } })))).toBe(
      'QueueNameExists',
    );
    expect((await sqs.send(new GetQueueUrlCommand({ QueueName: name }))).QueueUrl).toBe(url);
    expect((await sqs.send(new ListQueuesCommand({ QueueNamePrefix: name }))).QueueUrls).toEqual([url]);
    await sqs.send(new DeleteQueueCommand({ QueueUrl: url }));
    expect(await fails(send(url, 'x'))).toBe('QueueDoesNotExist');
  });

  it('keep their attributes, checked', async () => {
    const url = await queue();
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { MessageRetentionPeriod: '1209600', Policy: '{}' } }));
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['MessageRetentionPeriod', 'Policy'] }),
    );
    expect(Attributes).toEqual({ MessageRetentionPeriod: '1209600', Policy: '{}' });
    for (const attributes of [{ VisibilityTimeout: '43201' }, { DelaySeconds: 'x' }, { RedrivePolicy: '{}' }])
      expect(await fails(sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: attributes })))).toBe('InvalidAttributeValue');
    for (const attributes of [{ FifoQueue: 'true' }, { Nonsense: '1' }])
      expect(await fails(sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: attributes })))).toBe('InvalidAttributeName');
  });

  it('and their messages outlive a restart, in flight or not', async () => {
    const url = await queue();
    await sqs.send(new SendMessageBatchCommand({ QueueUrl: url, Entries: ['a', 'b', 'c'].map((Id) => ({ Id, MessageBody: Id })) }));
    const taken = await one(url);
    await test.restart();
    sqs = test.sqs();
    expect(await counts(url)).toEqual([2, 1, 0]);
    await sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: taken.ReceiptHandle }));
    expect(await counts(url)).toEqual([2, 0, 0]);
  });
});

describe('messages', () => {
  it('carry attributes and their checksums', async () => {
    const url = await queue();
    await send(url, 'hello', {
      MessageAttributes: {
        text: { DataType: 'String', StringValue: 'ü' },
        number: { DataType: 'Number', StringValue: '12' },
        binary: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) },
      },
      MessageSystemAttributes: { AWSTraceHeader: { DataType: 'String', StringValue: 'Root=1' } },
    });
    const message = await one(url, { MessageAttributeNames: ['All'] });
    expect(message.Body).toBe('hello');
    expect(message.MessageAttributes?.['text']?.StringValue).toBe('ü');
    expect([...(message.MessageAttributes?.['binary']?.BinaryValue ?? [])]).toEqual([0, 255]);
    expect(message.Attributes).toMatchObject({ ApproximateReceiveCount: '1', AWSTraceHeader: 'Root=1', SenderId: '000000000000' });
    expect(Math.abs(Number(message.Attributes?.SentTimestamp) - Date.now())).toBeLessThan(60_000);
  });

  it('come back when their time is over, with a new handle and a higher count', async () => {
    const url = await queue({ VisibilityTimeout: '30' });
    await send(url, 'again');
    const first = await one(url);
    expect([await receive(url), await counts(url)]).toEqual([[], [0, 1, 0]]);
    advance(30_001);
    const second = await one(url);
    expect([second.MessageId, second.Attributes?.ApproximateReceiveCount]).toEqual([first.MessageId, '2']);
    expect(second.ReceiptHandle).not.toBe(first.ReceiptHandle);
    // The handle of the earlier receive deletes nothing, as on AWS.
    await sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: first.ReceiptHandle }));
    expect(await counts(url)).toEqual([0, 1, 0]);
    await sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: second.ReceiptHandle }));
    expect(await counts(url)).toEqual([0, 0, 0]);
  });

  it('can be kept longer, given back at once, but not once they are visible', async () => {
    const url = await queue({ VisibilityTimeout: '30' });
    await send(url, 'longer');
    const message = await one(url);
    const change = (seconds: number, handle = message.ReceiptHandle) =>
      sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl: url, ReceiptHandle: handle, VisibilityTimeout: seconds }));
    await change(100);
    advance(60_000);
    expect(await receive(url)).toEqual([]);
    await change(0);
    expect(await fails(change(10))).toBe('MessageNotInflight');
    expect((await one(url)).MessageId).toBe(message.MessageId);
    expect(await fails(change(10, 'nonsense'))).toBe('ReceiptHandleIsInvalid');
  });

  it('wait for their delay', async () => {
    const url = await queue();
    await send(url, 'later', { DelaySeconds: 900 });
    expect([await receive(url), await counts(url)]).toEqual([[], [0, 0, 1]]);
    advance(900_001);
    expect((await one(url)).Body).toBe('later');
  });

  it('go to the dead-letter queue after the last allowed receive', async () => {
    const dead = await queue();
    const arn = `arn:aws:sqs:us-east-1:000000000000:${dead.slice(dead.lastIndexOf('/') + 1)}`;
    const url = await queue({ RedrivePolicy: JSON.stringify({ deadLetterTargetArn: arn, maxReceiveCount: 2 }) });
    await send(url, 'poison');
    await send(url, 'poison too');
    for (let n = 0; n < 2; n += 1) {
      expect((await receive(url, { MaxNumberOfMessages: 10 })).length).toBe(2);
      advance(30_001);
    }
    await send(url, 'fresh');
    expect((await receive(url, { MaxNumberOfMessages: 1 })).map((message) => message.Body)).toEqual(['fresh']);
    const buried = await receive(dead, { MaxNumberOfMessages: 10 });
    expect(buried.map((message) => message.Body).sort()).toEqual(['poison', 'poison too']);
    expect(buried[0]?.Attributes?.DeadLetterQueueSourceArn).toContain('queue-');
  });

  it('are forgotten after their retention', async () => {
    const url = await queue({ MessageRetentionPeriod: '60' });
    await send(url, 'old');
    advance(61_000);
    expect(await receive(url)).toEqual([]);
    expect(await counts(url)).toEqual([0, 0, 0]);
  });

  it('are purged', async () => {
    const url = await queue();
    await send(url, 'x');
    await sqs.send(new PurgeQueueCommand({ QueueUrl: url }));
    expect(await counts(url)).toEqual([0, 0, 0]);
  });

  it('are refused when empty, too large or not text', async () => {
    const url = await queue({ MaximumMessageSize: '1024' });
    expect(await fails(send(url, ''))).toBe('InvalidParameterValue');
    expect(await fails(send(url, 'x'.repeat(1025)))).toBe('InvalidParameterValue');
    expect(await fails(send(url, '\u0000'))).toBe('InvalidMessageContents');
  });
});

describe('batches', () => {
  it('succeed and fail entry by entry', async () => {
    const url = await queue({ MaximumMessageSize: '1024' });
    const sent = await sqs.send(
      new SendMessageBatchCommand({
        QueueUrl: url,
        Entries: [
          { Id: 'good', MessageBody: 'good' },
          { Id: 'large', MessageBody: 'x'.repeat(2000) },
        ],
      }),
    );
    expect([sent.Successful?.map((entry) => entry.Id), sent.Failed?.map((entry) => [entry.Id, entry.Code])]).toEqual([
      ['good'],
      [['large', 'InvalidParameterValue']],
    ]);
    const message = await one(url);
    const changed = await sqs.send(
      new ChangeMessageVisibilityBatchCommand({
        QueueUrl: url,
        Entries: [
          { Id: 'a', ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: 60 },
          { Id: 'b', ReceiptHandle: 'nonsense', VisibilityTimeout: 60 },
        ],
      }),
    );
    expect([changed.Successful?.length, changed.Failed?.[0]?.Code]).toEqual([1, 'ReceiptHandleIsInvalid']);
    const deleted = await sqs.send(
      new DeleteMessageBatchCommand({
        QueueUrl: url,
        Entries: [
          { Id: 'a', ReceiptHandle: message.ReceiptHandle },
          { Id: 'b', ReceiptHandle: 'nonsense' },
        ],
      }),
    );
    expect([deleted.Successful?.length, deleted.Failed?.[0]?.Code]).toEqual([1, 'ReceiptHandleIsInvalid']);
    expect(await counts(url)).toEqual([0, 0, 0]);
  });

  it('are refused as a whole when their shape is wrong', async () => {
    const QueueUrl = await queue();
    const batch = (Entries: { Id: string; MessageBody: string }[]) => fails(sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries })));
    const entries = (count: number) => Array.from({ length: count }, (_, n) => ({ Id: `e${n}`, MessageBody: 'x' }));
    expect(await batch([])).toBe('EmptyBatchRequest');
    expect(await batch(entries(11))).toBe('TooManyEntriesInBatchRequest');
    expect(await batch([...entries(1), ...entries(1)])).toBe('BatchEntryIdsNotDistinct');
    expect(await batch([{ Id: 'a b', MessageBody: 'x' }])).toBe('InvalidBatchEntryId');
  });
});

describe('a long poll', () => {
  it('serves those who wait in their order, one message each', async () => {
    const url = await queue();
    const waiting = [0, 1, 2].map(() => receive(url, { WaitTimeSeconds: 20 }));
    await counts(url);
    for (const body of ['a', 'b', 'c']) await send(url, body);
    const came = (await Promise.all(waiting)).map((messages) => messages.map((message) => message.Body));
    expect(came.flat().sort()).toEqual(['a', 'b', 'c']);
    expect(came.every((messages) => messages.length === 1)).toBe(true);
  });

  it('wakes when a delayed message becomes visible', async () => {
    const url = await queue();
    await send(url, 'in a second', { DelaySeconds: 1 });
    expect((await one(url, { WaitTimeSeconds: 20 })).Body).toBe('in a second');
  });

  it('hands nothing to a client that went away', async () => {
    const url = await queue();
    const controller = new AbortController();
    const waiting = sqs.send(new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 20 }), { abortSignal: controller.signal });
    await counts(url);
    controller.abort();
    await expect(waiting).rejects.toThrow();
    await counts(url);
    await send(url, 'kept');
    expect((await one(url)).Attributes?.ApproximateReceiveCount).toBe('1');
  });

  it('ends at once when its queue is removed, for all who wait', async () => {
    const url = await queue();
    const waiting = [0, 1].map(() => fails(receive(url, { WaitTimeSeconds: 20 })));
    await counts(url);
    await sqs.send(new DeleteQueueCommand({ QueueUrl: url }));
    expect(await Promise.all(waiting)).toEqual(['QueueDoesNotExist', 'QueueDoesNotExist']);
  });

  it('ends empty after its time', async () => {
    expect(await receive(await queue(), { WaitTimeSeconds: 1 })).toEqual([]);
  });
});

describe('sqs-consumer', () => {
  it('works through a queue in batches and deletes what it handled', async () => {
    const url = await queue();
    const seen: string[] = [];
    const { promise: all, resolve } = Promise.withResolvers<void>();
    const consumer = Consumer.create({
      queueUrl: url,
      sqs,
      batchSize: 10,
      waitTimeSeconds: 5,
      handleMessageBatch: async (messages) => {
        seen.push(...messages.map((message) => message.Body ?? ''));
        if (seen.length >= 25) resolve();
        return messages;
      },
    });
    const errors: Error[] = [];
    consumer.on('error', (error) => errors.push(error));
    consumer.on('processing_error', (error) => errors.push(error));
    consumer.start();
    for (let n = 0; n < 25; n += 1) await send(url, `${n}`);
    await all;
    const stopped = new Promise<void>((done) => consumer.once('stopped', () => done()));
    consumer.stop();
    await stopped;
    expect(new Set(seen).size).toBe(25);
    expect(errors).toEqual([]);
  });
});

describe('the protocol', () => {
  const call = (target: string, body: string) =>
    sendSigned(test.endpoint, {
      method: 'POST',
      path: '/',
      service: 'sqs',
      time: Date.now() + test.clock.offsetMs,
      headers: { 'x-amz-target': target, 'content-type': 'application/x-amz-json-1.0' },
      body,
    });

  it('names errors as SQS does', async () => {
    const none = await call('AmazonSQS.GetQueueUrl', '{"QueueName":"none"}');
    expect([none.status, JSON.parse(none.text).__type, none.headers['x-amzn-query-error']]).toEqual([
      400,
      'com.amazonaws.sqs#QueueDoesNotExist',
      'AWS.SimpleQueueService.NonExistentQueue;Sender',
    ]);
    expect(JSON.parse((await call('AmazonSQS.AddPermission', '{}')).text).__type).toBe('com.amazonaws.sqs#UnknownOperationException');
    expect(JSON.parse((await call('AmazonSQS.constructor', '{}')).text).__type).toBe('com.amazonaws.sqs#UnknownOperationException');
    expect(JSON.parse((await call('AmazonSQS.SendMessage', '{')).text).__type).toBe('com.amazonaws.sqs#SerializationException');
    expect(JSON.parse((await call('AmazonSQS.SendMessage', '{"QueueUrl":1,"MessageBody":"x"}')).text).message).toContain('/QueueUrl');
  });

  it('verifies the body by its signature', async () => {
    const answer = await sendSigned(test.endpoint, {
      method: 'POST',
      path: '/',
      service: 'sqs',
      time: Date.now() + test.clock.offsetMs,
      headers: { 'x-amz-target': 'AmazonSQS.CreateQueue', 'content-type': 'application/x-amz-json-1.0' },
      body: '{"QueueName":"good"}',
      tamper: (sent) => sent.body.write('{"QueueName":"evil"}'),
    });
    expect([answer.status, JSON.parse(answer.text).__type]).toEqual([403, 'com.amazonaws.sqs#SignatureDoesNotMatch']);
  });
});

it('refuses a dead-letter queue that is the queue itself', async () => {
  const url = await queue();
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['QueueArn'] }));
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: Attributes?.QueueArn, maxReceiveCount: 1 });
  await expect(sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { RedrivePolicy } }))).rejects.toThrow(
    'is the queue itself',
  );
});
