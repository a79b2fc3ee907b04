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
import { DeleteObjectCommand, ListBucketsCommand, PutObjectCommand, S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { DeleteMessageCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { createClients } from '../../src/cli/wiring.ts';
import type { ChaosSettings } from '../../src/local/store/chaos.ts';
import { connect } from '../../src/queues/connection.ts';
import { unchanged } from '../../src/queues/layout.ts';
import { openAccount } from '../../src/queues/ledger.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createTokens } from '../../src/queues/tokens.ts';
import { readConfig } from '../../src/schema/config.ts';
import { startRedis } from '../support/redis-server.ts';
import type { ObjectId } from './checker/evidence.ts';
import { createDice, seedOf } from './dice.ts';
import { type Put, startDynoPlatform } from './dyno-platform.ts';
import { startFaultProxy } from './fault-proxy.ts';
import { openLedger } from './ledger.ts';
import { startStoreTap } from './store-tap.ts';
import { openSlot, type Slot } from './workers.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const STORE = here('../../src/local/store/main.ts');
const NODE_ARGS = ['--disable-warning=ExperimentalWarning'];
const root = { accessKeyId: 'AKIACHAOSROOT', secretAccessKey: 'canary-root-secret' };
const QUEUE = 'events';
/** What Heroku and operators prove themselves with. */
export const PAPERS = {
  partner: 'canary-partner-password',
  operator: 'canary-operator-password',
  salt: 'canary-salt-of-sign-on-forms',
  client: 'canary-oauth-client-secret',
};

/** Settings that make faults noticed soon; the margin of a lost launch is added to what the engine waits anyway. */
export const ADOPT_MARGIN_MS = 1_000;
export const GRACE_MS = 500;
/** Calls of the Platform API an hour: eight a second, so that launches wait for their turn, and would be too many if they did not. */
export const LAUNCHES_PER_HOUR = 28_800;
const QUICK = {
  AUTOFILES_LOCK_MS: '3000',
  AUTOFILES_POLL_MS: '100',
  // an event that never came is made up for soon
  AUTOFILES_HOOKED_POLL_MS: '1000',
  AUTOFILES_SWEEP_MS: '500',
  AUTOFILES_GRACE_MS: String(GRACE_MS),
  AUTOFILES_ADOPT_MARGIN_MS: String(ADOPT_MARGIN_MS),
  AUTOFILES_CONSUMERS: '2',
  AUTOFILES_LAUNCHES_PER_HOUR: String(LAUNCHES_PER_HOUR),
  AUTOFILES_LEDGER_MS: '3000',
  AUTOFILES_LATE_MS: '8000',
  LOG_LEVEL: 'info',
};

/** Milliseconds that whoever looks into the account as a message is deleted waits for Redis, and how far back the account is read. */
const ACCOUNT_ASKED_MS = 300;
const ACCOUNT_MS = 7_200_000;

export type World = Awaited<ReturnType<typeof startWorld>>;

/**
 * Starts it all in a folder. `main`: of the workers under test. `webMain`: of the web process, which has files beside its code.
 * `earlierMain`: of the half of the workers that run an earlier version.
 */
export async function startWorld(deps: {
  folder: string;
  seed: number;
  main: string;
  webMain: string;
  earlierMain: string | undefined;
  slots: number;
  onWorkerEnd: (slot: Slot, how: string, served: boolean) => void;
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
    remove: async ({ bucket: Bucket, key: Key, version: VersionId }) => {
      await insist(() => clientWith({}).send(new DeleteObjectCommand({ Bucket, Key, VersionId })));
    },
    overwrite: async ({ bucket: Bucket, key: Key }) => {
      await insist(() => clientWith({}).send(new PutObjectCommand({ Bucket, Key, Body: 'another one' })));
    },
    accounted: async (versions) => {
      const asked = Promise.all(versions.map(async (version) => (await accountedOf([version])).length === 1));
      return await Promise.race([asked.catch(() => undefined), pause(ACCOUNT_ASKED_MS, undefined)]);
    },
  });
  /** Those of the versions that the engine accounts for; none of what is no tenant's. */
  const accountedOf = async (versions: readonly ObjectId[]): Promise<readonly ObjectId[]> => {
    const found = await Promise.all(
      [...Map.groupBy(versions, ({ bucket }) => bucket)].map(async ([bucket, those]) => {
        const tenant = tenants.find((one) => one.bucket === bucket);
        if (tenant === undefined) return [];
        const account = await openAccount(redis, tenant.id, unchanged(1), Date.now() - ACCOUNT_MS);
        const missing = await account.missing(those.map(({ key, version }) => ({ bucket, key, versionId: version })));
        const open = new Set(missing.map(({ key, versionId }) => JSON.stringify([key, versionId])));
        return those.filter(({ key, version }) => !open.has(JSON.stringify([key, version])));
      }),
    );
    return found.flat();
  };
  const endpoint = `http://127.0.0.1:${tap.clean}`;
  const sqs = new SQSClient({ endpoint, region: 'us-east-1', credentials: root });
  const dynoClients = new Map<string, S3Client>();
  const clientWith = (vars: Readonly<Record<string, string>>): S3Client => {
    const accessKeyId = vars['LD_AWS_ACCESS_KEY_ID'] ?? root.accessKeyId;
    const credentials = {
      accessKeyId,
      secretAccessKey: vars['LD_AWS_SECRET_ACCESS_KEY'] ?? root.secretAccessKey,
      ...(vars['LD_AWS_SESSION_TOKEN'] === undefined ? {} : { sessionToken: vars['LD_AWS_SESSION_TOKEN'] }),
    };
    const client =
      dynoClients.get(accessKeyId) ?? new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, maxAttempts: 1, credentials });
    dynoClients.set(accessKeyId, client);
    return client;
  };
  /** The status of an answer of S3; throws what is no answer. */
  const statusOf = async (sent: Promise<unknown>): Promise<number> => {
    try {
      await sent;
      return 200;
    } catch (error) {
      const status = error instanceof S3ServiceException ? (error.$metadata.httpStatusCode ?? 0) : 0;
      if (status < 400 || status >= 500) throw error;
      return status;
    }
  };
  const dynoPut: Put = async (env, Bucket, Key, Metadata) => {
    if (env['LD_AWS_ACCESS_KEY_ID'] === undefined) {
      await clients.store.put(Bucket, Key, 'proof', { metadata: Metadata });
      return undefined;
    }
    const client = clientWith(env);
    const status = await statusOf(client.send(new PutObjectCommand({ Bucket, Key, Body: 'proof', Metadata })));
    // the bucket of a guest that is leaving: nothing is promised about what its last dynos write
    if (status !== 200 && !tenants.some(({ bucket }) => bucket === Bucket)) return undefined;
    if (status !== 200 && status !== 403) throw new Error(`S3 answered ${status} to a dyno`);
    return status === 200;
  };
  const platform = await startDynoPlatform({
    seed,
    ledger,
    put: dynoPut,
    buckets: () => tenants.map(({ bucket }) => bucket),
  });
  // Heroku's way to the web process, which has another port each time it starts
  const webAt = { host: '127.0.0.1', port: 1 };
  const front = await startFaultProxy(webAt, { port: 0 });
  const address = `http://127.0.0.1:${front.port}`;
  const token = 'canary-heroku-token';
  const masterKey = Buffer.from('canary-master-key-of-32-bytes-ab').toString('base64');
  const shared = {
    ...QUICK,
    // a killed worker is back soon
    NODE_COMPILE_CACHE: join(folder, 'compiled'),
    AUTOFILES_MODE: 'local',
    AUTOFILES_ACCESS_KEY_ID: root.accessKeyId,
    AUTOFILES_SECRET_ACCESS_KEY: root.secretAccessKey,
    AUTOFILES_QUEUE_NAME: QUEUE,
    AUTOFILES_HEROKU_TOKEN: token,
    AUTOFILES_MASTER_KEY: masterKey,
    AUTOFILES_PUBLIC_URL: address,
    AUTOFILES_HTTP_PORT: '0',
    AUTOFILES_ADDON_PASSWORD: PAPERS.partner,
    AUTOFILES_OPERATOR_PASSWORD: PAPERS.operator,
    AUTOFILES_SSO_SALT: PAPERS.salt,
    AUTOFILES_OAUTH_CLIENT_SECRET: PAPERS.client,
  };
  /** For what nothing breaks. */
  const engineEnv = {
    ...shared,
    AUTOFILES_REDIS_SOCKET: redisServer.socket,
    AUTOFILES_S3_ENDPOINT: endpoint,
    AUTOFILES_SQS_ENDPOINT: endpoint,
    AUTOFILES_STS_ENDPOINT: endpoint,
    HEROKU_API_URL: `http://127.0.0.1:${platform.port}`,
  };
  const config = readConfig(engineEnv);
  const clients = createClients(config);
  const redis = connect(config.redis, () => {});
  const runs = createRuns({ redis });
  const resources = createResources({ redis, sealer: clients.sealer, now: Date.now });
  const tenants = ['a', 'b'].map((name) => ({
    id: randomUUID(),
    app: `app-${name}`,
    bucket: `ld-private-${randomUUID()}`,
    region: 'us-east-1',
    plan: 'local',
  }));
  /** Saves a workflow in a bucket that is nobody's yet: no event tells of it, and it is to run never. */
  const saveBefore = async (bucket: string) => {
    await clients.buckets.make(bucket);
    const key = 'in/before';
    const body = JSON.stringify({ run: [{ cmd: 'ok' }] });
    const { versionId: version } = await clients.store.put(bucket, key, body, { metadata: { ld_run: 'true' } });
    ledger.note({ kind: 'upload', bucket, key, version, expect: 'never', document: body, shape: 'before its account' });
  };
  const { url: queueUrl } = await clients.queue.create(QUEUE);
  await saveBefore(tenants[1]?.bucket ?? '');
  // by the engine under test, not by ours: what it does wrong here is to be seen, too
  const provision = async ({ id, app, bucket, plan }: (typeof tenants)[number]) => {
    const child = spawn(
      process.execPath,
      [...NODE_ARGS, deps.main, 'provision', '--id', id, '--app', app, '--bucket', bucket, '--plan', plan],
      {
        env: { PATH: process.env['PATH'], ...engineEnv },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => appendFileSync(logFile, data));
    const [status] = await once(child, 'close');
    if (status !== 0) throw new Error(`the engine provisioned nothing: it ended with ${status}, see ${logFile}`);
  };
  for (const tenant of tenants) await provision(tenant);
  const makeTokens = createTokens({ redis, now: Date.now });
  const tokenOf = async ({ id }: { id: string }, scope: 'read' | 'write') =>
    (await makeTokens.make({ resource: id, scope, name: scope, by: 'chaos' })).token;
  const [first, second] = tenants;
  if (first === undefined || second === undefined) throw new RangeError('two tenants are needed');
  const tokens = { own: await tokenOf(first, 'write'), viewer: await tokenOf(first, 'read'), other: await tokenOf(second, 'write') };

  const starts = { own: 0, earlier: 0 };
  const open = (name: string, command: 'worker' | 'web', main: string, earlier = false) =>
    openSlot({
      name,
      command,
      main,
      earlier,
      folder,
      redisSocket: redisServer.socket,
      storePort: tap.faulty,
      herokuPort: platform.port,
      env: shared,
      onOutput: (text) => appendFileSync(logFile, text),
      onReady: (slot) => {
        if (slot.port !== undefined) webAt.port = slot.port;
        else if (slot.earlier) starts.earlier += 1;
        else starts.own += 1;
      },
      onEnd: deps.onWorkerEnd,
    });
  const slots = await Promise.all(
    Array.from({ length: deps.slots }, (_, n) => {
      const earlier = n % 2 === 1 && deps.earlierMain !== undefined;
      return open(`worker-${n + 1}`, 'worker', earlier ? (deps.earlierMain ?? deps.main) : deps.main, earlier);
    }),
  );
  const web = await open('web', 'web', deps.webMain);

  const killStore = async () => {
    const child = store;
    if (child === undefined) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };

  const guests: { readonly id: string; readonly app: string; readonly bucket: string }[] = [];
  const firstRuns: string[] = [];
  /** Asks again while the store is away. */
  const insist = async <T>(what: () => Promise<T>): Promise<T> => {
    for (let tries = 0; ; tries += 1) {
      try {
        return await what();
      } catch (error) {
        if (tries > 100) throw error;
        await pause(100);
      }
    }
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
    starts,
    /** The web process, and the way to it from outside. */
    web,
    front,
    address,
    tokens,
    queueUrl,
    secrets: [root.secretAccessKey, token, masterKey, ...Object.values(PAPERS), ...Object.values(tokens)],

    /** Puts a message of one's own into the event queue. */
    send: async (body: string) => {
      // the store is killed now and then; a message that came twice is one of the things that happen
      await insist(() => sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: body })));
    },

    /** Resources that come and go. */
    guests,
    /** Runs of the first tenant, oldest first. */
    firstRuns,

    /** Uploads a workflow of one task into a bucket that may be gone before it runs. */
    work: async (Bucket: string, cmd: string) => {
      const Body = JSON.stringify({ run: [{ cmd, timeout: 300, no_output: cmd === 'serve' }] });
      const put = new PutObjectCommand({ Bucket, Key: `in/${randomUUID()}`, Body, Metadata: { ld_run: 'true' } });
      await insist(() => statusOf(clientWith({}).send(put)));
    },

    /** What S3 answers to whoever writes into a bucket with the credentials of these config vars. */
    tryKeys: async (vars: Readonly<Record<string, string>>, Bucket: string): Promise<number> =>
      await insist(() => statusOf(clientWith(vars).send(new PutObjectCommand({ Bucket, Key: 'trespass', Body: 'x' })))),

    /** Names of all buckets. */
    buckets: async (): Promise<readonly string[]> =>
      ((await insist(() => clientWith({}).send(new ListBucketsCommand({})))).Buckets ?? []).flatMap(({ Name }) => Name ?? []),

    /** How the store treats its events from now on. */
    setEvents: async (settings: ChaosSettings) => {
      await clients.store.put('_autofiles', 'chaos', JSON.stringify(settings));
    },

    killStore,
    startStore,
    accountedOf,

    stop: async () => {
      await Promise.all([...slots, web].map((slot) => slot.close()));
      await front.close();
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
