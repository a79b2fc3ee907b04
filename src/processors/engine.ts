import { createArchiveQueue } from '../queues/archive.ts';
import { ADDON_ACCOUNT, createBudget } from '../queues/budget.ts';
import { openChannel } from '../queues/channel.ts';
import { connect, duplicate } from '../queues/connection.ts';
import { QUEUES } from '../queues/keys.ts';
import { unchanged } from '../queues/layout.ts';
import { createLedger } from '../queues/ledger.ts';
import { createLooks } from '../queues/looks.ts';
import { createParking, openParks } from '../queues/parking.ts';
import { createPlanner } from '../queues/planner.ts';
import { createPurge } from '../queues/purge.ts';
import { createResourceBackup } from '../queues/resource-backup.ts';
import { createResourceJobs } from '../queues/resource-jobs.ts';
import { createResources } from '../queues/resources.ts';
import { countRuns } from '../queues/run-list.ts';
import { createRuns } from '../queues/runs.ts';
import { createStoreEpoch } from '../queues/store-epoch.ts';
import { createSweeping } from '../queues/sweeping.ts';
import { createWatch } from '../queues/watch.ts';
import { createWorkerSigns } from '../queues/worker-signs.ts';
import { messageOf } from '../schema/failures.ts';
import { createAllowances } from './allowance.ts';
import { createCommandCheck } from './allowed-command.ts';
import { startBookkeeping } from './bookkeeping.ts';
import { startBudgetAudit } from './budget-audit.ts';
import { chargedPlatform } from './charged-platform.ts';
import { createDynoLists } from './dyno-lists.ts';
import type { Engine, EngineOptions } from './engine-options.ts';
import type { EventDeps } from './event-deps.ts';
import { createEventHandler, decideAtLast } from './events.ts';
import { createFinishProcessor } from './finish.ts';
import { startGranting } from './grant.ts';
import { createJobWorkers } from './job-workers.ts';
import { startLiveness } from './liveness.ts';
import { observedPlatform, observedRuns } from './observed.ts';
import { createPauses } from './pauses.ts';
import { createPlanProcessor } from './plan.ts';
import { createPlanLimits } from './plan-limits.ts';
import { startPolling } from './poll.ts';
import { retentionOf } from './retention.ts';
import { sharedCall } from './shared-call.ts';
import { stopInOrder } from './stop-in-order.ts';
import { startSweeping } from './sweep.ts';
import { createTaskProcessor } from './task.ts';

/** Milliseconds that Redis may take to answer a look at what is due. */
const PROBE_DEADLINE_MS = 5_000;
/** What a sweep decides counts as received before: its event may have failed, or was lost. */
const SWEPT = 2;

export type { Engine, EngineOptions };

