// Everything that a chaos run needs, started: Redis, the local store in a process of its own behind its tap, the dyno
// platform, two resources, and places for workers.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { PutObjectCommand, S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { DeleteMessageCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { createClients, createLog } from '../../src/cli/wiring.ts';
import type { ChaosSettings } from '../../src/local/store/chaos.ts';
import { provision } from '../../src/processors/provision.ts';
import { connect } from '../../src/queues/connection.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { readConfig } from '../../src/schema/config.ts';
import { startRedis } from '../support/redis-server.ts';
import { createDice, seedOf } from './dice.ts';
import { type Put, startDynoPlatform } from './dyno-platform.ts';
import { openLedger } from './ledger.ts';
import { startStoreTap } from './store-tap.ts';
import { openSlot, type Slot } from './workers.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const STORE = here('../../src/local/store/main.ts');
const NODE_ARGS = ['--disable-warning=ExperimentalWarning'];
const root = { accessKeyId: 'AKIACHAOSROOT', secretAccessKey: 'canary-root-secret' };
const QUEUE = 'events';

/** Settings that make faults noticed soon; the margin of a lost launch is added to what the engine waits anyway. */
export const ADOPT_MARGIN_MS = 1_000;
/** Calls of the Platform API an hour: ten a second, so that launches wait for their turn now and then. */
export const LAUNCHES_PER_HOUR = 36_000;
const QUICK = {
  AUTOFILES_LOCK_MS: '3000',
  AUTOFILES_POLL_MS: '100',
  AUTOFILES_SWEEP_MS: '500',
  AUTOFILES_GRACE_MS: '500',
  AUTOFILES_ADOPT_MARGIN_MS: String(ADOPT_MARGIN_MS),
  AUTOFILES_CONSUMERS: '2',
  AUTOFILES_LAUNCHES_PER_HOUR: String(LAUNCHES_PER_HOUR),
  AUTOFILES_LEDGER_MS: '3000',
  AUTOFILES_LATE_MS: '8000',
  LOG_LEVEL: 'info',
  // a killed worker is back soon
  NODE_COMPILE_CACHE: fileURLToPath(new URL('../../node_modules/.cache/autofiles', import.meta.url)),
};

export type World = Awaited<ReturnType<typeof startWorld>>;

