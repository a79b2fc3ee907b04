// One engine process under measurement: real clients over HTTP against the stub process, real Redis. Only SQS is left out:
// messages go straight into the handler, or a second process shares the Redis and gets none.
import { randomUUID } from 'node:crypto';
import { keepHeapSmall } from '../src/cli/heap.ts';
import { createDynoPlatform } from '../src/clients/heroku.ts';
import type { DynoPlatform, EventQueue, MessageVerdict, QueueMessage } from '../src/clients/ports.ts';
import { createObjectStore } from '../src/clients/s3.ts';
import { type EngineOptions, startEngine } from '../src/processors/engine.ts';
import type { Resources } from '../src/queues/resources.ts';
import { createSealer } from '../src/queues/secrets.ts';
import { readMarker } from '../src/schema/command.ts';
import { NO_TELEMETRY } from '../src/schema/telemetry.ts';
import type { World } from './world.ts';

/** Milliseconds: nothing here goes by this clock. */
const NEVER_MS = 3_600_000;
/** Receives of a message, and milliseconds between two. */
const MOST_RECEIVES = 20;
const AGAIN_MS = 250;
/** Calls per hour that no bench reaches. */
const UNLIMITED = 1_000_000_000;

export const benchSealer = createSealer(Buffer.alloc(32, 1));

/** What the measurement hears of the engine. */
export interface Ears {
  launch(taskId: string, app: string): void;
  /** Every other call of the platform that counts against its limit. */
  call?(): void;
  end(): void;
}

export interface UnderMeasurement {
  /** Gives messages to the handler, all as one batch. Throws when one was not decided. */
  feed(bucket: string, keys: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

/** Starts it, in a process that keeps its heap as a worker does. `overrides` for rows about the budget. */
export async function startUnderMeasurement(
  world: World,
  ears: Ears,
  overrides: Partial<Pick<EngineOptions, 'launchesPerHour' | 'pollMs' | 'retention' | 'retentionMs' | 'queue' | 'consumers'>> = {},
): Promise<UnderMeasurement> {
  keepHeapSmall();
  const heroku = createDynoPlatform({ baseUrl: world.endpoint, token: 't', userAgent: 'bench', now: Date.now });
  let handler: ((messages: readonly QueueMessage[]) => Promise<readonly MessageVerdict[]>) | undefined;
  const platform: DynoPlatform = {
    ...heroku,
    // the stub knows no dyno afterwards: nothing is said about those that only exist as an answer
    list: async (...call) => {
      ears.call?.();
      await heroku.list(...call);
      throw new Error('the bench has no dyno list');
    },
    launch: async (app, order, options) => {
      ears.launch(readMarker(order.command)?.taskId ?? '', app);
      return await heroku.launch(app, order, options);
    },
  };
  const queue: EventQueue = {
    create: async (name) => await Promise.resolve({ url: name, arn: name }),
    drained: async () => await Promise.resolve(true),
    waiting: async () => await Promise.resolve(0),
    consume: (_url, { onBatch }) => {
      handler = onBatch;
      return { stop: async () => await Promise.resolve(), lastPollAt: () => 0 };
    },
  };
  const quiet = () => {};
  let lastWarning = '';
  const engine = await startEngine({
    redis: { socket: world.socket },
    shards: 1,
    sealer: benchSealer,
    store: createObjectStore({
      endpoint: world.endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'AKIABENCH', secretAccessKey: 'secret' },
    }),
    queue,
    queueUrl: `${world.endpoint}/queue`,
    platform,
    consumers: 1,
    taskConcurrency: 100,
    lockMs: 30_000,
    pollMs: NEVER_MS,
    hookedMs: NEVER_MS,
    sweepMs: 15_000,
    graceMs: 60_000,
    adoptMarginMs: 30_000,
    graceUntilDrained: false,
    launchesPerHour: UNLIMITED,
    runsPerMinute: UNLIMITED,
    stallMs: NEVER_MS,
    onDead: () => {},
    now: Date.now,
    monotonic: () => performance.now(),
    random: Math.random,
    id: randomUUID,
    failpoint: () => {},
    telemetry: NO_TELEMETRY,
    log: {
      debug: quiet,
      warn: (fields, text) => {
        lastWarning = `${text} ${JSON.stringify(fields)}`;
      },
      error: quiet,
      info: (_fields, message) => {
        if (message === 'ended a run') ears.end();
      },
    },
    ...overrides,
  });
  const message = (bucket: string, key: string): QueueMessage => {
    const versionId = randomUUID();
    const object = { key, versionId, eTag: 'e', size: 1 };
    const record = { eventVersion: '2.1', eventSource: 'aws:s3', eventName: 'ObjectCreated:Put', s3: { bucket: { name: bucket }, object } };
    return { id: versionId, body: JSON.stringify({ Records: [record] }), receiptHandle: versionId, receiveCount: 1 };
  };
  return {
    feed: async (bucket, keys) => {
      let messages = keys.map((key) => message(bucket, key));
      // what is not decided yet comes again, as SQS would bring it
      for (let tries = 0; messages.length > 0; tries += 1) {
        if (tries === MOST_RECEIVES) throw new Error(`an event was not decided in ${tries} receives: ${lastWarning}`);
        if (tries > 0) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        const verdicts = (await handler?.(messages)) ?? [];
        messages = messages.filter((_, k) => verdicts[k]?.done !== true);
      }
    },
    stop: () => engine.stop(20_000),
  };
}

/** Installs the add-on for an app of the bench; answers with its bucket. */
export async function installForBench(resources: Resources, app: string): Promise<string> {
  const id = randomUUID();
  const bucket = `ld-private-${id}`;
  await resources.put({ id, app, bucket, region: 'us-east-1', plan: 'bench' });
  const expiresAt = Date.now() + 43_200_000;
  await resources.setCredentials(id, { accessKeyId: 'A', secretAccessKey: 's', sessionToken: 't', expiresAt });
  return bucket;
}
