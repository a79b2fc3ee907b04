import Type from 'typebox';
import { operation, type SqsContext, type SqsOperation } from './operation.ts';
import { messageBytes, SendBody, sendOne } from './send.ts';
import { SqsError } from './sqs-error.ts';

const QueueUrl = Type.String({ minLength: 1 });
const Id = Type.String();
const MAX_ENTRIES = 10;
// AWS' limit for all messages of one batch, in bytes.
const MAX_BATCH_BYTES = 1_048_576;

type Failure = { Id: string; SenderFault: boolean; Code: string; Message: string };

/** The operations that take up to ten entries; each entry succeeds or fails by itself. */
export const batchOperations: Record<string, SqsOperation> = {
  SendMessageBatch: operation(Type.Object({ QueueUrl, Entries: Type.Array(Type.Object({ Id, ...SendBody })) }), (context, input) => {
    const queue = context.queues.byUrl(input.QueueUrl);
    const total = input.Entries.reduce((sum, entry) => sum + messageBytes(entry), 0);
    if (total > MAX_BATCH_BYTES)
      throw new SqsError(
        'BatchRequestTooLong',
        `Batch requests cannot be longer than ${MAX_BATCH_BYTES} bytes. You have sent ${total} bytes.`,
      );
    return eachEntry(context, input.Entries, (entry) => sendOne(context, queue, entry));
  }),
  DeleteMessageBatch: operation(
    Type.Object({ QueueUrl, Entries: Type.Array(Type.Object({ Id, ReceiptHandle: Type.String() })) }),
    (context, input) => {
      const queue = context.queues.byUrl(input.QueueUrl);
      return eachEntry(context, input.Entries, (entry) => {
        context.messages.remove(queue, entry.ReceiptHandle);
        return {};
      });
    },
  ),
  ChangeMessageVisibilityBatch: operation(
    Type.Object({
      QueueUrl,
      Entries: Type.Array(
        Type.Object({ Id, ReceiptHandle: Type.String(), VisibilityTimeout: Type.Optional(Type.Integer({ minimum: 0, maximum: 43_200 })) }),
      ),
    }),
    (context, input) => {
      const queue = context.queues.byUrl(input.QueueUrl);
      return eachEntry(context, input.Entries, (entry) => {
        context.messages.changeVisibility(queue, entry.ReceiptHandle, (entry.VisibilityTimeout ?? 0) * 1000);
        return {};
      });
    },
  ),
};

function eachEntry<E extends { Id: string }>({ messages }: SqsContext, entries: E[], run: (entry: E) => object): object {
  if (entries.length === 0) throw new SqsError('EmptyBatchRequest', 'There should be at least one entry in the request.');
  if (entries.length > MAX_ENTRIES)
    throw new SqsError(
      'TooManyEntriesInBatchRequest',
      `Maximum number of entries per request are ${MAX_ENTRIES}. You have sent ${entries.length}.`,
    );
  if (new Set(entries.map((entry) => entry.Id)).size < entries.length)
    throw new SqsError('BatchEntryIdsNotDistinct', 'Two or more batch entries in the request have the same Id.');
  const bad = entries.find((entry) => !/^[A-Za-z0-9_-]{1,80}$/.test(entry.Id));
  if (bad)
    throw new SqsError(
      'InvalidBatchEntryId',
      'A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.',
    );
  const successful: object[] = [];
  const failed: Failure[] = [];
  messages.together(() => {
    for (const entry of entries) {
      try {
        successful.push({ Id: entry.Id, ...run(entry) });
      } catch (error) {
        if (!(error instanceof SqsError)) throw error;
        failed.push({ Id: entry.Id, SenderFault: true, Code: error.queryCode, Message: error.message });
      }
    }
  });
  return { Successful: successful, ...(failed.length > 0 && { Failed: failed }) };
}
