// The poll loops. sqs-consumer repeats the receive, extends the visibility while a batch is handled and feeds the handler;
// deletes are ours, because its own would be aborted by a stop and take a failed entry for done (s3sqs.md §4).
import { setTimeout as sleep } from 'node:timers/promises';
import type { Message, SQSClient } from '@aws-sdk/client-sqs';
import { Consumer } from 'sqs-consumer';
import { Failure } from '../schema/failures.ts';
import { awsFailure } from './aws-call.ts';
import type { EventQueue, MessageVerdict, QueueMessage } from './ports.ts';
import { type Settled, settleMessages } from './sqs-settle.ts';

/** Seconds that a receive waits for messages: SQS' longest. */
export const LONG_POLL_S = 20;
/** Messages of one receive: SQS' most. */
const BATCH = 10;
/** Milliseconds before the poll that follows a failed one; doubled with each further failure up to the longest. */
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;
/** Seconds until messages whose handler threw come back, by how often they were handed out; at most the longest. */
const FIRST_AGAIN_S = 5;
const LONGEST_AGAIN_S = 300;
/** Milliseconds between two looks at whether sqs-consumer's loops have ended: it has no event for that. */
const STOP_LOOK_MS = 10;

type ConsumeOptions = Parameters<EventQueue['consume']>[1];

/**
 * Starts the loops of `EventQueue.consume`. `receiver` sends the long polls, `client` everything else. A loop that fails, or whose
 * handler throws, waits 0.1 s, 0.2 s … 10 s before its next poll; `onError` gets a Failure `sqs_unavailable` or what the handler threw.
 */
export function consumeQueue(
  deps: { receiver: SQSClient; client: SQSClient; url: string; now: () => number; visibility: number } & ConsumeOptions,
): ReturnType<EventQueue['consume']> {
  const stopping = new AbortController();
  const loops = Array.from({ length: deps.consumers }, (_, index) => startLoop({ ...deps, index, stopping: stopping.signal }));

  return {
    lastPollAt: () => Math.min(...loops.map((loop) => loop.polledAt())),
    async stop(deadline) {
      stopping.abort();
      const late = AbortSignal.timeout(deadline);
      await Promise.all(loops.map((loop) => loop.stop(late)));
    },
  };
}

interface Loop {
  polledAt(): number;
  /** Resolves when the batch in flight is settled, or `late` fired. */
  stop(late: AbortSignal): Promise<void>;
}

function startLoop(deps: Parameters<typeof consumeQueue>[0] & { index: number; stopping: AbortSignal }): Loop {
  const { client, url, now, visibility, onBatch, onError, stopping } = deps;
  let polledAt = now();
  let receiveFailures = 0;
  let handlerFailures = 0;
  let settling: Promise<void> = Promise.resolve();

  const consumer = Consumer.create({
    queueUrl: url,
    sqs: deps.receiver,
    batchSize: BATCH,
    waitTimeSeconds: LONG_POLL_S,
    visibilityTimeout: visibility,
    heartbeatInterval: visibility / 2,
    messageSystemAttributeNames: ['ApproximateReceiveCount'],
    shouldDeleteMessages: false,
    pollingWaitTimeMs: 0,
    // the back-off below serves these errors too
    authenticationErrorTimeout: 0,
    preReceiveMessageCallback: async () => {
      const failures = Math.max(receiveFailures, handlerFailures);
      if (failures === 0) return;
      const backoff = Math.min(FIRST_BACKOFF_MS * 2 ** (failures - 1), LONGEST_BACKOFF_MS);
      // the loops spread over a quarter of the delay instead of coming back all at once
      await sleep(backoff * (1 + deps.index / deps.consumers / 4), undefined, { signal: stopping });
    },
    postReceiveMessageCallback: async () => {
      polledAt = now();
      receiveFailures = 0;
    },
    handleMessageBatch: async (raw) => {
      const messages = raw.flatMap((message) => readMessage(message) ?? []);
      if (messages.length < raw.length)
        onError(new Failure('sqs_unavailable', `${url} handed out messages without id, body or receipt handle.`));
      const verdicts = stopping.aborted ? messages.map(() => NOT_NOW) : await decide(messages);
      // the delete overlaps with the next receive, but never piles up
      await settling;
      settling = settleMessages({ client, url }, pairUp(messages, verdicts)).then((error) => {
        deps.onSettled?.();
        if (error !== undefined) onError(error);
      }, onError);
      return [];
    },
  });

  const decide = async (messages: readonly QueueMessage[]): Promise<readonly MessageVerdict[]> => {
    try {
      const verdicts = await onBatch(messages);
      if (verdicts.length !== messages.length) {
        throw new Failure(
          'internal',
          `onBatch gave ${verdicts.length} verdicts for ${messages.length} messages; it must give one for each, in order.`,
        );
      }
      handlerFailures = 0;
      return verdicts;
    } catch (error) {
      handlerFailures += 1;
      onError(error);
      return messages.map(({ receiveCount }) => ({
        done: false,
        againIn: Math.min(FIRST_AGAIN_S * 2 ** Math.min(receiveCount - 1, 10), LONGEST_AGAIN_S),
      }));
    }
  };

  consumer.on('error', (error) => {
    if (stopping.aborted) return; // the receive that stop() cut short
    receiveFailures += 1;
    // sqs-consumer wraps what the SDK threw
    onError(awsFailure('sqs_unavailable', `Poll of ${url}`, error.cause ?? error));
  });
  consumer.start();

  return {
    polledAt: () => polledAt,
    async stop(late) {
      // aborts the receive and nothing else: handlers and deletes do not listen to it
      consumer.stop({ abort: true });
      while (consumer.status.isPolling && !late.aborted) await sleep(STOP_LOOK_MS);
      await Promise.race([settling, aborted(late)]);
    },
  };
}

const NOT_NOW: MessageVerdict = { done: false, againIn: 0 };

function pairUp(messages: readonly QueueMessage[], verdicts: readonly MessageVerdict[]): Settled[] {
  return messages.flatMap((message, i) => {
    const verdict = verdicts[i];
    return verdict === undefined ? [] : [{ message, verdict }];
  });
}

function readMessage(raw: Message): QueueMessage | undefined {
  const { MessageId: id, Body: body, ReceiptHandle: receiptHandle } = raw;
  if (id === undefined || body === undefined || receiptHandle === undefined) return undefined;
  return { id, body, receiptHandle, receiveCount: Number(raw.Attributes?.ApproximateReceiveCount ?? 1) || 1 };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
