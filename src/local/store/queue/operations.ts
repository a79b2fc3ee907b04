import Type from 'typebox';
import { batchOperations } from './batches.ts';
import { md5OfAttributes } from './message-attributes.ts';
import type { DeliveredMessage } from './messages.ts';
import { operation, type SqsContext, type SqsOperation } from './operation.ts';
import { numberAttribute, withDefaults } from './queue-attributes.ts';
import type { Queue } from './queues.ts';
import { SendBody, sendOne } from './send.ts';
import { SqsError } from './sqs-error.ts';

const QueueUrl = Type.String({ minLength: 1 });
const Text = Type.Record(Type.String(), Type.String());
const Names = Type.Optional(Type.Array(Type.String()));
const Seconds = (max: number) => Type.Optional(Type.Integer({ minimum: 0, maximum: max }));

const operations: Record<string, SqsOperation> = {
  CreateQueue: operation(Type.Object({ QueueName: Type.String(), Attributes: Type.Optional(Text) }), ({ queues, baseUrl }, input) => ({
    QueueUrl: urlOf(baseUrl, queues.create(input.QueueName, input.Attributes ?? {})),
  })),
  DeleteQueue: operation(Type.Object({ QueueUrl }), ({ queues, messages }, input) => {
    const queue = queues.byUrl(input.QueueUrl);
    queues.remove(queue);
    messages.endWaits(queue);
    return {};
  }),
  GetQueueUrl: operation(Type.Object({ QueueName: Type.String() }), ({ queues, baseUrl }, input) => ({
    QueueUrl: urlOf(baseUrl, queues.byName(input.QueueName)),
  })),
  ListQueues: operation(Type.Object({ QueueNamePrefix: Type.Optional(Type.String()) }), ({ queues, baseUrl }, input) => ({
    QueueUrls: queues.list(input.QueueNamePrefix ?? '').map((queue) => urlOf(baseUrl, queue)),
  })),
  GetQueueAttributes: operation(Type.Object({ QueueUrl, AttributeNames: Names }), getQueueAttributes),
  SetQueueAttributes: operation(Type.Object({ QueueUrl, Attributes: Text }), ({ queues }, input) => {
    queues.setAttributes(queues.byUrl(input.QueueUrl), input.Attributes);
    return {};
  }),
  PurgeQueue: operation(Type.Object({ QueueUrl }), ({ queues, messages }, input) => {
    messages.purge(queues.byUrl(input.QueueUrl));
    return {};
  }),
  SendMessage: operation(Type.Object({ QueueUrl, ...SendBody }), (context, input) =>
    sendOne(context, context.queues.byUrl(input.QueueUrl), input),
  ),
  ReceiveMessage: operation(
    Type.Object({
      QueueUrl,
      MaxNumberOfMessages: Type.Optional(Type.Integer({ minimum: 1, maximum: 10 })),
      VisibilityTimeout: Seconds(43_200),
      WaitTimeSeconds: Seconds(20),
      AttributeNames: Names,
      MessageSystemAttributeNames: Names,
      MessageAttributeNames: Names,
    }),
    receiveMessage,
  ),
  DeleteMessage: operation(Type.Object({ QueueUrl, ReceiptHandle: Type.String() }), ({ queues, messages }, input) => {
    messages.remove(queues.byUrl(input.QueueUrl), input.ReceiptHandle);
    return {};
  }),
  ChangeMessageVisibility: operation(
    Type.Object({ QueueUrl, ReceiptHandle: Type.String(), VisibilityTimeout: Type.Integer({ minimum: 0, maximum: 43_200 }) }),
    ({ queues, messages }, input) => {
      messages.changeVisibility(queues.byUrl(input.QueueUrl), input.ReceiptHandle, input.VisibilityTimeout * 1000);
      return {};
    },
  ),
};

/** Finds an operation by its name in `X-Amz-Target: AmazonSQS.NAME`. Throws SqsError UnknownOperationException. */
export function findOperation(name: string): SqsOperation {
  const found = Object.hasOwn(operations, name)
    ? operations[name]
    : Object.hasOwn(batchOperations, name)
      ? batchOperations[name]
      : undefined;
  if (!found)
    throw new SqsError(
      'UnknownOperationException',
      `The SQS operation ${JSON.stringify(name.slice(0, 60))} is not implemented by this local store.`,
    );
  return found;
}

