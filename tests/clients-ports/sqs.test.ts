// The event queue: what is deleted, what comes again, and how the loops end.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import type { MessageVerdict, QueueMessage } from '../../src/clients/ports.ts';
import { createEventQueue } from '../../src/clients/sqs.ts';
import { type Interference, sendJson, startSqsStub } from './sqs-stub.ts';

const DONE: MessageVerdict = { done: true };
const DEADLINE = 10_000;

const closers: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function setup(interfere?: Interference, options: { visibility?: number; now?: () => number } = {}) {
  const stub = await startSqsStub(interfere);
  const queue = createEventQueue({
    endpoint: stub.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
    now: () => Date.now(),
    ...options,
  });
  closers.push(async () => {
    queue.close();
    await stub.close();
  });
  const errors: unknown[] = [];
  const consume = (onBatch: (messages: readonly QueueMessage[]) => Promise<readonly MessageVerdict[]>, consumers = 1) => {
    const consumer = queue.consume(stub.url, { consumers, onBatch, onError: (error) => errors.push(error) });
    closers.push(() => consumer.stop(DEADLINE));
    return consumer;
  };
  return { stub, queue, errors, consume };
}

const entriesOf = (request: { body: Record<string, unknown> } | undefined) => request?.body['Entries'];

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

describe('when something fails', () => {
  it('a handler that throws: nothing is deleted, each message is hidden the longer the oftener it came, and polling goes on', async () => {
    const { stub, consume, errors } = await setup();
    const fault = new Error('Redis is away');
    let calls = 0;
    consume(async (messages) => {
      calls += 1;
      if (calls <= 2) throw fault;
      return messages.map(() => DONE);
    });
    stub.send(['a'], 0);
    await stub.until(() => stub.of('ChangeMessageVisibilityBatch').length === 1);
    stub.send(['b'], 3);
    await stub.until(() => stub.of('ChangeMessageVisibilityBatch').length === 2);
    expect(stub.of('DeleteMessageBatch')).toEqual([]);
    expect(stub.of('ChangeMessageVisibilityBatch').map(entriesOf)).toEqual([
      [{ Id: '0', ReceiptHandle: 'handle-of-m1', VisibilityTimeout: 5 }],
      [{ Id: '0', ReceiptHandle: 'handle-of-m2', VisibilityTimeout: 40 }],
    ]);
    expect(errors).toEqual([fault, fault]);
    stub.send(['c']);
    await stub.until(() => stub.of('DeleteMessageBatch').length === 1);
  });

  it('verdicts that do not match the messages: nothing is deleted', async () => {
    const { stub, consume, errors } = await setup();
    consume(async () => [DONE]);
    stub.send(['a', 'b']);
    await stub.until(() => stub.of('ChangeMessageVisibilityBatch').length === 1);
    expect(stub.of('DeleteMessageBatch')).toEqual([]);
    expect(errors).toMatchObject([{ code: 'internal', message: expect.stringContaining('1 verdicts for 2 messages') }]);
  });

  it('entries of a delete that SQS fails are sent again, those alone', async () => {
    const { stub, consume, errors } = await setup((request, response) => {
      if (request.action !== 'DeleteMessageBatch' || stub.of('DeleteMessageBatch').length > 1) return undefined;
      sendJson(response, 200, { Successful: [{ Id: '0' }, { Id: '2' }], Failed: [{ Id: '1', Code: 'InternalError', SenderFault: false }] });
      return true;
    });
    consume(async (messages) => messages.map(() => DONE));
    stub.send(['a', 'b', 'c']);
    await stub.until(() => stub.of('DeleteMessageBatch').length === 2);
    expect(entriesOf(stub.of('DeleteMessageBatch')[1])).toEqual([{ Id: '0', ReceiptHandle: 'handle-of-m2' }]);
    expect(errors).toEqual([]);
  });

  it('entries that stay undeleted are left to come again and reported; a receipt handle that is no longer valid is not tried again', async () => {
    let fault = { Code: 'InternalError', SenderFault: false };
    const { stub, consume, errors } = await setup((request, response) => {
      if (request.action !== 'DeleteMessageBatch') return undefined;
      sendJson(response, 200, { Successful: [], Failed: [{ Id: '0', ...fault }] });
      return true;
    });
    const consumer = consume(async (messages) => messages.map(() => DONE));
    stub.send(['a']);
    await stub.until(() => stub.of('DeleteMessageBatch').length === 3);
    fault = { Code: 'ReceiptHandleIsInvalid', SenderFault: true };
    stub.send(['b']);
    await stub.until(() => stub.of('DeleteMessageBatch').length === 4);
    await consumer.stop(DEADLINE);
    expect(stub.of('DeleteMessageBatch')).toHaveLength(4);
    expect(errors).toMatchObject([
      { code: 'sqs_unavailable', message: expect.stringContaining('InternalError') },
      { code: 'sqs_unavailable', message: expect.stringContaining('ReceiptHandleIsInvalid') },
    ]);
  });

  it('polls that fail come further and further apart, are reported, and recover', async () => {
    const { stub, consume, errors } = await setup((request, response) => {
      if (request.action !== 'ReceiveMessage' || stub.of('ReceiveMessage').length > 4) return undefined;
      sendJson(response, 500, { __type: 'com.amazonaws.sqs#InternalFailure', message: 'oops' });
      return true;
    });
    const { promise: handled, resolve } = Promise.withResolvers<void>();
    consume(async (messages) => {
      resolve();
      return messages.map(() => DONE);
    });
    stub.send(['a']);
    await handled;
    const times = stub.of('ReceiveMessage').map(({ at }) => at);
    const gaps = times.slice(1).map((at, i) => at - (times[i] ?? 0));
    // a lower bound holds on any machine: timers do not fire early by more than rounding
    for (const [i, least] of [100, 200, 400, 800].entries()) expect(gaps[i]).toBeGreaterThan(least - 5);
    expect(errors).toHaveLength(4);
    expect(errors[0]).toMatchObject({ code: 'sqs_unavailable', message: expect.stringContaining('HTTP 500') });
  });

  it.each([
    [403, 'AccessDenied'],
    [400, 'QueueDoesNotExist'],
  ])('%d %s on a poll is backed off like any other fault', async (status, code) => {
    const { stub, consume, errors } = await setup((request, response) => {
      if (request.action !== 'ReceiveMessage' || stub.of('ReceiveMessage').length > 1) return undefined;
      sendJson(response, status, { __type: `com.amazonaws.sqs#${code}`, message: 'no' });
      return true;
    });
    consume(async (messages) => messages.map(() => DONE));
    await stub.until(() => stub.of('ReceiveMessage').length === 2);
    expect(errors).toMatchObject([{ code: 'sqs_unavailable', message: expect.stringContaining(code) }]);
  });
});

