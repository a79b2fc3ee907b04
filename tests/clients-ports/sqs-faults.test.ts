// Handlers that throw and calls that SQS refuses lose no message.
import { describe, expect, it } from 'vitest';
import { DEADLINE, DONE, entriesOf, setup } from './polled-queue.ts';
import { sendJson } from './sqs-stub.ts';

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