function urlOf(baseUrl: string, queue: Queue): string {
  return `${baseUrl}/${queue.arn.split(':')[4]}/${queue.name}`;
}

function getQueueAttributes({ queues, messages }: SqsContext, input: { QueueUrl: string; AttributeNames?: string[] }): object {
  const queue = queues.byUrl(input.QueueUrl);
  const wanted = input.AttributeNames ?? [];
  const counts = wanted.some((name) => name === 'All' || name.startsWith('Approximate')) ? messages.counts(queue) : undefined;
  const all: Record<string, string> = {
    ...withDefaults(queue.attributes),
    ...(counts && {
      ApproximateNumberOfMessages: String(counts.visible),
      ApproximateNumberOfMessagesNotVisible: String(counts.inFlight),
      ApproximateNumberOfMessagesDelayed: String(counts.delayed),
    }),
    CreatedTimestamp: String(Math.floor(queue.created / 1000)),
    LastModifiedTimestamp: String(Math.floor(queue.modified / 1000)),
    QueueArn: queue.arn,
  };
  const settable = ['Policy', 'RedrivePolicy', 'RedriveAllowPolicy', 'All'];
  const unknown = wanted.find((name) => !(name in all) && !settable.includes(name));
  if (unknown) throw new SqsError('InvalidAttributeName', `Unknown Attribute ${unknown}.`);
  const shown = wanted.includes('All') ? Object.entries(all) : Object.entries(all).filter(([name]) => wanted.includes(name));
  return { Attributes: Object.fromEntries(shown) };
}

type ReceiveInput = {
  QueueUrl: string;
  MaxNumberOfMessages?: number;
  VisibilityTimeout?: number;
  WaitTimeSeconds?: number;
  AttributeNames?: string[];
  MessageSystemAttributeNames?: string[];
  MessageAttributeNames?: string[];
};

async function receiveMessage({ queues, messages, goneSignal }: SqsContext, input: ReceiveInput): Promise<object> {
  const queue = queues.byUrl(input.QueueUrl);
  const delivered = await messages.receive(queue, {
    max: input.MaxNumberOfMessages ?? 1,
    visibilityMs: (input.VisibilityTimeout ?? numberAttribute(queue.attributes, 'VisibilityTimeout')) * 1000,
    waitMs: (input.WaitTimeSeconds ?? numberAttribute(queue.attributes, 'ReceiveMessageWaitTimeSeconds')) * 1000,
    signal: goneSignal(),
  });
  if (delivered.length === 0) return {};
  const system = [...(input.AttributeNames ?? []), ...(input.MessageSystemAttributeNames ?? [])];
  return { Messages: delivered.map((message) => show(message, system, input.MessageAttributeNames ?? [])) };
}

function show(message: DeliveredMessage, system: string[], names: string[]): object {
  const known: Record<string, string | undefined> = {
    SenderId: message.sender,
    SentTimestamp: String(message.sent),
    ApproximateReceiveCount: String(message.receives),
    ApproximateFirstReceiveTimestamp: String(message.firstReceived),
    AWSTraceHeader: message.extras.traceHeader,
    DeadLetterQueueSourceArn: message.extras.deadLetterSource,
  };
  const attributes = Object.entries(known).filter(
    ([name, value]) => value !== undefined && (system.includes('All') || system.includes(name)),
  );
  const own = Object.entries(message.extras.attributes ?? {}).filter(([name]) => names.some((wanted) => nameMatches(wanted, name)));
  return {
    MessageId: message.messageId,
    ReceiptHandle: message.receiptHandle,
    MD5OfBody: md5OfAttributes.body(message.body),
    Body: message.body,
    ...(attributes.length > 0 && { Attributes: Object.fromEntries(attributes) }),
    ...(own.length > 0 && {
      MessageAttributes: Object.fromEntries(own),
      MD5OfMessageAttributes: md5OfAttributes.of(Object.fromEntries(own)),
    }),
  };
}

// `All`, `.*`, a name, or a beginning such as `trace.*`.
function nameMatches(wanted: string, name: string): boolean {
  if (wanted === 'All' || wanted === '.*') return true;
  return wanted.endsWith('.*') ? name.startsWith(wanted.slice(0, -2)) : wanted === name;
}
