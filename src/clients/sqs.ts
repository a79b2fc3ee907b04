// The event queue on @aws-sdk/client-sqs; the poll loop is in sqs-consume.ts.
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  type QueueAttributeName,
  SQSClient,
  type SQSClientConfig,
} from '@aws-sdk/client-sqs';
import { Failure } from '../schema/failures.ts';
import { AGENT_OPTIONS, type AwsAccess, awsCall, awsEndpoint, clientConfig } from './aws-call.ts';
import type { CallOptions, EventQueue } from './ports.ts';
import { consumeQueue, LONG_POLL_S } from './sqs-consume.ts';

/** Seconds a message stays hidden after it was handed out. */
const VISIBILITY_S = 30;
/** Seconds that the queue keeps a message: 14 days, SQS' longest (run records remember events for 15). */
const RETENTION_S = 1_209_600;

/** A queue as it is set up. */
export interface QueueFacts {
  readonly url: string;
  readonly arn: string;
  readonly fifo: boolean;
  /** Seconds that it keeps a message. */
  readonly retention: number;
  /** Messages that could be received now, approximately. */
  readonly waiting: number;
  /** Whether messages that are received again and again go to a dead-letter queue. */
  readonly setsAside: boolean;
}

/**
 * The queue that S3 sends its events to. Calls end within their deadline (10 s without one) and throw Failure `sqs_unavailable`
 * with the SDK's error as its cause, or the caller's own abort reason. `close` gives up the sockets: stop the consumers first.
 */
export function createEventQueue(
  access: AwsAccess & {
    readonly now: () => number;
    /** Seconds that messages stay hidden while a batch is handled; extended as long as it is. Default 30. */
    readonly visibility?: number;
  },
): EventQueue & {
  /** How the queue is set up, as `autofiles doctor` looks at it. A queue that is not there is Failure `not_found`. */
  describe(queue: { readonly url: string } | { readonly name: string }, options?: CallOptions): Promise<QueueFacts>;
  close(): void;
} {
  const agents = { httpAgent: new HttpAgent(AGENT_OPTIONS), httpsAgent: new HttpsAgent(AGENT_OPTIONS) };
  const shared = {
    endpoint: access.endpoint ?? awsEndpoint('sqs', access.region),
    // the queue's URL may carry a host name that does not resolve here (s3sqs.md §1.2)
    useQueueUrlAsEndpoint: false,
  } satisfies SQSClientConfig;
  const client = new SQSClient({ ...clientConfig(access, agents), ...shared });
  // a long poll outlives the limits of an ordinary call, and its repetition is the poll loop's affair
  const receiver = new SQSClient({ ...clientConfig(access, agents, { tryTimeout: (LONG_POLL_S + 5) * 1_000, maxAttempts: 1 }), ...shared });

  const attributes = async (url: string, names: QueueAttributeName[], abortSignal: AbortSignal) => {
    const output = await client.send(new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: names }), { abortSignal });
    return names.map((name) => {
      const value = output.Attributes?.[name];
      if (value === undefined) throw new Failure('sqs_unavailable', `The queue ${url} did not tell its ${name}.`);
      return value;
    });
  };

  return {
    create: (name: string, options: CallOptions = {}) =>
      awsCall('sqs_unavailable', `Create queue ${name}`, options, async (abortSignal) => {
        const url =
          (await urlOf(client, name, abortSignal)) ??
          (
            await client.send(
              new CreateQueueCommand({
                QueueName: name,
                Attributes: {
                  VisibilityTimeout: String(VISIBILITY_S),
                  ReceiveMessageWaitTimeSeconds: String(LONG_POLL_S),
                  MessageRetentionPeriod: String(RETENTION_S),
                },
              }),
              { abortSignal },
            )
          ).QueueUrl;
        if (url === undefined) throw new Failure('sqs_unavailable', `Create queue ${name}: the answer has no QueueUrl.`);
        const [arn = ''] = await attributes(url, ['QueueArn'], abortSignal);
        return { url, arn };
      }),

    describe: (queue, options = {}) => {
      const said = 'url' in queue ? queue.url : queue.name;
      return awsCall('sqs_unavailable', `Look at queue ${said}`, options, async (abortSignal) => {
        const url = 'url' in queue ? queue.url : await urlOf(client, queue.name, abortSignal);
        const output =
          url === undefined
            ? undefined
            : await client
                .send(new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] }), { abortSignal })
                .catch((error: unknown) => {
                  if (isMissingQueue(error)) return undefined;
                  throw error;
                });
        if (url === undefined || output === undefined) throw new Failure('not_found', `There is no queue ${said} in ${access.region}.`);
        const all: Partial<Record<string, string>> = output.Attributes ?? {};
        return {
          url,
          arn: all['QueueArn'] ?? '',
          fifo: all['FifoQueue'] === 'true',
          retention: Number(all['MessageRetentionPeriod'] ?? 0),
          waiting: Number(all['ApproximateNumberOfMessages'] ?? 0),
          setsAside: all['RedrivePolicy'] !== undefined && all['RedrivePolicy'] !== '',
        };
      });
    },

    drained: (url, options = {}) =>
      awsCall('sqs_unavailable', `Count messages of ${url}`, options, async (abortSignal) => {
        const counts = await attributes(
          url,
          ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible', 'ApproximateNumberOfMessagesDelayed'],
          abortSignal,
        );
        return counts.every((count) => Number(count) === 0);
      }),

    waiting: (url, options = {}) =>
      awsCall('sqs_unavailable', `Count messages of ${url}`, options, async (abortSignal) => {
        const [count] = await attributes(url, ['ApproximateNumberOfMessages'], abortSignal);
        return Number(count);
      }),

    consume: (url, options) =>
      consumeQueue({ receiver, client, url, now: access.now, visibility: access.visibility ?? VISIBILITY_S, ...options }),

    close() {
      receiver.destroy();
      client.destroy();
      agents.httpAgent.destroy();
      agents.httpsAgent.destroy();
    },
  };
}

/** The URL of the queue, whatever attributes it was made with; undefined when there is none of that name. */
async function urlOf(client: SQSClient, name: string, abortSignal: AbortSignal): Promise<string | undefined> {
  try {
    return (await client.send(new GetQueueUrlCommand({ QueueName: name }), { abortSignal })).QueueUrl;
  } catch (error) {
    if (isMissingQueue(error)) return undefined;
    throw error;
  }
}

function isMissingQueue(error: unknown): boolean {
  const names = ['QueueDoesNotExist', 'AWS.SimpleQueueService.NonExistentQueue'];
  return error instanceof Error && names.includes(error.name);
}
