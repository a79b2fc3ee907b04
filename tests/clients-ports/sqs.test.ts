// The event queue: what is deleted, what comes again, and how the loops end.
import { describe, expect, it } from 'vitest';
import type { MessageVerdict, QueueMessage } from '../../src/clients/ports.ts';
import { DONE, entriesOf, setup } from './polled-queue.ts';
import { sendJson } from './sqs-stub.ts';

describe('create', () => {
  it('makes the queue when there is none, and tells its URL and ARN', async () => {
    const { queue, stub } = await setup((request, response) => {
      if (request.action === 'GetQueueUrl')
        sendJson(response, 400, { __type: 'com.amazonaws.sqs#QueueDoesNotExist', message: 'no such queue' });
      else if (request.action === 'CreateQueue') sendJson(response, 200, { QueueUrl: 'http://sqs/1/events' });
      else sendJson(response, 200, { Attributes: { QueueArn: 'arn:aws:sqs:us-east-1:1:events' } });
      return true;
    });
    expect(await queue.create('events')).toEqual({ url: 'http://sqs/1/events', arn: 'arn:aws:sqs:us-east-1:1:events' });
    expect(stub.of('CreateQueue')[0]?.body).toMatchObject({ QueueName: 'events', Attributes: { VisibilityTimeout: '30' } });
  });

  it('takes a queue that is there as it is', async () => {
    const { queue, stub } = await setup((request, response) => {
      if (request.action === 'GetQueueUrl') sendJson(response, 200, { QueueUrl: 'http://sqs/1/events' });
      else sendJson(response, 200, { Attributes: { QueueArn: 'arn:aws:sqs:us-east-1:1:events' } });
      return true;
    });
    expect(await queue.create('events')).toEqual({ url: 'http://sqs/1/events', arn: 'arn:aws:sqs:us-east-1:1:events' });
    expect(stub.of('CreateQueue')).toEqual([]);
  });

  it('fails as sqs_unavailable, with the cause, when SQS refuses', async () => {
    const { queue } = await setup((_, response) => {
      sendJson(response, 403, { __type: 'com.amazon.coral.service#AccessDenied', message: 'no' });
      return true;
    });
    await expect(queue.create('events')).rejects.toMatchObject({
      code: 'sqs_unavailable',
      cause: expect.any(Error),
      message: expect.stringContaining('HTTP 403'),
    });
  });
});

describe('drained', () => {
  it.each([
    ['0', '0', '0', true],
    ['1', '0', '0', false],
    ['0', '1', '0', false],
    ['0', '0', '1', false],
  ])('%s waiting, %s in flight, %s delayed: %s', async (visible, hidden, delayed, expected) => {
    const { queue, stub } = await setup((_, response) => {
      const Attributes = {
        ApproximateNumberOfMessages: visible,
        ApproximateNumberOfMessagesNotVisible: hidden,
        ApproximateNumberOfMessagesDelayed: delayed,
      };
      sendJson(response, 200, { Attributes });
      return true;
    });
    expect(await queue.drained(stub.url)).toBe(expected);
  });
});

describe('consume', () => {
  it('polls long, in tens, and hands over id, body, receipt handle and receive count', async () => {
    const { stub, consume } = await setup();
    const { promise: batch, resolve } = Promise.withResolvers<readonly QueueMessage[]>();
    consume(async (messages) => {
      resolve(messages);
      return messages.map(() => DONE);
    });
    stub.send(['{"a":1}'], 2);
    expect(await batch).toEqual([{ id: 'm1', body: '{"a":1}', receiptHandle: 'handle-of-m1', receiveCount: 3 }]);
    expect(stub.of('ReceiveMessage')[0]?.body).toMatchObject({ MaxNumberOfMessages: 10, WaitTimeSeconds: 20, VisibilityTimeout: 30 });
  });

  it('deletes exactly the messages that are done and hides each other one for its time', async () => {
    const { stub, consume, errors } = await setup();
    consume(async (messages) =>
      messages.map((_, i): MessageVerdict => (i % 2 === 0 ? DONE : { done: false, againIn: [0, 1.2, 0, 99_999][i] ?? 0 })),
    );
    stub.send(['a', 'b', 'c', 'd']);
    await stub.until(() => stub.of('DeleteMessageBatch').length === 1 && stub.of('ChangeMessageVisibilityBatch').length === 1);
    expect(entriesOf(stub.of('DeleteMessageBatch')[0])).toEqual([
      { Id: '0', ReceiptHandle: 'handle-of-m1' },
      { Id: '1', ReceiptHandle: 'handle-of-m3' },
    ]);
    expect(entriesOf(stub.of('ChangeMessageVisibilityBatch')[0])).toEqual([
      { Id: '0', ReceiptHandle: 'handle-of-m2', VisibilityTimeout: 2 },
      { Id: '1', ReceiptHandle: 'handle-of-m4', VisibilityTimeout: 43_200 },
    ]);
    expect(errors).toEqual([]);
  });

  it('deletes a message that one batch holds twice', async () => {
    const { stub, consume, errors } = await setup((request, response) => {
      if (request.action !== 'ReceiveMessage' || stub.of('ReceiveMessage').length > 1) return undefined;
      const message = { MessageId: 'same', Body: 'x', MD5OfBody: '9dd4e461268c8034f5c8564e155c67a6' };
      sendJson(response, 200, {
        Messages: [
          { ...message, ReceiptHandle: 'h1' },
          { ...message, ReceiptHandle: 'h2' },
        ],
      });
      return true;
    });
    consume(async (messages) => messages.map(() => DONE));
    await stub.until(() => stub.of('DeleteMessageBatch').length === 1);
    expect(entriesOf(stub.of('DeleteMessageBatch')[0])).toEqual([
      { Id: '0', ReceiptHandle: 'h1' },
      { Id: '1', ReceiptHandle: 'h2' },
    ]);
    expect(errors).toEqual([]);
  });

  it('runs as many polls at once as it has consumers', async () => {
    const { stub, consume } = await setup();
    consume(async (messages) => messages.map(() => DONE), 4);
    await stub.until(() => stub.of('ReceiveMessage').length === 4);
  });

  it('keeps a batch hidden for as long as it is handled', async () => {
    const { stub, consume } = await setup(undefined, { visibility: 2 });
    const { promise: release, resolve } = Promise.withResolvers<void>();
    consume(async (messages) => {
      await release;
      return messages.map(() => DONE);
    });
    stub.send(['slow']);
    await stub.until(() => stub.of('ChangeMessageVisibilityBatch').length === 2);
    expect(entriesOf(stub.of('ChangeMessageVisibilityBatch')[1])).toEqual([
      { Id: 'm1', ReceiptHandle: 'handle-of-m1', VisibilityTimeout: 2 },
    ]);
    resolve();
    await stub.until(() => stub.of('DeleteMessageBatch').length === 1);
  });

  it('tells when the slowest of its loops last got an answer', async () => {
    let clock = 1_000;
    const { stub, consume } = await setup(undefined, { now: () => clock });
    const { promise: handled, resolve } = Promise.withResolvers<void>();
    const consumer = consume(async (messages) => {
      resolve();
      return messages.map(() => DONE);
    });
    expect(consumer.lastPollAt()).toBe(1_000);
    await stub.until(() => stub.of('ReceiveMessage').length === 1);
    clock = 5_000;
    stub.send(['x']);
    await handled;
    expect(consumer.lastPollAt()).toBe(5_000);
  });
});