/** Starts everything and resolves when it works. Throws what Redis or the queue answered. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { log, now, failpoint } = options;
  const onError = (error: Error) => log.warn({ error: messageOf(error) }, 'redis connection');
  const redis = connect(options.redis, onError);
  const layout = options.layout ?? unchanged(options.shards);
  const runs = observedRuns(createRuns({ redis, shards: layout.served }), options.telemetry);
  const resources = createResources({ redis, sealer: options.sealer, now });
  const shards = Array.from({ length: options.shards }, (_, shard) => shard);
  const planners = shards.map((shard) => createPlanner({ shard, connection: redis, onError, failpoint }));
  const parks = openParks(redis, onError);
  const parkings = shards.map((shard) => createParking({ shard, connection: redis, parks, onError, failpoint }));
  const channel = await openChannel({ connection: redis, shards: () => options.shards, only: 'wakes', onError });
  const { store } = options;
  const budget = createBudget({ redis, perHour: options.launchesPerHour, log });
  const allowances = createAllowances({ resources, now: options.monotonic });
  const platform = observedPlatform(
    chargedPlatform(options.platform, () => budget.charge(ADDON_ACCOUNT)),
    options.telemetry,
    options.monotonic,
  );
  options.onRateLimit?.((remaining) => {
    // of interest only when it is less than what our own count may hold
    if (remaining <= budget.burst) budget.observe(ADDON_ACCOUNT, { remaining }).catch(onError);
  });
  const mayLook = async (resource: string) => await budget.mayPoll((await allowances.of(resource)).account);
  const lists = createDynoLists({
    list: (...call) => options.platform.list(...call),
    mayLook,
    charge: () => budget.charge(ADDON_ACCOUNT),
    monotonic: options.monotonic,
  });
  const granting = startGranting({ budget, runs, failpoint, log });

  const watches = shards.map((shard) => createWatch({ redis, shard }));
  const polling = startPolling({
    runs,
    resources,
    platform: { ...options.platform, list: lists.seen },
    charged: platform,
    silences: createPauses({ now: options.monotonic }),
    mayLook,
    watches,
    looks: createLooks({ redis }),
    pollMs: options.pollMs,
    hookedMs: options.hookedMs,
    monotonic: options.monotonic,
    failpoint,
    log,
  });
  const sweeps = watches.map((watch, shard) => {
    const planner = planners[shard];
    if (planner === undefined) throw new RangeError(`shard ${shard} has no planner`);
    const sweeping = createSweeping({ redis, shard });
    return startSweeping({
      runs,
      planner,
      sweeping,
      watch,
      budget,
      allowances,
      sweepMs: options.sweepMs,
      graceMs: options.graceMs,
      failpoint,
      log,
    });
  });

  const auditing = startBudgetAudit({
    budget,
    allowances,
    runs,
    watch: createWatch({ redis, shard: 0 }),
    everyMs: options.sweepMs,
    nudgeGrants: granting.nudge,
    log,
  });

  // a thousand tasks whose dynos ended at the same time ask the queue once
  const drained = sharedCall(() => options.queue.drained(options.queueUrl));

  const limits = createPlanLimits({ count: (resource, since) => countRuns(redis, options.shards, resource, since), now });
  const eventDeps = (): EventDeps => ({
    runs,
    resources,
    store,
    planners,
    place: layout.place,
    outstanding: budget.outstanding,
    runsPerMinute: options.runsPerMinute,
    now,
    failpoint,
    telemetry: options.telemetry,
    log,
    recall: books.recall,
    limits,
  });
  const books = startBookkeeping({
    ledger: createLedger({ redis, layout }),
    purgeRemoved: async (id) => {
      // while it is being removed, whoever removes it needs what there is
      if ((await resources.stateOf(id)) !== 'removed') return false;
      await createPurge({ redis, shards: layout.served }).purge(id);
      return true;
    },
    backup: createResourceBackup({ redis }),
    epochs: createStoreEpoch({ redis, shards: layout.served }),
    layout,
    // the cap per minute guards against loops of events; what the sweep finds was missed
    decide: async (event) => await decideAtLast({ ...eventDeps(), runsPerMinute: undefined }, event, SWEPT),
    drained,
    ledgerMs: options.ledgerMs,
    lateMs: options.lateMs,
    shards: shards.map((shard) => ({
      archive: createArchiveQueue({ redis, shard }),
      watch: createWatch({ redis, shard }),
      clock: createSweeping({ redis, shard }).clock,
    })),
    resources,
    resourceJobs: () => createResourceJobs({ connection: redis, onError }),
    store,
    archiveBucket: options.archiveBucket,
    retention: options.retention ?? retentionOf,
    retentionMs: options.retentionMs ?? 3_600_000,
    now,
    monotonic: options.monotonic,
    failpoint,
    log,
  });

  const tasks = createTaskProcessor({
    runs,
    resources,
    store,
    platform,
    budget,
    allowances,
    lists,
    ownLimits: createPauses({ now: options.monotonic }),
    checkCommand: createCommandCheck({ platform, now: options.monotonic }),
    nudgeGrants: granting.nudge,
    parkings,
    // without an archive there is nothing to tell a loss by
    whole: () => (books.recall === undefined ? 0 : books.recall.whole()),
    listen: channel.listen,
    ...(options.graceUntilDrained ? { drained } : {}),
    adoptMarginMs: options.adoptMarginMs,
    graceMs: options.graceMs,
    nudge: polling.nudge,
    token: options.id,
    now: options.now,
    monotonic: options.monotonic,
    random: options.random,
    failpoint,
    log,
  });

  const jobs = createJobWorkers({ ...options, redis });
  for (const shard of shards) {
    const planner = planners[shard];
    if (planner === undefined) continue;
    jobs.serve(shard, QUEUES.task, tasks.process, options.taskConcurrency);
    jobs.serve(shard, QUEUES.finish, createFinishProcessor({ runs, ended: books.ended, failpoint, log }), options.taskConcurrency);
    jobs.serve(shard, QUEUES.plan, createPlanProcessor({ planner }), 50);
  }
  await jobs.ready();

  const consumer = options.queue.consume(options.queueUrl, {
    consumers: options.consumers,
    onBatch: createEventHandler(eventDeps()),
    onSettled: () => failpoint('events.deleted'),
    onError: (error) => log.warn({ error: messageOf(error) }, 'event queue'),
  });
  const probe = duplicate(redis, { commandTimeout: PROBE_DEADLINE_MS });
  probe.on('error', (error) => log.debug({ error: messageOf(error) }, 'health connection'));
  const liveness = startLiveness({
    // a connection of its own that gives up: a wedged one must not hide that it is wedged
    redis: probe,
    signs: createWorkerSigns({ redis: probe }),
    worker: options.id(),
    shards: () => shards,
    queue: options.queue,
    queueUrl: options.queueUrl,
    served: jobs.served,
    lastPollAt: consumer.lastPollAt,
    stallMs: options.stallMs,
    unserved: () => (layout.served() > options.shards ? `shards ${options.shards} to ${layout.served() - 1}` : undefined),
    onDead: options.onDead,
    monotonic: options.monotonic,
    log,
  });
  log.info({ shards: options.shards, consumers: options.consumers }, 'engine started');

  return {
    stalled: liveness.stalled,
    whole: async () => (await books.recall?.settled(true)) ?? 0,
    stop: async (deadline, others = Promise.resolve()) =>
      await stopInOrder(
        {
          begun: (ms) => [
            // beside the others: a service that does not answer it must not keep them at work
            liveness.stop(),
            consumer.stop(ms),
            jobs.close(),
            granting.stop(),
            auditing.stop(),
            books.quiet(),
            // how it ends is for whoever stops it
            others.catch(() => {}),
            polling.stop(),
            ...sweeps.map((sweeping) => sweeping.stop()),
          ],
          lastWord: books.stop,
          settled: async () => {
            tasks.close();
            await budget.settle();
          },
          closed: async () => {
            channel.close();
            await Promise.all([...planners.map((planner) => planner.close()), ...parkings.map((parking) => parking.close())]);
          },
          gone: () => {
            probe.disconnect();
            parks.disconnect();
            redis.disconnect();
            log.info({}, 'engine stopped');
          },
        },
        { deadline, monotonic: options.monotonic },
      ),
  };
}
