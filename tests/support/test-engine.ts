import { randomUUID } from 'node:crypto';
import { type Engine, type EngineOptions, startEngine } from '../../src/processors/engine.ts';
import { connect, nodesOf } from '../../src/queues/connection.ts';
import { runIdOf } from '../../src/queues/identity.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { readRun } from '../../src/queues/views.ts';
import { parseRunId } from '../../src/schema/ids.ts';
import type { Log } from '../../src/schema/log.ts';
import { isFinal, type RunView } from '../../src/schema/run-view.ts';
import { NO_TELEMETRY } from '../../src/schema/telemetry.ts';
import type { TestCluster } from './redis-cluster.ts';
import type { TestRedis } from './redis-server.ts';
import { ARCHIVE_BUCKET, type Script, ScriptedCloud } from './scripted-cloud.ts';
import { until } from './until.ts';

const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const loud: Log = { debug: () => {}, info: () => {}, warn: (f, m) => console.warn(m, f), error: (f, m) => console.error(m, f) };

/** An engine of this test's own on the given Redis, with a scripted cloud around it. */
export async function startTestEngine(
  redisServer: Pick<TestRedis, 'socket' | 'cluster'> | Pick<TestCluster, 'cluster'>,
  scripts: Record<string, Script>,
  overrides: Partial<EngineOptions> = {},
) {
  const bucket = `ld-private-${randomUUID()}`;
  const resource: string = randomUUID();
  const cloud = new ScriptedCloud(bucket, scripts);
  const errors: Error[] = [];
  const { cluster, socket } = { socket: '', ...redisServer };
  const address = cluster === undefined ? { socket } : { cluster };
  const redis = connect(address, (error) => errors.push(error));
  const sealer = createSealer(Buffer.alloc(32, 7));
  const resources = createResources({ redis, sealer, now: Date.now });
  await resources.put({ id: resource, app: 'app', bucket, region: 'us-east-1', plan: 'test' });
  await resources.setCredentials(resource, {
    accessKeyId: 'ASIA',
    secretAccessKey: 's',
    sessionToken: 't',
    expiresAt: Date.now() + 43_200_000,
  });
  const options: EngineOptions = {
    redis: address,
    shards: 1,
    sealer,
    store: cloud.store,
    queue: cloud.queue,
    queueUrl: 'events',
    platform: cloud.platform,
    consumers: 1,
    taskConcurrency: 50,
    lockMs: 3000,
    pollMs: 50,
    hookedMs: 60_000,
    sweepMs: 500,
    graceMs: 200,
    adoptMarginMs: 300,
    graceUntilDrained: true,
    runsPerMinute: 1_000_000,
    stallMs: 30_000,
    onDead: () => {},
    launchesPerHour: 1_000_000_000,
    archiveBucket: ARCHIVE_BUCKET,
    now: Date.now,
    monotonic: () => performance.now(),
    random: Math.random,
    id: randomUUID,
    failpoint: () => {},
    telemetry: NO_TELEMETRY,
    log: process.env['TEST_LOG'] === undefined ? quiet : loud,
    ...overrides,
  };
  const engines: Engine[] = [await startEngine(options)];
  const runs = createRuns({ redis });
  const show = async (runId: string): Promise<RunView | undefined> => await readRun(redis, runId);

  return {
    cloud,
    redis,
    resource,
    bucket,
    runs,
    resources,
    options,
    show,
    /** Uploads a workflow; answers with the id of the run it will cause. */
    upload: (run: unknown[], key = `in/${randomUUID()}`, into = bucket): string => {
      const versionId = cloud.put(key, JSON.stringify({ run }), { ld_run: 'true' }, into);
      return runIdOf({ bucket: into, key, versionId }, options.shards);
    },
    /** Another tenant of the same engine, with an app and a bucket of its own. */
    otherResource: async (plan = 'test', commands: 'any' | 'procfile' = 'any') => {
      const other = {
        id: randomUUID(),
        app: `app-${randomUUID()}`,
        bucket: `ld-private-${randomUUID()}`,
        region: 'us-east-1',
        plan,
        commands,
      };
      await resources.put(other);
      return other;
    },
    /** What was set aside for a resource, oldest first; `-` for what belongs to nobody. */
    quarantine: async (of = resource): Promise<readonly { reason: string; key?: string; body?: string }[]> =>
      (await redis.zrange(shardKeys(0).quarantine(of), '0', '-1')).map((entry) => JSON.parse(entry)),
    /** How often each kind of decision was made for a resource. */
    decisions: async (of = resource): Promise<Record<string, number>> =>
      Object.fromEntries(Object.entries(await redis.hgetall(shardKeys(0).decisions(of))).map(([kind, n]) => [kind, Number(n)])),
    /** Names of keys, on whichever node. */
    keys: async (pattern: string): Promise<readonly string[]> =>
      (await Promise.all(nodesOf(redis).map((node) => node.keys(pattern)))).flat(),
    /** Keys of jobs that a run has left behind. */
    leftovers: async (runId: string): Promise<readonly string[]> =>
      (await Promise.all(nodesOf(redis).map((node) => node.keys(`{af*}:*${runId}*`)))).flat().filter((key) => !key.includes(':run:')),
    runIdOf: (key: string, versionId: string) => runIdOf({ bucket, key, versionId }, options.shards),
    /** The run as soon as it is final. */
    ended: async (runId: string, ms = 20_000): Promise<RunView> =>
      await until(
        `the end of ${runId}`,
        async () => {
          // the whole record of a large run is too much to be read every few milliseconds
          if ((await redis.hget(shardKeys(parseRunId(runId)?.shard ?? 0).run(runId), 'end')) === null) return undefined;
          const view = await show(runId);
          return view !== undefined && isFinal(view.state) && view;
        },
        ms,
      ),
    anotherEngine: async () => {
      const engine = await startEngine(options);
      engines.push(engine);
      return engine;
    },
    /** The engines stop, and one with other options takes their place. */
    replaceEngine: async (other: Partial<EngineOptions>) => {
      await Promise.all(engines.splice(0).map((engine) => engine.stop(5000)));
      const engine = await startEngine({ ...options, ...other });
      engines.push(engine);
      return engine;
    },
    stop: async () => {
      await Promise.all(engines.map((engine) => engine.stop(5000)));
      cloud.close();
      redis.disconnect();
    },
  };
}
export type TestEngine = Awaited<ReturnType<typeof startTestEngine>>;
