import { DelayedError, type Job, Queue, type RedisQueueBackend } from 'bullmq';
import type { ChainableCommander, Redis } from 'ioredis';
import type { Failpoint } from '../schema/failpoint.ts';
import { Failure } from '../schema/failures.ts';
import { duplicate, throwFirst } from './connection.ts';
import { QUEUE_STREAMS, QUEUES, shardKeys, shardPrefix } from './keys.ts';
import { defineScripts, isScriptUnknown, loadScripts, queue } from './scripts.ts';
import { JOB_OPTIONS } from './tree.ts';

/** Milliseconds, one year: a park without a deadline (a held sibling that was woken too early). */
const FAR_AHEAD_MS = 31_536_000_000;

/**
 * A task's options as BullMQ writes them (`idof`: ignoreDependencyOnFailure), without those that it keeps elsewhere, too: parent, priority
 * and id stand in the job beside them, and that a finished job goes is an option of our workers (processors/job-workers.ts).
 */
const PARKED_OPTIONS = JSON.stringify({ attempts: JOB_OPTIONS.attempts, backoff: JOB_OPTIONS.backoff.delay, idof: true });

/** One for all parks: an error of its own would take the time for a stack trace that nobody reads. */
const PARKED = new DelayedError();

export interface Park {
  readonly job: Job;
  readonly token: string;
  readonly runId: string;
  /** `step.index` */
  readonly task: string;
  /** Milliseconds from `now` on; negative for no deadline. */
  readonly ms: number;
  /** Redis' time of the decision. */
  readonly now: number;
  /** What the decision saw of the record. */
  readonly seen: string;
  /** A retry also moves BullMQ's own attempt counter. */
  readonly retry: boolean;
}

export interface Parking {
  /** Parks the task and always throws BullMQ's DelayedError, which a processor must let through. */
  park(request: Park): Promise<never>;
  close(): Promise<void>;
}

/**
 * The connection for the parks of all shards: ioredis copies every script of a connection into each MULTI, and on one that has all
 * of BullMQ's and ours that took a twelfth of what a worker allocates for a run. It has those two that a park is made of.
 */
export function openParks(connection: Redis, onError: (error: Error) => void): Redis {
  const parks = duplicate(connection);
  parks.on('error', onError);
  defineScripts(parks, ['recheck']);
  return parks;
}

/**
 * Waiting holds nothing: the job goes to BullMQ's delayed set until its deadline. Both steps are one MULTI, so a worker
 * that dies here leaves either an active job, which stall recovery runs again, or a parked one that was rechecked.
 */
export function createParking(deps: {
  readonly shard: number;
  readonly connection: Redis;
  /** A connection for the MULTIs alone (`openParks`). */
  readonly parks: Redis;
  readonly onError: (error: Error) => void;
  readonly failpoint: Failpoint;
}): Parking {
  const { parks } = deps;
  const keys = shardKeys(deps.shard);
  const tasks = new Queue(QUEUES.task, { connection: deps.connection, prefix: shardPrefix(deps.shard), streams: QUEUE_STREAMS });
  tasks.on('error', deps.onError);
  const backend = tasks.getBackend();

  const exec = async ({ token, runId, task, ms, now, seen, retry }: Park, id: string) => {
    const args = backend.moveToDelayedArgs(id, now, token, ms < 0 ? FAR_AHEAD_MS : Math.max(1, ms), {
      skipAttempt: !retry,
      fieldsToUpdate: {
        // a woken task goes before every launch that has not begun
        priority: 0,
        // what waits is kept small
        opts: PARKED_OPTIONS,
      },
    });
    const move = callOf(backend, 'moveToDelayed', args);
    share(parks, move.name, deps.connection);
    const transaction = parks.multi();
    callIn(transaction, move);
    queue(transaction, 'recheck', [keys.run(runId), keys.history(runId), keys.delayed, keys.marker], [runId, keys.channel, task, seen]);
    return (await transaction.exec()) ?? [];
  };

  return {
    park: async (request) => {
      const id = request.job.id;
      if (id === undefined) throw new Failure('internal', 'A task job has no id.');
      await tasks.waitUntilReady();
      let replies = await exec(request, id);
      if (replies.some(([error]) => isScriptUnknown(error))) {
        // a half of it may have been done: parking a parked job again changes nothing, and the recheck is what counts
        await loadScripts(parks);
        replies = await exec(request, id);
      }
      if (replies.length !== 2) throw new Failure('redis_unavailable', 'The park was not answered.');
      throwFirst(parks, replies);
      const moved = replies[0]?.[1];
      // -1: the job is gone, -2/-3/-6: its lock is not ours any more. Another activation owns it; we only leave.
      if (typeof moved !== 'number') throw new Failure('internal', `moveToDelayed answered ${String(moved)}, expected a number.`);
      deps.failpoint('task.parked');
      throw PARKED;
    },
    close: async () => {
      await tasks.close();
    },
  };
}

interface BackendCall {
  readonly name: string;
  readonly args: readonly unknown[];
}

/** What BullMQ's backend calls for one of its scripts: a command named `<script>:<version>`, which it defines on every connection it uses. */
function callOf(backend: RedisQueueBackend, script: string, args: Parameters<RedisQueueBackend['execCommand']>[2]): BackendCall {
  let call: BackendCall | undefined;
  const target = {
    runCommand: (name: string, given: readonly unknown[]) => {
      call = { name, args: given };
    },
  };
  // execCommand uses runCommand alone; the contract test holds that against the pinned version
  backend.execCommand(target as unknown as Parameters<RedisQueueBackend['execCommand']>[0], script, args);
  if (call === undefined) throw new Failure('internal', `BullMQ called nothing for its script ${script}.`);
  return call;
}

/** Makes a script that one connection has a command of another. */
function share(redis: Redis, name: string, from: Redis): void {
  if (Reflect.has(redis, name)) return;
  // what defineCommand made; ioredis' types leave the members out
  const script = (from.scriptsSet as Readonly<Record<string, { readonly lua: string; readonly numberOfKeys: number }>>)[name];
  if (script === undefined) throw new Failure('internal', `BullMQ has no script ${name} on its connection.`);
  redis.defineCommand(name, { lua: script.lua, numberOfKeys: script.numberOfKeys });
}

function callIn(transaction: ChainableCommander, { name, args }: BackendCall): void {
  const command: unknown = Reflect.get(transaction, name);
  if (typeof command !== 'function') throw new Failure('internal', `${name} is no command of a MULTI.`);
  Reflect.apply(command, transaction, [args]);
}
