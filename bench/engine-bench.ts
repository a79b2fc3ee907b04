// One engine process under measurement: real clients over HTTP against the stub process, real Redis; only SQS is left
// out, messages go straight into the handler.
import { randomUUID } from 'node:crypto';
import { createDynoPlatform } from '../src/clients/heroku.ts';
import type { DynoPlatform, EventQueue, MessageVerdict, QueueMessage } from '../src/clients/ports.ts';
import { createObjectStore } from '../src/clients/s3.ts';
import { startEngine } from '../src/processors/engine.ts';
import { connect } from '../src/queues/connection.ts';
import { createResources } from '../src/queues/resources.ts';
import { refOf } from '../src/queues/run-record.ts';
import { createSealer } from '../src/queues/secrets.ts';
import { readMarker } from '../src/schema/command.ts';
import { NO_TELEMETRY } from '../src/schema/telemetry.ts';

const BUCKET = 'ld-private-bench';
/** Milliseconds from a launch to its output, as in the prototype's figures. */
const OUTPUT_AFTER_MS = 25;

export interface EngineBench {
  /** Runs `n` two-step workflows at once; answers with runs per second. */
  throughput(n: number): Promise<number>;
  /** Milliseconds from the output message's receipt to the next step's POST, one after the other. */
  latencies(n: number): Promise<number[]>;
  /** Parks `n` tasks that wait for an output which never comes. */
  parkTasks(n: number): Promise<void>;
  /** Feeds `n` run events as fast as the handler takes them; answers with accepted events per second. */
  burst(n: number): Promise<number>;
  usedMemory(): Promise<number>;
  stop(): Promise<void>;
}

export async function startEngineBench(setup: { socket: string; port: number }): Promise<EngineBench> {
  const endpoint = `http://127.0.0.1:${setup.port}`;
  const credentials = { accessKeyId: 'AKIABENCH', secretAccessKey: 'secret' };
  const redis = connect({ socket: setup.socket }, () => {});
  const sealer = createSealer(Buffer.alloc(32, 1));
  const resource = randomUUID();
  const resources = createResources({ redis, sealer, now: Date.now });
  await resources.put({ id: resource, app: 'bench', bucket: BUCKET, region: 'us-east-1', plan: 'bench' });
  const expiresAt = Date.now() + 43_200_000;
  await resources.setCredentials(resource, { accessKeyId: 'A', secretAccessKey: 's', sessionToken: 't', expiresAt });

  const heroku = createDynoPlatform({ baseUrl: endpoint, token: 't', userAgent: 'bench', now: Date.now });
  let handler: ((messages: readonly QueueMessage[]) => Promise<readonly MessageVerdict[]>) | undefined;
  let onLaunch: (taskId: string) => void = () => {};
  let ended = 0;
  let onEnd: () => void = () => {};

  const platform: DynoPlatform = {
    ...heroku,
    // the stub's dyno list is empty: nothing is said about dynos that only exist as an answer
    list: async () => await Promise.resolve([]),
    configVars: async () => await Promise.resolve({ LD_AWS_ACCESS_KEY_ID: 'A', LD_S3_BUCKET: BUCKET }),
    launch: async (app, order, options) => {
      onLaunch(readMarker(order.command)?.taskId ?? '');
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
  const engine = await startEngine({
    redis: { socket: setup.socket },
    shards: 1,
    sealer,
    store: createObjectStore({ endpoint, region: 'us-east-1', credentials }),
    queue,
    queueUrl: 'bench',
    platform,
    issuer: { forBucket: async () => await Promise.reject(new Error('not in the bench')) },
    consumers: 1,
    taskConcurrency: 100,
    lockMs: 30_000,
    // dynos are not looked at: the stub knows none
    pollMs: 3_600_000,
    sweepMs: 15_000,
    graceMs: 60_000,
    adoptMarginMs: 30_000,
    graceUntilDrained: false,
    launchesPerHour: 1_000_000_000,
    runsPerMinute: 1_000_000_000,
    stallMs: 3_600_000,
    onDead: () => {},
    now: Date.now,
    monotonic: () => performance.now(),
    random: Math.random,
    id: randomUUID,
    failpoint: () => {},
    telemetry: NO_TELEMETRY,
    log: {
      debug: quiet,
      warn: quiet,
      error: quiet,
      info: (_fields, message) => {
        if (message !== 'ended a run') return;
        ended += 1;
        onEnd();
      },
    },
  });

  const message = (key: string): QueueMessage => {
    const versionId = randomUUID();
    const object = { key, versionId, eTag: 'e', size: 1 };
    const record = { eventVersion: '2.1', eventSource: 'aws:s3', eventName: 'ObjectCreated:Put', s3: { bucket: { name: BUCKET }, object } };
    return { id: versionId, body: JSON.stringify({ Records: [record] }), receiptHandle: versionId, receiveCount: 1 };
  };
  const feed = async (keys: readonly string[]): Promise<void> => {
    const verdicts = await handler?.(keys.map(message));
    if (verdicts?.some((verdict) => !verdict.done)) throw new Error('an event was not decided');
  };
  const output = (taskId: string) => void feed([`out/${taskId}`]);

  return {
    throughput: async (n) => {
      ended = 0;
      const all = new Promise<void>((resolve) => {
        onEnd = () => {
          if (ended === n) resolve();
        };
      });
      onLaunch = (taskId) => void setTimeout(output, OUTPUT_AFTER_MS, taskId);
      const began = performance.now();
      // ten messages a batch, as SQS gives them, four consumers
      let next = 0;
      const consumer = async () => {
        while (next < n) {
          const size = Math.min(10, n - next);
          next += size;
          await feed(Array.from({ length: size }, (_, i) => `in/${next}-${i}`));
        }
      };
      await Promise.all([consumer(), consumer(), consumer(), consumer()]);
      await all;
      return n / ((performance.now() - began) / 1000);
    },

    latencies: async (n) => {
      const measured: number[] = [];
      for (let i = 0; i < n; i += 1) {
        const launched = (step: number) =>
          new Promise<{ taskId: string; at: number }>((resolve) => {
            onLaunch = (taskId) => {
              if (refOf(taskId)?.step === step) resolve({ taskId, at: performance.now() });
            };
          });
        const first = launched(0);
        await feed([`in/latency-${i}`]);
        const { taskId } = await first;
        // the launch is answered and the task parked by then
        await new Promise((resolve) => setTimeout(resolve, OUTPUT_AFTER_MS));
        const second = launched(1);
        const received = performance.now();
        output(taskId);
        const { taskId: last, at } = await second;
        measured.push(at - received);
        await new Promise((resolve) => setTimeout(resolve, 5));
        const over = new Promise<void>((resolve) => {
          onEnd = resolve;
        });
        output(last);
        await over;
      }
      return measured;
    },

    parkTasks: async (n) => {
      let parked = 0;
      const all = new Promise<void>((resolve) => {
        onLaunch = () => {
          parked += 1;
          if (parked === n) resolve();
        };
      });
      for (let i = 0; i < n; i += 40) await feed(Array.from({ length: Math.min(40, n - i) }, (_, j) => `in/park-${i + j}`));
      await all;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    },

    burst: async (n) => {
      onLaunch = () => {};
      const began = performance.now();
      for (let i = 0; i < n; i += 40) await feed(Array.from({ length: Math.min(40, n - i) }, (_, j) => `in/burst-${i + j}`));
      return n / ((performance.now() - began) / 1000);
    },

    usedMemory: async () => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]),

    stop: async () => {
      await engine.stop(20_000);
      redis.disconnect();
    },
  };
}
