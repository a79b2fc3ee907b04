// The engine's rows but for the budget: throughput with one and two worker processes, latency, bursts, and what waiting costs.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createEventQueue } from '../src/clients/sqs.ts';
import { connect } from '../src/queues/connection.ts';
import { shardKeys } from '../src/queues/keys.ts';
import { createResources } from '../src/queues/resources.ts';
import { refOf } from '../src/queues/run-record.ts';
import { Failure } from '../src/schema/failures.ts';
import { benchSealer, installForBench, startUnderMeasurement } from './bench-engine.ts';
import { parkedCopies } from './parked-copies.ts';
import type { World } from './world.ts';

/** Milliseconds from a launch to its output, as in the prototype's figures. */
const OUTPUT_AFTER_MS = 25;
/** Messages of one batch, as SQS gives them, and batches at a time. */
const BATCH = 10;
const CONSUMERS = 4;
export const GROUP = 200;

export type EngineBench = Awaited<ReturnType<typeof startEngineBench>>;

/** Starts one engine in this process. */
export async function startEngineBench(world: World, overrides: Parameters<typeof startUnderMeasurement>[2] = {}) {
  const redis = connect({ socket: world.socket }, () => {});
  const resources = createResources({ redis, sealer: benchSealer, now: Date.now });
  const bucket = await installForBench(resources, 'bench');
  let onLaunch: (taskId: string) => void = () => {};
  let onEnd: () => void = () => {};
  const engine = await startUnderMeasurement(world, { launch: (taskId) => onLaunch(taskId), end: () => onEnd() }, overrides);
  const feed = (keys: readonly string[]) => engine.feed(bucket, keys);
  const output = (taskId: string) => void feed([`out/${taskId}`]);
  let second: ChildProcess | undefined;

  const inBatches = async (keys: readonly string[]) => {
    let next = 0;
    const consumer = async () => {
      while (next < keys.length) {
        const batch = keys.slice(next, next + BATCH);
        next += BATCH;
        await feed(batch);
      }
    };
    await Promise.all(Array.from({ length: CONSUMERS }, consumer));
  };

  const recorded = async (): Promise<number> => await redis.zcard(shardKeys(0).index((await resources.ofBucket(bucket))?.id ?? ''));
  /** Throws Failure internal where fewer runs are recorded than events were accepted: a burst that loses some is none. */
  const allRecorded = async (before: number, n: number): Promise<void> => {
    const found = (await recorded()) - before;
    if (found !== n) throw new Failure('internal', `Of a burst of ${n} events ${found} have a run.`);
  };

  /** Resolves after `count` launches; at once for none. */
  const launches = (count: number) =>
    new Promise<void>((resolve) => {
      let seen = 0;
      onLaunch = () => {
        seen += 1;
        if (seen === count) resolve();
      };
      if (count === 0) resolve();
    });

  return {
    /** Runs `n` two-step workflows at once; answers with runs per second. */
    throughput: async (n: number): Promise<number> => {
      let ended = 0;
      const all = new Promise<void>((resolve) => {
        onEnd = () => {
          ended += 1;
          if (ended === n) resolve();
        };
      });
      onLaunch = (taskId) => void setTimeout(output, OUTPUT_AFTER_MS, taskId);
      const began = performance.now();
      await inBatches(Array.from({ length: n }, (_, i) => `in/${i}`));
      await all;
      return n / ((performance.now() - began) / 1000);
    },

    /** Another worker process on the same Redis from now on. */
    addWorker: async (): Promise<void> => {
      const child = fork(new URL('second-worker.ts', import.meta.url), [world.socket, world.endpoint], {
        execArgv: ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=16'],
      });
      await once(child, 'message');
      child.on('message', (told: { launched?: string; ended?: number }) => {
        if (told.launched !== undefined) onLaunch(told.launched);
        if (told.ended !== undefined) onEnd();
      });
      second = child;
    },

    /** Milliseconds from the output message's receipt to the next step's POST, one after the other. */
    latencies: async (n: number): Promise<number[]> => {
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
        const next = launched(1);
        const received = performance.now();
        output(taskId);
        const { taskId: last, at } = await next;
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

    /** Parks `n` two-step runs, each at a task whose output never comes. */
    parkRuns: async (n: number): Promise<void> => {
      const all = launches(n);
      await inBatches(Array.from({ length: n }, (_, i) => `in/park-${i}`));
      await all;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    },

    /** Puts so many copies of the run that was parked last beside it. */
    parkCopies: parkedCopies(redis),

    /** Parks `n` tasks in groups of 200; answers with how many there are. */
    parkGroups: async (n: number): Promise<number> => {
      const groups = Math.ceil(n / GROUP);
      const all = launches(groups * GROUP);
      await inBatches(Array.from({ length: groups }, (_, i) => `group/${i}`));
      await all;
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return groups * GROUP;
    },

    /** Feeds `n` run events as fast as the handler takes them; answers with accepted events per second. */
    burst: async (n: number): Promise<number> => {
      onLaunch = () => {};
      const keys = Array.from({ length: n }, (_, i) => `single/burst-${i}`);
      const before = await recorded();
      const began = performance.now();
      await inBatches(keys);
      const perSecond = n / ((performance.now() - began) / 1000);
      await allRecorded(before, n);
      return perSecond;
    },

    /** The same with an engine of its own that gets its events from SQS over HTTP, with as many consumers as a worker has. */
    burstOverHttp: async (n: number): Promise<number> => {
      const credentials = { accessKeyId: 'AKIABENCH', secretAccessKey: 'secret' };
      const queue = createEventQueue({ endpoint: world.endpoint, region: 'us-east-1', credentials, now: Date.now });
      const fill = async (method: string) =>
        (await (await fetch(`${world.endpoint}/fill/${bucket}/${n}`, { method })).json()) as { open: number };
      await fill('PUT');
      const before = await recorded();
      const began = performance.now();
      const receiving = await startUnderMeasurement(world, { launch: () => {}, end: () => {} }, { queue, consumers: CONSUMERS });
      while ((await fill('GET')).open > 0) await new Promise((resolve) => setTimeout(resolve, 20));
      const perSecond = n / ((performance.now() - began) / 1000);
      await receiving.stop();
      await allRecorded(before, n);
      return perSecond;
    },

    /** Part of one CPU that this process takes while nothing happens, over `ms`. */
    idleCpu: async (ms: number): Promise<number> => {
      const before = process.cpuUsage();
      await new Promise((resolve) => setTimeout(resolve, ms));
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000 / ms;
    },

    /** Resolves when nothing but stubs is left of the runs that ended. */
    retired: async (): Promise<void> => {
      const index = shardKeys(0).index((await resources.ofBucket(bucket))?.id ?? '');
      while ((await redis.zcard(index)) > 0) await new Promise((resolve) => setTimeout(resolve, 100));
    },

    /** Bytes that Redis uses, all keys. */
    usedMemory: async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]),

    stop: async (): Promise<void> => {
      if (second !== undefined) {
        const gone = once(second, 'exit');
        second.disconnect();
        await gone;
      }
      await engine.stop();
      redis.disconnect();
    },
  };
}
