import Type from 'typebox';
import { checkMessageAttributes, md5OfAttributes } from './message-attributes.ts';
import type { MessageAttribute } from './messages.ts';
import type { SqsContext } from './operation.ts';
import { numberAttribute } from './queue-attributes.ts';
import type { Queue } from './queues.ts';
import { SqsError } from './sqs-error.ts';

const Attribute = Type.Object({
  DataType: Type.String(),
  StringValue: Type.Optional(Type.String()),
  BinaryValue: Type.Optional(Type.String()),
});

/** The members of a message to be sent, alone or in a batch. */
export const SendBody = {
  MessageBody: Type.String(),
  DelaySeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 900 })),
  MessageAttributes: Type.Optional(Type.Record(Type.String(), Attribute)),
  MessageSystemAttributes: Type.Optional(Type.Record(Type.String(), Attribute)),
};

/** A message to be sent. */
export type SendInput = {
  MessageBody: string;
  DelaySeconds?: number;
  MessageAttributes?: Record<string, MessageAttribute>;
  MessageSystemAttributes?: Record<string, MessageAttribute>;
};

/** Sends one message and answers as SendMessage does. Throws SqsError. */
export function sendOne({ messages, sender }: SqsContext, queue: Queue, input: SendInput): object {
  const { MessageBody: body, MessageAttributes: attributes } = input;
  const limit = numberAttribute(queue.attributes, 'MaximumMessageSize');
  if (body === '') throw new SqsError('InvalidParameterValueException', 'The request must contain the parameter MessageBody.');
  if (messageBytes(input) > limit) {
    throw new SqsError(
      'InvalidParameterValueException',
      `One or more parameters are invalid. Reason: Message must be shorter than ${limit} bytes.`,
    );
  }
  if (!isXmlText(body)) throw new SqsError('InvalidMessageContents', 'The message contains characters outside the allowed set.');
  if (attributes) checkMessageAttributes(attributes);
  const traceHeader = input.MessageSystemAttributes?.['AWSTraceHeader']?.StringValue;
  const messageId = messages.send(queue, {
    body,
    sender,
    delayMs: (input.DelaySeconds ?? numberAttribute(queue.attributes, 'DelaySeconds')) * 1000,
    ...((attributes || traceHeader) && { extras: { ...(attributes && { attributes }), ...(traceHeader && { traceHeader }) } }),
  });
  return {
    MessageId: messageId,
    MD5OfMessageBody: md5OfAttributes.body(body),
    ...(attributes && Object.keys(attributes).length > 0 && { MD5OfMessageAttributes: md5OfAttributes.of(attributes) }),
  };
}

/** What counts for the size of a message: body, names, types and values, in bytes. */
export function messageBytes({ MessageBody: body, MessageAttributes: attributes = {} }: SendInput): number {
  let size = Buffer.byteLength(body);
  for (const [name, { DataType, StringValue = '', BinaryValue = '' }] of Object.entries(attributes)) {
    size +=
      Buffer.byteLength(name) + Buffer.byteLength(DataType) + Buffer.byteLength(StringValue) + Buffer.byteLength(BinaryValue, 'base64');
  }
  return size;
}

// SQS takes the characters of XML 1.0 (SQS API reference, SendMessage).
function isXmlText(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  return !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(text);
}
