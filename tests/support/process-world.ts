// Real worker processes, killed or frozen where a test says so, between a real Redis, the real local store and a scripted
// platform. The survivor that takes over runs in the test's own process: the same engine with the same clients.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { expect } from 'vitest';
import { createClients, createLog } from '../../src/cli/wiring.ts';
import { startEngine } from '../../src/processors/engine.ts';
import { provision } from '../../src/processors/provision.ts';
import { connect } from '../../src/queues/connection.ts';
import { runIdOf } from '../../src/queues/identity.ts';
import { QUEUES, shardKeys, shardPrefix } from '../../src/queues/keys.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { readRun } from '../../src/queues/views.ts';
import { readConfig } from '../../src/schema/config.ts';
import { isFinal, type RunView } from '../../src/schema/run-view.ts';
import { NO_TELEMETRY } from '../../src/schema/telemetry.ts';
import { type DynoScript, startHerokuStub } from './heroku-stub.ts';
import { leash } from './leash.ts';
import { startRedis } from './redis-server.ts';
import { until } from './until.ts';
import { startWorldStore } from './world-store.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const NODE_ARGS = ['--disable-warning=ExperimentalWarning'];
const root = { accessKeyId: 'AKIAROOT', secretAccessKey: 'root-secret' };
const QUEUE = 'events';
/** Milliseconds: a little longer than the engine's consumers hide what they received. */
const VISIBILITY_MS = 31_000;

/** Settings that make crashes noticed soon. */
const QUICK = {
  AUTOFILES_LOCK_MS: '1000',
  AUTOFILES_POLL_MS: '100',
  AUTOFILES_SWEEP_MS: '300',
  AUTOFILES_GRACE_MS: '300',
  AUTOFILES_ADOPT_MARGIN_MS: '300',
  AUTOFILES_CONSUMERS: '1',
  LOG_LEVEL: 'warn',
};

