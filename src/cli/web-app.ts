// The HTTP side put together: what `autofiles web` serves, and what tests call without a socket.
import { randomUUID } from 'node:crypto';
import type { Hono } from 'hono';
import type { ObjectStore } from '../clients/ports.ts';
import { createAddressOf } from '../http/address.ts';
import { createApp } from '../http/app.ts';
import { apiTokens, localToken } from '../http/bearer.ts';
import { operatorPrincipal } from '../http/operator.ts';
import { sessionPrincipal } from '../http/session.ts';
import { createStreams } from '../http/streams.ts';
import { createArchiveMarks } from '../processors/archive-marks.ts';
import { archivedViews } from '../processors/archived-views.ts';
import { auditBucket } from '../processors/audit-bucket.ts';
import { backfillPage, plannersSince } from '../processors/backfill.ts';
import type { EventDeps } from '../processors/event-deps.ts';
import { decideAtLast } from '../processors/events.ts';
import { limitedLogs } from '../processors/limited-logs.ts';
import { observedRuns } from '../processors/observed.ts';
import { createPlanLimits, planFaults } from '../processors/plan-limits.ts';
import { createResourceArchive } from '../processors/resource-archive.ts';
import { createLastingAudit } from '../queues/audit.ts';
import { ADDON_ACCOUNT, createBudget } from '../queues/budget.ts';
import { connect } from '../queues/connection.ts';
import { createDynoNews } from '../queues/dyno-news.ts';
import { readFileHistory } from '../queues/file-runs.ts';
import { giveUpAfter } from '../queues/give-up.ts';
import { openLayout } from '../queues/layout.ts';
import { createLedger, readLedger } from '../queues/ledger.ts';
import { createLocks } from '../queues/locks.ts';
import { createRateLimit } from '../queues/rate-limit.ts';
import { replay } from '../queues/replay.ts';
import { createResourceBackup } from '../queues/resource-backup.ts';
import { changeResource } from '../queues/resource-settings.ts';
import { readResourceView } from '../queues/resource-view.ts';
import { countRuns, listRuns } from '../queues/run-list.ts';
import { createRuns } from '../queues/runs.ts';
import { createSessions } from '../queues/sessions.ts';
import { readSetAside } from '../queues/set-aside.ts';
import { epochOfRepeat, lossOf, redoRun } from '../queues/store-epoch.ts';
import { createTokens } from '../queues/tokens.ts';
import { readDocument, readHead, readHistory, readRun } from '../queues/views.ts';
import { createWebhooks } from '../queues/webhooks.ts';
import type { Config } from '../schema/config.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { parseRunId } from '../schema/ids.ts';
import type { Log } from '../schema/log.ts';
import { NO_TELEMETRY } from '../schema/telemetry.ts';
import type { WorkflowPlan } from '../schema/workflow.ts';
import { createConsent } from './launch-leave.ts';
import { openWebOps } from './web-ops.ts';
import { type WebClients, webPages } from './web-pages.ts';
import { openWebShards } from './web-shards.ts';
import { createFiles, createSealerOf, createStores } from './wiring.ts';
import { createAddonParts } from './wiring-addon.ts';

export interface WebApp {
  readonly app: Hono;
  /** Ends all event streams, which would last as long as the runs that they follow. */
  endStreams(): void;
  /** Gives up all connections; no request may be under way any more. */
  close(): Promise<void>;
}

/** Reads of dyno logs that an app has a minute: each is one of the 4,500 calls an hour by which all tasks are launched. */
const LOG_READS_PER_MINUTE = 30;

/** Milliseconds that a request waits for one answer of Redis. */
const ANSWER_MS = 5_000;

