import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { ObjectStore } from '../clients/ports.ts';
import type { OpsDeps } from '../http/ops.ts';
import { createArchiveMarks } from '../processors/archive-marks.ts';
import { type Engine, startEngine } from '../processors/engine.ts';
import { startLoop } from '../processors/loop.ts';
import { rememberedLayout } from '../processors/remembered-layout.ts';
import { answers, checkSafety } from '../queues/connection.ts';
import { hasLayout, LAYOUT_EVERY_MS, openLayout } from '../queues/layout.ts';
import { type Config, readConfig } from '../schema/config.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { toAll } from '../schema/telemetry.ts';
import { openAddonWorker } from './addon-worker.ts';
import { readFailpoint } from './failpoint.ts';
import { endWithSupervisor, stopOnSignal, tellReady } from './graceful.ts';
import { keepHeapSmall } from './heap.ts';
import { metricsAccess, openMetrics, openTraces } from './observability.ts';
import { openWebhookWorker } from './webhook-worker.ts';
import { connectFirst, createClients, createLog } from './wiring.ts';

/** Milliseconds that a stalled worker takes to leave what still works in order. */
const GIVE_UP_MS = 5_000;
/** Milliseconds between two questions to an archive that is away. */
const ARCHIVE_PAUSE_MS = 1_000;

/** `autofiles worker`: consumers, planner, task processors, poller, sweeper in one process. */
export async function runWorker(env: NodeJS.ProcessEnv): Promise<void> {
  keepHeapSmall();
  endWithSupervisor();
  const settings = readConfig(env);
  const log = createLog(settings, 'worker');
  const clients = createClients(settings);
  const probe = connectFirst(settings.redis, log);
  for (const warning of await checkSafety(probe)) log.warn({}, warning);
  // the workers say how many shards there are; what older ones hold is served on
  const remembered = await remember(probe, settings, clients.store, log);
  const layout = await openLayout({ redis: probe, first: settings.shards, ...(remembered === undefined ? {} : { remembered }) });
  const config = { ...settings, shards: Math.max(settings.shards, layout.served()) };
  let engine: Engine | undefined;
  let changes = false;
  const looking = startLoop({
    name: 'layout',
    every: LAYOUT_EVERY_MS,
    log,
    turn: async () => {
      if (!changes) return await layout.refresh();
      await engine?.whole();
      await layout.change(settings.shards);
      changes = false;
    },
  });
  const shards = Array.from({ length: config.shards }, (_, shard) => shard);
  const stalled = () => engine?.stalled().length ?? 0;
  // without its own port nobody could ask for them
  const metrics =
    config.workerPort === undefined
      ? undefined
      : await openMetrics({ redis: probe, shards: () => shards, perHour: config.launchesPerHour, stalled, log });
  const traces = await openTraces({ redis: probe, tracing: config.tracing, log });
  const queueUrl = config.queueUrl ?? (await findQueue(() => clients.queue.create(config.queueName), log)).url;
  const failpoint = readFailpoint(env['AUTOFILES_FAILPOINT'], config.mode === 'production');
  const telemetry = toAll([...(metrics === undefined ? [] : [metrics.telemetry]), traces.telemetry]);
  const addon = await openAddonWorker({ config, layout, clients, failpoint, telemetry, log });
  const started = await startEngine({
    ...clients,
    ...config,
    platform: addon.platform,
    onRateLimit: addon.onRateLimit,
    layout,
    queueUrl,
    graceUntilDrained: config.mode !== 'production',
    failpoint,
    onDead: (what) => {
      log.fatal({ stalled: what }, 'nothing of the due work is served: ending, so that a fresh process can');
      void Promise.race([engine?.stop(GIVE_UP_MS), sleep(GIVE_UP_MS)]).finally(() => process.exit(1));
    },
    telemetry,
    log,
  });
  engine = started;
  const stopAddon = await addon.start(started.whole);
  const webhooks = openWebhookWorker(config, log);
  const port =
    config.workerPort === undefined
      ? undefined
      : await (await import('./worker-port.ts')).openWorkerPort({
          ...workerOps(started, probe),
          metrics: metrics === undefined ? undefined : metricsAccess(config, metrics.render),
          config,
          port: config.workerPort,
          log,
        });
  stopOnSignal(
    async (deadline) => {
      const addonEnds = stopAddon();
      await Promise.all([started.stop(deadline, addonEnds), addonEnds, webhooks.stop()]);
      addon.close();
      await looking.stop();
      await traces.close();
      await port?.close();
      probe.disconnect();
      clients.store.close();
      clients.queue.close();
      clients.issuer.close();
      clients.buckets.dispose();
    },
    (line) => log.info({}, line),
  );
  // not before: of a worker that did not come up nobody would serve the shards
  changes = true;
  looking.nudge();
  tellReady(port?.port);
}

/** What the worker's own port answers. */
function workerOps(engine: Engine, redis: Redis): Omit<OpsDeps, 'metrics'> {
  return {
    health: () => {
      const stalled = engine.stalled();
      return { healthy: stalled.length === 0, problems: stalled.map((what) => `Work is due, but nothing of it is served: ${what}.`) };
    },
    ready: async () => await answers(redis),
  };
}

/** Milliseconds that the queue may be away when a worker starts: it may be starting too. */
const QUEUE_START_MS = 30_000;

async function findQueue<T>(create: () => Promise<T>, log: Log): Promise<T> {
  const until = Date.now() + QUEUE_START_MS;
  for (;;) {
    try {
      return await create();
    } catch (error) {
      if (!(error instanceof Failure && error.retry) || Date.now() > until) throw error;
      log.debug({ error: messageOf(error) }, 'event queue not there yet');
      await sleep(100);
    }
  }
}

/** What a worker starts with on a Redis without a layout. */
async function remember(redis: Redis, { archiveBucket }: Pick<Config, 'archiveBucket'>, store: ObjectStore, log: Log) {
  if (archiveBucket === undefined) return undefined;
  const { witness } = createArchiveMarks({ store, bucket: archiveBucket });
  return await rememberedLayout({ isKnown: () => hasLayout(redis), witness, pause: () => sleep(ARCHIVE_PAUSE_MS), log });
}
