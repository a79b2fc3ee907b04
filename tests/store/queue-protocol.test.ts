// The queue in the ways of those who use it: batches, long polls, the consumer of npm, errors and signatures as SQS has them.
import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  DeleteQueueCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
} from '@aws-sdk/client-sqs';
import { Consumer } from 'sqs-consumer';
import { describe, expect, it } from 'vitest';
import { counts, fails, one, queue, receive, send, sqs, test } from './queue-client.ts';
import { sendSigned } from './raw-request.ts';

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
