// A consumer that is stopped finishes its batch, gives back what it did not begin, and keeps nothing alive.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { closers, DEADLINE, DONE, entriesOf, setup } from './polled-queue.ts';
import { sendJson } from './sqs-stub.ts';

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