export interface WorkerProcess {
  readonly pid: number;
  /** Its own port, where it was told to open one. */
  readonly port: number | undefined;
  /** All that it has printed. */
  said(): string;
  /** Resolves with the signal or status that ended it. */
  readonly ended: Promise<string>;
  /** Resolves when it is stopped (SIGSTOP). */
  frozen(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
}

export type CrashWorld = Awaited<ReturnType<typeof startWorld>>;

/**
 * Starts everything but workers. `storeProcess`: the store is a process of its own, which can be killed. `storeAhead`: milliseconds that its clock
 * is ahead, so that what is saved now was saved a while ago. `fsync`: that of `startRedis`, for tests that kill Redis.
 */
export async function startWorld(
  scripts: Readonly<Record<string, DynoScript>>,
  options: { storeProcess?: true; storeAhead?: number; fsync?: 'always' | 'everysec' } = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'af-crash-'));
  const clock = { ahead: options.storeAhead ?? 0 };
  const redisServer = await startRedis({ fsync: options.fsync ?? 'everysec' });
  const children = new Set<ChildProcess>();
  const store = await startWorldStore({ dir: join(folder, 'store'), clock, root, children, ownProcess: options.storeProcess === true });
  const endpoint = `http://127.0.0.1:${store.port()}`;
  const stub = await startHerokuStub({
    ledgerFile: join(folder, 'posts.jsonl'),
    scripts,
    put: async (bucket, taskId) => {
      await clients.store.put(bucket, `out/${taskId}`, 'proof', { metadata: { ld_task_id: taskId } });
    },
  });
  const env = {
    ...QUICK,
    AUTOFILES_MODE: 'local',
    AUTOFILES_REDIS_SOCKET: redisServer.socket,
    AUTOFILES_S3_ENDPOINT: endpoint,
    AUTOFILES_SQS_ENDPOINT: endpoint,
    AUTOFILES_STS_ENDPOINT: endpoint,
    AUTOFILES_ACCESS_KEY_ID: root.accessKeyId,
    AUTOFILES_SECRET_ACCESS_KEY: root.secretAccessKey,
    AUTOFILES_QUEUE_NAME: QUEUE,
    HEROKU_API_URL: stub.url,
    AUTOFILES_HEROKU_TOKEN: 'token',
    AUTOFILES_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
  };
  const config = readConfig(env);
  const clients = createClients(config);
  const redis = connect(config.redis, () => {});
  const runs = createRuns({ redis });
  const resources = createResources({ redis, sealer: clients.sealer, now: Date.now });
  const resource = { id: randomUUID(), app: 'app', bucket: `ld-private-${randomUUID()}`, region: 'us-east-1', plan: 'test' };
  const log = createLog({ logLevel: 'silent' }, 'test');
  await provision({ ...clients, resources, queueArn: async () => (await clients.queue.create(QUEUE)).arn, log }, resource);
  const { url: queueUrl } = await clients.queue.create(QUEUE);
  const sqs = new SQSClient({ endpoint, region: config.region, credentials: root });
  const keys = shardKeys(0);

  const show = async (runId: string): Promise<RunView | undefined> => await readRun(redis, runId);
  const ended = async (runId: string, ms = 60_000): Promise<RunView> => {
    try {
      return await until(
        `the end of ${runId}`,
        async () => {
          if ((await redis.hget(keys.run(runId), 'end')) === null) return undefined;
          const run = await show(runId);
          return run !== undefined && isFinal(run.state) && run;
        },
        ms,
      );
    } catch (error) {
      throw new Error(JSON.stringify((await show(runId))?.history ?? 'no such run'), { cause: error });
    }
  };
  const launches = (runId: string) =>
    stub
      .ledger()
      .filter(({ taskId }) => taskId.startsWith(`${runId}.`))
      .map(({ taskId, attempt }) => `${taskId}/${attempt}`);

  return {
    redisServer,
    redis,
    runs,
    stub,
    clients,
    resource,
    show,
    ended,
    launches,
    queueUrl,

    /** A worker process; with a failpoint `name:n[:signal]` it kills or stops itself there. */
    startWorker: async (failpoint = '', more: Record<string, string> = {}): Promise<WorkerProcess> => {
      const child = spawn(process.execPath, [...NODE_ARGS, MAIN, 'worker'], {
        env: { PATH: process.env['PATH'], ...env, ...more, AUTOFILES_FAILPOINT: failpoint },
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      });
      children.add(child);
      leash(child);
      let said = '';
      child.stdout?.on('data', (data) => {
        said += data;
      });
      child.stderr?.on('data', (data) => {
        said += data;
      });
      const gone = once(child, 'exit').then(([status, signal]) => {
        children.delete(child);
        return String(signal ?? status);
      });
      const first = await Promise.race([once(child, 'message').then(([message]) => ({ port: message.port as number | undefined })), gone]);
      if (typeof first === 'string') throw new Error(`the worker ended with ${first}: ${said}`);
      const pid = child.pid ?? 0;
      return {
        pid,
        port: first.port,
        said: () => said,
        ended: gone,
        frozen: async () => {
          await until(`worker ${pid} to stop`, () => isFrozen(pid));
        },
        signal: (signal) => {
          child.kill(signal);
        },
      };
    },

    /** The same engine in this process. */
    startSurvivor: async () => {
      const own = createClients(config);
      const engine = await startEngine({
        ...own,
        ...config,
        queueUrl,
        graceUntilDrained: true,
        failpoint: () => {},
        onDead: () => {},
        telemetry: NO_TELEMETRY,
        log,
      });
      return {
        stop: async () => {
          await engine.stop(10_000);
          own.store.close();
          own.queue.close();
          own.issuer.close();
        },
      };
    },

    /** What the resource's dynos get. */
    credentials: async () => {
      const found = await resources.secret(resource.id, 'credentials');
      if (found === undefined) throw new Error('no credentials');
      return found;
    },

    /** Uploads a workflow; answers with the id of its run. */
    upload: async (run: unknown[], key = `in/${randomUUID()}`): Promise<string> => {
      const { versionId } = await clients.store.put(resource.bucket, key, JSON.stringify({ run }), { metadata: { ld_run: 'true' } });
      return runIdOf({ bucket: resource.bucket, key, versionId }, 1);
    },

    /**
     * Lets the store's clock jump: messages that a dead worker had received are visible again. The polls that wait already,
     * those of a frozen worker among them, are answered with nothing of interest.
     */
    passVisibility: async (): Promise<void> => {
      clock.ahead += VISIBILITY_MS;
      for (let n = 0; n < 3; n += 1)
        await sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: '{"Event":"s3:TestEvent"}' }));
    },

    /**
     * A worker that waits for jobs is handed BullMQ's marker; frozen, it keeps it, and the next one looks by itself only
     * after ten seconds. This gives the marker back as often as it takes, until `stop` is called.
     */
    giveMarkersBack: (): (() => void) => {
      const timer = setInterval(() => {
        for (const queue of Object.values(QUEUES)) redis.zadd(`${shardPrefix(0)}:${queue}:marker`, 0, '0').catch(() => {});
      }, 100);
      return () => clearInterval(timer);
    },

    /** SIGKILL of the store's process, and a new one on the same folder and port, later than any message is hidden. */
    crashStore: async () => {
      await store.crash(VISIBILITY_MS);
    },

    /** What holds whatever crashed where: launched at most once per attempt, ended once, nothing held for ever. */
    expectSound: async (run: RunView): Promise<void> => {
      const all = launches(run.id);
      expect(new Set(all).size, `launches per attempt: ${all.join(' ')}`).toBe(all.length);
      const ends = run.history.filter(({ what, task }) => task === null && ['succeeded', 'failed', 'cancelled'].includes(what));
      expect(ends).toHaveLength(1);
      expect(run.history.filter(({ what }) => what === 'accepted')).toHaveLength(1);
      for (const [k] of run.steps.entries()) {
        const last = Math.max(0, ...placesOf(run, k - 1, ['succeeded', 'failed', 'skipped']));
        for (const intent of placesOf(run, k, ['intent'])) expect(intent).toBeGreaterThan(last);
      }
      const left = async () => (await redis.keys(`{af0}:*${run.id}*`)).filter((key) => !key.includes(':run:'));
      await until('no job left', async () => (await left()).length === 0, 60_000).catch(async (cause: unknown) => {
        throw new Error(`left behind: ${(await left()).join(' ')}`, { cause });
      });
      // launches that were given up are looked for a while longer, and that is all
      await until(
        'no dyno watched',
        async () => (await redis.hkeys(keys.watch(resource.id))).every((field) => field.startsWith('?')),
        30_000,
      );
      await until('no dyno to stop', async () => (await redis.zcard(keys.stops)) === 0, 60_000);
      expect(await redis.zscore(keys.live, run.id)).toBeNull();
      // terminal is final
      expect(await show(run.id)).toMatchObject({ state: run.state, ended_at: run.ended_at });
    },

    /** Every message was deleted. */
    drained: async () => {
      await until('an empty queue', () => clients.queue.drained(queueUrl), 60_000);
    },

    stop: async () => {
      for (const child of children) {
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      }
      redis.disconnect();
      sqs.destroy();
      clients.store.close();
      clients.queue.close();
      clients.issuer.close();
      await stub.close();
      await store.close();
      await redisServer.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function placesOf(run: RunView, step: number, whats: readonly string[]): number[] {
  return run.history.filter(({ what, task }) => whats.includes(what) && task?.startsWith(`${run.id}.${step}.`)).map(({ n }) => n);
}

/** Whether a process is stopped. */
function isFrozen(pid: number): boolean {
  const stat = `/proc/${pid}/stat`;
  const state = existsSync(stat)
    ? readFileSync(stat, 'utf8').replace(/^.*\) /s, '')
    : String(spawnSync('ps', ['-o', 'state=', '-p', String(pid)]).stdout).trim();
  return state.startsWith('T');
}