describe('stop', () => {
  it('ends a long poll at once and reports nothing', async () => {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const { stub, consume, errors } = await setup((request, response) => {
      if (request.action === 'ReceiveMessage') response.once('close', () => resolve());
      return undefined;
    });
    const consumer = consume(async (messages) => messages.map(() => DONE));
    await stub.until(() => stub.of('ReceiveMessage').length === 1);
    await consumer.stop(DEADLINE);
    await closed;
    expect(stub.of('ReceiveMessage')).toHaveLength(1);
    expect(errors).toEqual([]);
  });

  it('ends a loop that is backing off, without one more poll', async () => {
    const { stub, consume } = await setup((request, response) => {
      if (request.action === 'ReceiveMessage') sendJson(response, 500, {});
      return request.action === 'ReceiveMessage';
    });
    const consumer = consume(async (messages) => messages.map(() => DONE));
    await stub.until(() => stub.of('ReceiveMessage').length === 3);
    await consumer.stop(DEADLINE);
    expect(stub.of('ReceiveMessage')).toHaveLength(3);
  });

  it('waits for the batch in flight and for its delete, which it does not abort', async () => {
    const { promise: deleting, resolve: deleteArrived } = Promise.withResolvers<() => void>();
    const { stub, consume, errors } = await setup((request, response) => {
      if (request.action !== 'DeleteMessageBatch') return undefined;
      deleteArrived(() => sendJson(response, 200, { Successful: [{ Id: '0' }], Failed: [] }));
      return true;
    });
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const { promise: release, resolve: finish } = Promise.withResolvers<void>();
    const consumer = consume(async (messages) => {
      begin();
      await release;
      return messages.map(() => DONE);
    });
    stub.send(['a']);
    await begun;
    let stopped = false;
    const stop = consumer.stop(DEADLINE).then(() => {
      stopped = true;
    });
    finish();
    const answerDelete = await deleting;
    expect(stopped).toBe(false);
    answerDelete();
    await stop;
    expect(errors).toEqual([]);
    expect(stub.of('DeleteMessageBatch')).toHaveLength(1);
    expect(stub.of('ReceiveMessage')).toHaveLength(1);
  });

  it('gives back at once what was handed out but not yet begun', async () => {
    let arm: (() => void) | undefined;
    const { stub, consume } = await setup(undefined, {
      // the clock is read between the answer and the handler
      now: () => {
        arm?.();
        return 0;
      },
    });
    let batches = 0;
    const consumer = consume(async (messages) => {
      batches += 1;
      return messages.map(() => DONE);
    });
    await stub.until(() => stub.of('ReceiveMessage').length === 1);
    const { promise: stopped, resolve } = Promise.withResolvers<Promise<void>>();
    arm = () => resolve(consumer.stop(DEADLINE));
    stub.send(['a', 'b']);
    await stopped;
    expect(batches).toBe(0);
    expect(stub.of('DeleteMessageBatch')).toEqual([]);
    expect(stub.of('ChangeMessageVisibilityBatch').map(entriesOf)).toEqual([
      [
        { Id: '0', ReceiptHandle: 'handle-of-m1', VisibilityTimeout: 0 },
        { Id: '1', ReceiptHandle: 'handle-of-m2', VisibilityTimeout: 0 },
      ],
    ]);
  });

  it('gives up at its deadline when a handler hangs; the batch still settles when it ends', async () => {
    const { stub, consume } = await setup();
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const { promise: release, resolve: finish } = Promise.withResolvers<void>();
    const consumer = consume(async (messages) => {
      begin();
      await release;
      return messages.map(() => DONE);
    });
    stub.send(['a']);
    await begun;
    await consumer.stop(50);
    expect(stub.of('DeleteMessageBatch')).toEqual([]);
    finish();
    await stub.until(() => stub.of('DeleteMessageBatch').length === 1);
  });

  it('can be called twice', async () => {
    const { consume } = await setup();
    const consumer = consume(async (messages) => messages.map(() => DONE), 3);
    await Promise.all([consumer.stop(DEADLINE), consumer.stop(DEADLINE)]);
  });

  it('leaves nothing that keeps a process alive', async () => {
    const { stub } = await setup();
    const script = `
      const { createEventQueue } = await import(${JSON.stringify(new URL('../../src/clients/sqs.ts', import.meta.url).href)});
      const queue = createEventQueue({
        endpoint: ${JSON.stringify(stub.endpoint)}, region: 'us-east-1', now: Date.now,
        credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
      });
      const consumer = queue.consume(${JSON.stringify(stub.url)}, {
        consumers: 2,
        onBatch: async (messages) => { process.send('got'); return messages.map(() => ({ done: true })); },
        onError: (error) => { throw error; },
      });
      process.once('message', async () => { await consumer.stop(5_000); queue.close(); process.disconnect(); });
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    closers.push(async () => {
      child.kill('SIGKILL');
    });
    stub.send(['a']);
    await once(child, 'message');
    child.send('stop');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});
