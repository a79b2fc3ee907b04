// What happens to messages after the handler: deletes and visibility, in batches, entry by entry.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BatchResultErrorEntry,
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { Failure } from '../schema/failures.ts';
import { awsFailure, CALL_DEADLINE_MS } from './aws-call.ts';
import { within } from './deadline.ts';
import type { MessageVerdict, QueueMessage } from './ports.ts';

export interface Settled {
  readonly message: QueueMessage;
  readonly verdict: MessageVerdict;
}

/** How often failed entries of a batch are sent again, and milliseconds before each. */
const RETRY_DELAYS_MS = [50, 250];
/** Seconds: the longest visibility SQS takes (12 h). */
const LONGEST_VISIBILITY_S = 43_200;

/**
 * Deletes the messages that are done and hides the others for `againIn` seconds. What SQS refuses is tried twice more and then left:
 * a message that was not deleted comes again, one that was not hidden comes at its own time. Resolves with the Failure to report, if
 * any; never rejects.
 */
export async function settleMessages(
  { client, url }: { client: SQSClient; url: string },
  settled: readonly Settled[],
): Promise<Failure | undefined> {
  const done = settled.filter(({ verdict }) => verdict.done).map(({ message }) => ({ message, seconds: 0 }));
  const again = settled.flatMap(({ message, verdict }) => (verdict.done ? [] : [{ message, seconds: wholeSeconds(verdict.againIn) }]));
  const failures = await Promise.all([
    sendEntries(done, `Delete from ${url}`, async (entries, abortSignal) => {
      const Entries = entries.map(({ message }, i) => ({ Id: String(i), ReceiptHandle: message.receiptHandle }));
      return (await client.send(new DeleteMessageBatchCommand({ QueueUrl: url, Entries }), { abortSignal })).Failed;
    }),
    sendEntries(again, `Change visibility in ${url}`, async (entries, abortSignal) => {
      const Entries = entries.map(({ message, seconds }, i) => ({
        Id: String(i),
        ReceiptHandle: message.receiptHandle,
        VisibilityTimeout: seconds,
      }));
      return (await client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: url, Entries }), { abortSignal })).Failed;
    }),
  ]);
  return failures.find((failure) => failure !== undefined);
}

interface Entry {
  readonly message: QueueMessage;
  readonly seconds: number;
}

async function sendEntries(
  entries: readonly Entry[],
  what: string,
  send: (entries: readonly Entry[], signal: AbortSignal) => Promise<BatchResultErrorEntry[] | undefined>,
): Promise<Failure | undefined> {
  let left = entries;
  let refused: BatchResultErrorEntry[] = [];
  try {
    for (const delay of [0, ...RETRY_DELAYS_MS]) {
      if (left.length === 0) return undefined;
      if (delay > 0) await sleep(delay);
      const now = left;
      refused = (await within({}, CALL_DEADLINE_MS, (signal) => send(now, signal))) ?? [];
      // a sender's fault (a receipt handle that is no longer valid) stays one
      const failedIds = new Set(refused.map(({ Id }) => Id));
      const sendersFault = new Set(refused.filter(({ SenderFault }) => SenderFault === true).map(({ Id }) => Id));
      if (sendersFault.size > 0 && sendersFault.size === failedIds.size) break;
      left = now.filter((_, i) => failedIds.has(String(i)) && !sendersFault.has(String(i)));
    }
  } catch (error) {
    return awsFailure('sqs_unavailable', `${what} (${left.length} messages)`, error);
  }
  if (refused.length === 0) return undefined;
  const reasons = [...new Set(refused.map(({ Code, Message }) => `${Code ?? 'unknown'}${Message === undefined ? '' : `: ${Message}`}`))];
  return new Failure('sqs_unavailable', `${what}: ${refused.length} messages refused (${reasons.join('; ')}); they will be seen again.`);
}

function wholeSeconds(seconds: number): number {
  return Math.min(Math.max(Math.ceil(seconds), 0), LONGEST_VISIBILITY_S);
}
