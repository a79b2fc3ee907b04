// An event queue at a stub of SQS. Whoever imports this has it closed after each test.
import { afterEach } from 'vitest';
import type { MessageVerdict, QueueMessage } from '../../src/clients/ports.ts';
import { createEventQueue } from '../../src/clients/sqs.ts';
import { type Interference, startSqsStub } from './sqs-stub.ts';

/** Its message may be deleted. */
export const DONE: MessageVerdict = { done: true };
/** Milliseconds that a stop may take. */
export const DEADLINE = 10_000;

/** What is to be closed after the test, last first. */
export const closers: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A queue, what it reports, and who consumes it. */
export async function setup(interfere?: Interference, options: { visibility?: number; now?: () => number } = {}) {
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

/** The entries of a batch that the stub was sent. */
export const entriesOf = (request: { body: Record<string, unknown> } | undefined) => request?.body['Entries'];
