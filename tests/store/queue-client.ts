// A store and a client of its queues. Whoever imports this has them opened before its tests and closed after them.
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  type Message,
  ReceiveMessageCommand,
  type ReceiveMessageCommandInput,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, expect } from 'vitest';
import { runStore, type TestStore } from './running-store.ts';

/** The store. */
export let test: TestStore;
/** A client of it. */
export let sqs: SQSClient;
let made = 0;

beforeAll(async () => {
  test = await runStore();
  sqs = test.sqs();
});
afterAll(async () => {
  await test.close();
  expect(test.faults).toEqual([]);
});

/** Starts the store anew, and a client of it. */
export async function restart(): Promise<void> {
  await test.restart();
  sqs = test.sqs();
}

/** Makes a queue; answers its URL. */
export async function queue(attributes: Record<string, string> = {}): Promise<string> {
  made += 1;
  return (await sqs.send(new CreateQueueCommand({ QueueName: `queue-${made}`, Attributes: attributes }))).QueueUrl ?? '';
}
/** Sends one message. */
export const send = (QueueUrl: string, MessageBody: string, more: object = {}) =>
  sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, ...more }));
/** The messages that there are now. */
export const receive = async (QueueUrl: string, more: Partial<ReceiveMessageCommandInput> = {}) =>
  (await sqs.send(new ReceiveMessageCommand({ QueueUrl, MessageSystemAttributeNames: ['All'], ...more }))).Messages ?? [];
/** The next message, within ten seconds. */
export const one = async (QueueUrl: string, more: Partial<ReceiveMessageCommandInput> = {}): Promise<Message> => {
  const [message] = await receive(QueueUrl, { WaitTimeSeconds: 10, ...more });
  if (!message) throw new Error('no message within ten seconds');
  return message;
};
/** Messages that are visible, in flight and delayed. */
export const counts = async (QueueUrl: string) => {
  const { Attributes = {} } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
  const found: Record<string, string> = Attributes;
  return ['', 'NotVisible', 'Delayed'].map((kind) => Number(found[`ApproximateNumberOfMessages${kind}`]));
};
/** Moves the store's clock and the client's with it. */
export const advance = (ms: number) => {
  test.clock.offsetMs += ms;
  sqs.config.systemClockOffset = test.clock.offsetMs;
};
/** The name of the error of a call. */
export const fails = (call: Promise<unknown>) =>
  call.then(
    () => 'succeeded',
    (error: { name: string }) => error.name,
  );
