// Everything that a chaos run needs, started: Redis, the local store in a process of its own behind its tap, the dyno
// platform, two resources, and places for workers.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DeleteObjectCommand, ListBucketsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
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
import { QUEUE, ROOT, SECRETS, sharedEnv } from './settings.ts';
import { insist, openStoreClients, statusOf } from './store-clients.ts';
import { NODE_ARGS, openStore } from './store-process.ts';
import { startStoreTap } from './store-tap.ts';
import { openSlot, type Slot } from './workers.ts';

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
  const store = await openStore(join(folder, 'store'));
  const tap = await startStoreTap({
    port: store.port,
    dice: createDice(seedOf(seed, 'store')),
    ledger,
    discard: async (ReceiptHandle) => {
      await sqs.send(new DeleteMessageCommand({ QueueUrl: queueUrl, ReceiptHandle }));
    },
    remove: async ({ bucket: Bucket, key: Key, version: VersionId }) => {
      await insist(() => stores.of({}).send(new DeleteObjectCommand({ Bucket, Key, VersionId })));
    },
    overwrite: async ({ bucket: Bucket, key: Key }) => {
      await insist(() => stores.of({}).send(new PutObjectCommand({ Bucket, Key, Body: 'another one' })));
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
  const sqs = new SQSClient({ endpoint, region: 'us-east-1', credentials: ROOT });
  const stores = openStoreClients(endpoint);
  const dynoPut: Put = async (env, Bucket, Key, Metadata) => {
    if (env['LD_AWS_ACCESS_KEY_ID'] === undefined) {
      await clients.store.put(Bucket, Key, 'proof', { metadata: Metadata });
      return undefined;
    }
    const client = stores.of(env);
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
  const shared = sharedEnv({ folder, address });
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

  const guests: { readonly id: string; readonly app: string; readonly bucket: string }[] = [];
  const firstRuns: string[] = [];
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
    secrets: [...SECRETS, ...Object.values(tokens)],

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
      await insist(() => statusOf(stores.of({}).send(put)));
    },

    /** What S3 answers to whoever writes into a bucket with the credentials of these config vars. */
    tryKeys: async (vars: Readonly<Record<string, string>>, Bucket: string): Promise<number> =>
      await insist(() => statusOf(stores.of(vars).send(new PutObjectCommand({ Bucket, Key: 'trespass', Body: 'x' })))),

    /** Names of all buckets. */
    buckets: async (): Promise<readonly string[]> =>
      ((await insist(() => stores.of({}).send(new ListBucketsCommand({})))).Buckets ?? []).flatMap(({ Name }) => Name ?? []),

    /** How the store treats its events from now on. */
    setEvents: async (settings: ChaosSettings) => {
      await clients.store.put('_autofiles', 'chaos', JSON.stringify(settings));
    },

    killStore: store.kill,
    startStore: store.start,
    accountedOf,

    stop: async () => {
      await Promise.all([...slots, web].map((slot) => slot.close()));
      await front.close();
      redis.disconnect();
      sqs.destroy();
      stores.close();
      clients.store.close();
      clients.queue.close();
      clients.issuer.close();
      await platform.close();
      await tap.close();
      await store.kill();
      await redisServer.stop();
    },
  };
}