/** Connects to Redis and puts all routes together. */
export async function openWebApp(settings: Config, log: Log, instead: Partial<WebClients> = {}): Promise<WebApp> {
  let lastError = '';
  const onError = (error: Error) => {
    lastError = messageOf(error);
    log.warn({ error: lastError }, 'redis connection');
  };
  const redis = connect(settings.redis, onError);
  const layout = await openLayout({ redis });
  const config = {
    ...settings,
    // asked anew each time: their number may have been raised since this process started
    get shards() {
      return Math.max(settings.shards, layout.served());
    },
  };
  const shards = () => config.shards;
  const perShard = await openWebShards({ redis, layout, shards, onError, log });
  const { channel, feed, planners } = perShard;
  const budget = createBudget({ redis, perHour: config.launchesPerHour, log });
  const files = createFiles(config);
  const webhooks = createWebhooks({ redis, sealer: createSealerOf(config), shards, now: Date.now, onError });
  const tokens = createTokens({ redis, now: Date.now });
  const ops = await openWebOps({ redis, config, log });
  const runs = observedRuns(createRuns({ redis, shards }), ops.telemetry);
  const parts = createAddonParts({ config, redis, sealer: createSealerOf(config), onError });
  const audit = createLastingAudit({
    redis,
    id: randomUUID,
    now: Date.now,
    away: (error, resource, { actor, action, detail }) =>
      log.error({ resource, actor, action, detail, error: messageOf(error) }, 'an act is in the audit log when Redis answers'),
  });
  const addon = { ...parts, audit };
  const ownStore = createStores(config).store;
  const clients = { platform: addon.platform, store: ownStore, files, ...instead };
  const store: ObjectStore = clients.store;
  const archived = archivedViews({ store, bucket: config.archiveBucket });
  const books = createLedger({ redis, layout });
  const placeOf = async (id: string) => {
    const resource = await addon.resources.get(id);
    if (resource === undefined) throw new Failure('not_found', `Found no resource ${id}.`);
    return resource;
  };
  const addressOf = createAddressOf(config.mode === 'production');
  const local = localToken({ token: config.apiToken, resource: async () => config.resource ?? (await addon.resources.only()) });
  const session = { sessions: createSessions({ redis }), resources: addon.resources, secure: config.mode === 'production' };
  const limits = createPlanLimits({ count: (id, since) => countRuns(redis, config.shards, id, since), now: Date.now });
  const logs = limitedLogs(clients.platform, {
    rate: createRateLimit({ redis }),
    budget,
    account: ADDON_ACCOUNT,
    perMinute: config.mode === 'production' ? LOG_READS_PER_MINUTE : undefined,
  });
  const eventDeps: EventDeps = {
    runs,
    resources: addon.resources,
    store,
    planners,
    place: layout.place,
    outstanding: budget.outstanding,
    limits,
    // the cap guards against loops of events
    runsPerMinute: undefined,
    asked: true,
    now: Date.now,
    failpoint: () => {},
    // what a backfill decides has no event, and lies about for days
    telemetry: NO_TELEMETRY,
    log,
  };
  const loss = async () => await lossOf(redis);
  const redone = async (runId: string, epoch: number) => await redoRun(redis, runId, epoch);
  // what has left Redis is in the archive
  const show = async (runId: string) => (await readRun(redis, runId, budget)) ?? (await archived.show(runId));
  const streams = createStreams({ log });
  // only now: a start waits for Redis, and so do the connections that hear its channels, which were made of this one
  giveUpAfter(redis, ANSWER_MS);
  const app = createApp({
    streams,
    signOn: {
      ...session,
      ...config.addon,
      local,
      audit: addon.audit,
      addressOf,
      now: Date.now,
      log,
    },
    credentials: { resources: addon.resources, jobs: addon.jobs, audit: addon.audit, now: Date.now },
    audit: addon.audit,
    admin: { ...addon, password: config.addon.operatorPassword, addressOf, now: Date.now },
    partner: {
      ...addon,
      planAudit: parts.audit,
      archive: createResourceArchive({ store, archiveBucket: config.archiveBucket, backup: createResourceBackup({ redis }), log }),
      localPlan: config.mode === 'local',
      addonId: config.addon.id,
      addonPassword: config.addon.password,
      region: config.region,
      asyncDeprovision: config.addon.asyncDeprovision,
      addressOf,
      now: Date.now,
      id: randomUUID,
      log,
    },
    rate: createRateLimit({ redis }),
    limits: config.limits,
    addressOf,
    herokuHooks: {
      ...session,
      news: createDynoNews({ redis, runs, log }),
      addressOf,
      now: Date.now,
      log,
    },
    principals: [local, apiTokens({ find: tokens.find, gone: addon.resources.gone }), sessionPrincipal(session)],
    tokens,
    hosts: config.mode === 'production' ? undefined : ['127.0.0.1', 'localhost', '[::1]'],
    ops: ops.ops,
    show,
    head: async (runId) => (await readHead(redis, runId)) ?? (await archived.head(runId)),
    history: async (runId, after, limit) =>
      (await readHead(redis, runId)) === undefined
        ? await archived.history(runId, after, limit)
        : await readHistory(redis, runId, after, limit),
    document: async (runId) => (await readDocument(redis, runId)) ?? (await archived.document(runId)),
    list: (query) => listRuns(redis, config.shards, query, () => performance.now()),
    account: {
      audit: async (id, order, signal) => {
        if (config.archiveBucket === undefined) throw new Failure('conflict', 'Found no archive bucket, which keeps the watermarks.');
        const marks = createArchiveMarks({ store, bucket: config.archiveBucket });
        const deps = { ledger: books, store, marks, locks: createLocks({ redis }), lateMs: config.lateMs, now: Date.now };
        return await auditBucket(deps, await placeOf(id), order, signal);
      },
      backfill: async (id, order) =>
        await backfillPage(
          {
            ledger: books,
            store,
            archived,
            loss,
            decide: async (event, redo, known) =>
              await decideAtLast({ ...eventDeps, redo, planners: plannersSince(known, planners, { loss, redo: redone }) }, event, 1),
          },
          await placeOf(id),
          order,
        ),
    },
    runIdsOf: layout.candidates,
    cancel: async (runId, by) => {
      const said = (await runs.cancel(runId, by)).replace(/^ended:/, '');
      const state = said === 'gone' ? (await archived.head(runId))?.state : said;
      if (state === undefined) throw new Failure('not_found', `Found no run ${runId}.`);
      return state;
    },
    id: randomUUID,
    retry: async (order) => {
      const lost = () => epochOfRepeat(redis, Date.now());
      const allow = async (id: string, plan: WorkflowPlan, of: string) => {
        const resource = await placeOf(id);
        const faults = planFaults(resource, plan);
        if (faults.length > 0) throw new Failure('workflow_invalid', faults.join('\n'));
        const full = await limits.begin(resource, of);
        if (full !== undefined) throw new Failure('conflict', full);
      };
      const runId = await replay(
        { redis, runs, archived: archived.run, lost, redo: redone, allow },
        { ...order, cap: config.runsPerMinute },
      );
      await planners[parseRunId(runId)?.shard ?? 0]?.defer(runId);
      return runId;
    },
    listen: channel.listen,
    feed,
    webhooks,
    tasks: { show, resource: addon.resources.get, log: logs.log },
    files: {
      access: clients.files,
      history: (id, key) => readFileHistory(redis, config.shards, id, key),
      resource: addon.resources.get,
    },
    resources: {
      view: (id) => readResourceView({ redis, resources: addon.resources, budget, shards: config.shards, now: Date.now }, id),
      change: (id, settings, actor) => changeResource({ resources: addon.resources, budget, audit: addon.audit }, id, settings, actor),
      ledger: async (id) => {
        const resource = await addon.resources.get(id);
        return resource === undefined ? undefined : await readLedger(redis, resource, config.shards);
      },
      setAside: (id, limit) => readSetAside(redis, config.shards, id, { limit }),
    },
    log,
    board: { queues: perShard.queues, operators: [operatorPrincipal(config.addon.operatorPassword), sessionPrincipal(session)] },
    dashboard: webPages({
      runIdOf: (version) => layout.place(version, Date.now()),
      config,
      redis,
      clients,
      logs,
      addon,
      budget,
      session,
      redisError: () => lastError,
      consent: createConsent(addon, config, session),
    }),
  });
  return {
    app,
    endStreams: streams.end,
    close: async () => {
      await perShard.close();
      await ops.close();
      await addon.jobs.close();
      await webhooks.close();
      files.close();
      redis.disconnect();
      ownStore.close();
    },
  };
}