/** Starts it all in a folder. `main`: the main.ts of the engine under test. */
export async function startWorld(deps: {
  folder: string;
  seed: number;
  main: string;
  slots: number;
  onWorkerEnd: (slot: Slot, how: string) => void;
}) {
  const { folder, seed } = deps;
  // promises about what is in Redis are looked at here; what follows from losing it is tests/ledger's
  const redisServer = await startRedis({ fsync: 'always' });
  const ledger = openLedger(join(folder, 'ledger.jsonl'));
  const logFile = join(folder, 'workers.log');
  const storeDir = join(folder, 'store');
  await mkdir(storeDir, { recursive: true });
  let store: ChildProcess | undefined;
  let storePort = 0;

  const startStore = async () => {
    const child = spawn(process.execPath, [...NODE_ARGS, STORE], {
      env: {
        PATH: process.env['PATH'],
        AUTOFILES_STORE_DIR: storeDir,
        AUTOFILES_STORE_PORT: String(storePort),
        AUTOFILES_STORE_ACCESS_KEY_ID: root.accessKeyId,
        AUTOFILES_STORE_SECRET_ACCESS_KEY: root.secretAccessKey,
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const [ready] = await once(child, 'message');
    storePort = ready.port;
    store = child;
  };
  await startStore();

  const tap = await startStoreTap({
    port: () => storePort,
    dice: createDice(seedOf(seed, 'store')),
    ledger,
    discard: async (ReceiptHandle) => {
      await sqs.send(new DeleteMessageCommand({ QueueUrl: queueUrl, ReceiptHandle }));
    },
  });
  const endpoint = `http://127.0.0.1:${tap.clean}`;
  const sqs = new SQSClient({ endpoint, region: 'us-east-1', credentials: root });
  const dynoClients = new Map<string, S3Client>();
  const dynoPut: Put = async (env, Bucket, Key, Metadata) => {
    const accessKeyId = env['LD_AWS_ACCESS_KEY_ID'];
    if (accessKeyId === undefined) {
      await clients.store.put(Bucket, Key, 'proof', { metadata: Metadata });
      return undefined;
    }
    const client =
      dynoClients.get(accessKeyId) ??
      new S3Client({
        endpoint,
        region: 'us-east-1',
        forcePathStyle: true,
        maxAttempts: 1,
        credentials: {
          accessKeyId,
          secretAccessKey: env['LD_AWS_SECRET_ACCESS_KEY'] ?? '',
          sessionToken: env['LD_AWS_SESSION_TOKEN'] ?? '',
        },
      });
    dynoClients.set(accessKeyId, client);
    try {
      await client.send(new PutObjectCommand({ Bucket, Key, Body: 'proof', Metadata }));
      return true;
    } catch (error) {
      if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 403) return false;
      throw error;
    }
  };
  const platform = await startDynoPlatform({
    seed,
    ledger,
    put: dynoPut,
    buckets: () => tenants.map(({ bucket }) => bucket),
  });
  const token = 'canary-heroku-token';
  const masterKey = Buffer.from('canary-master-key-of-32-bytes-ab').toString('base64');
  const shared = {
    ...QUICK,
    AUTOFILES_MODE: 'local',
    AUTOFILES_ACCESS_KEY_ID: root.accessKeyId,
    AUTOFILES_SECRET_ACCESS_KEY: root.secretAccessKey,
    AUTOFILES_QUEUE_NAME: QUEUE,
    AUTOFILES_HEROKU_TOKEN: token,
    AUTOFILES_MASTER_KEY: masterKey,
  };
  const config = readConfig({
    ...shared,
    AUTOFILES_REDIS_SOCKET: redisServer.socket,
    AUTOFILES_S3_ENDPOINT: endpoint,
    AUTOFILES_SQS_ENDPOINT: endpoint,
    AUTOFILES_STS_ENDPOINT: endpoint,
    HEROKU_API_URL: `http://127.0.0.1:${platform.port}`,
  });
  const clients = createClients(config);
  const redis = connect(config.redis, () => {});
  const runs = createRuns({ redis });
  const resources = createResources({ redis, sealer: clients.sealer, now: Date.now });
  const log = createLog({ logLevel: 'silent' }, 'chaos');
  const tenants = ['a', 'b'].map((name) => ({
    id: randomUUID(),
    app: `app-${name}`,
    bucket: `ld-private-${randomUUID()}`,
    region: 'us-east-1',
    plan: 'test',
  }));
  for (const tenant of tenants) await provision({ ...clients, resources, queueName: QUEUE, log }, tenant);
  const { url: queueUrl } = await clients.queue.create(QUEUE);

  const slots = await Promise.all(
    Array.from({ length: deps.slots }, (_, n) =>
      openSlot({
        name: `worker-${n + 1}`,
        main: deps.main,
        folder,
        redisSocket: redisServer.socket,
        storePort: tap.faulty,
        herokuPort: platform.port,
        env: shared,
        onOutput: (text) => appendFileSync(logFile, text),
        onEnd: deps.onWorkerEnd,
      }),
    ),
  );

  const killStore = async () => {
    const child = store;
    if (child === undefined) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };

  return {
    folder,
    logFile,
    redisServer,
    redis,
    runs,
    resources,
    ledger,
    tap,
    platform,
    clients,
    tenants,
    slots,
    queueUrl,
    secrets: [root.secretAccessKey, token, masterKey],

    /** Puts a message of one's own into the event queue. */
    send: async (body: string) => {
      for (let tries = 0; ; tries += 1) {
        try {
          await sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: body }));
          return;
        } catch (error) {
          // the store is killed now and then; a message that came twice is one of the things that happen
          if (tries > 100) throw error;
          await pause(100);
        }
      }
    },

    /** How the store treats its events from now on. */
    setEvents: async (settings: ChaosSettings) => {
      await clients.store.put('_autofiles', 'chaos', JSON.stringify(settings));
    },

    killStore,
    startStore,

    stop: async () => {
      await Promise.all(slots.map((slot) => slot.close()));
      redis.disconnect();
      sqs.destroy();
      for (const client of dynoClients.values()) client.destroy();
      clients.store.close();
      clients.queue.close();
      clients.issuer.close();
      await platform.close();
      await tap.close();
      await killStore();
      await redisServer.stop();
    },
  };
}
