// The HTTP side put together: what `autofiles web` serves, and what tests call without a socket.
import { randomUUID } from 'node:crypto';
import type { Hono } from 'hono';
import { createAddressOf } from '../http/address.ts';
import { createApp } from '../http/app.ts';
import { apiTokens, localToken } from '../http/bearer.ts';
import { operatorPrincipal } from '../http/operator.ts';
import { sessionPrincipal } from '../http/session.ts';
import { observedRuns } from '../processors/observed.ts';
import { openBoards } from '../queues/boards.ts';
import { ADDON_ACCOUNT, createBudget } from '../queues/budget.ts';
import { openChannel } from '../queues/channel.ts';
import { connect } from '../queues/connection.ts';
import { openFeed } from '../queues/feed.ts';
import { readFileHistory } from '../queues/file-runs.ts';
import { runIdOf } from '../queues/identity.ts';
import { readLedger } from '../queues/ledger.ts';
import { createPlanner } from '../queues/planner.ts';
import { replay } from '../queues/replay.ts';
import { readResourceView } from '../queues/resource-view.ts';
import { listRuns } from '../queues/run-list.ts';
import { createRuns } from '../queues/runs.ts';
import { createSessions } from '../queues/sessions.ts';
import { createTokens } from '../queues/tokens.ts';
import { readDocument, readHead, readHistory, readRun } from '../queues/views.ts';
import type { Config } from '../schema/config.ts';
import { messageOf } from '../schema/failures.ts';
import { parseRunId } from '../schema/ids.ts';
import type { Log } from '../schema/log.ts';
import { openWebOps } from './web-ops.ts';

import { visitorsOf, type WebClients, webPages } from './web-pages.ts';
import { createClients, createFiles, createSealerOf } from './wiring.ts';
import { createAddonParts } from './wiring-addon.ts';

export interface WebApp {
  readonly app: Hono;
  /** Gives up all connections; no request may be under way any more. */
  close(): Promise<void>;
}

/** Connects to Redis and puts all routes together. */
export async function openWebApp(config: Config, log: Log, instead: Partial<WebClients> = {}): Promise<WebApp> {
  let lastError = '';
  const onError = (error: Error) => {
    lastError = messageOf(error);
    log.warn({ error: lastError }, 'redis connection');
  };
  const redis = connect(config.redis, onError);
  const channel = await openChannel({ connection: redis, shards: config.shards, onError });
  const budget = createBudget({ redis, perHour: config.launchesPerHour, log });
  const feed = await openFeed({ connection: redis, shards: config.shards, onError });
  const files = createFiles(config);
  const tokens = createTokens({ redis, now: Date.now });
  const planners = Array.from({ length: config.shards }, (_, shard) =>
    createPlanner({ shard, connection: redis, onError, failpoint: () => {} }),
  );
  const ops = await openWebOps({ redis, config, log });
  const runs = observedRuns(createRuns({ redis }), ops.telemetry);
  const addon = createAddonParts({ config, redis, sealer: createSealerOf(config), onError });
  const addressOf = createAddressOf(config.mode === 'production');
  const clients = { platform: addon.platform, store: createClients(config).store, ...instead };
  const boards = openBoards({ connection: redis, shards: config.shards, onError });
  const local = localToken({ token: config.apiToken, resource: config.resource ?? '' });
  const session = { sessions: createSessions({ redis }), resources: addon.resources, secure: config.mode === 'production' };
  const app = createApp({
    signOn: {
      ...session,
      ...config.addon,
      local,
      audit: addon.audit,
      addressOf,
      now: Date.now,
      log,
    },
    credentials: { resources: addon.resources, jobs: addon.jobs, now: Date.now },
    audit: addon.audit,
    admin: { ...addon, password: config.addon.operatorPassword, addressOf, now: Date.now },
    partner: {
      ...addon,
      addonId: config.addon.id,
      addonPassword: config.addon.password,
      region: config.region,
      asyncDeprovision: config.addon.asyncDeprovision,
      addressOf,
      now: Date.now,
      log,
    },
    principals: [local, apiTokens(tokens.find), sessionPrincipal(session)],
    tokens,
    hosts: config.mode === 'production' ? undefined : ['127.0.0.1', 'localhost', '[::1]'],
    ops: ops.ops,
    show: (runId) => readRun(redis, runId, budget),
    head: (runId) => readHead(redis, runId),
    history: (runId, after, limit) => readHistory(redis, runId, after, limit),
    document: (runId) => readDocument(redis, runId),
    list: (query) => listRuns(redis, config.shards, query),
    runIdOf: (event) => runIdOf(event, config.shards),
    cancel: runs.cancel,
    id: randomUUID,
    retry: async (order) => {
      const runId = await replay({ redis, runs }, { ...order, cap: config.runsPerMinute });
      await planners[parseRunId(runId)?.shard ?? 0]?.defer(runId);
      return runId;
    },
    listen: channel.listen,
    feed,
    tasks: { show: (runId) => readRun(redis, runId, budget), resource: addon.resources.get, log: addon.platform.log },
    files: {
      access: instead.files ?? files,
      history: (id, key) => readFileHistory(redis, config.shards, id, key),
      resource: addon.resources.get,
    },
    resources: {
      audit: addon.audit,
      view: (id) => readResourceView({ redis, resources: addon.resources, budget, shards: config.shards, now: Date.now }, id),
      change: async (id, { paused, commands }) => {
        const { done } = await addon.resources.change(id, { set: commands === undefined ? {} : { commands } });
        if (!done) return false;
        if (paused !== undefined) await (paused ? budget.pause : budget.resume)(ADDON_ACCOUNT, id);
        return true;
      },
      ledger: async (id) => {
        const resource = await addon.resources.get(id);
        return resource === undefined ? undefined : await readLedger(redis, resource, config.shards);
      },
    },
    log,
    board: { boards: boards.boards, operators: [operatorPrincipal(config.addon.operatorPassword), ...visitorsOf(config, session)] },
    dashboard: webPages({ config, redis, clients, addon, budget, session, redisError: () => lastError }),
  });
  return {
    app,
    close: async () => {
      await ops.close();
      await addon.jobs.close();
      channel.close();
      await boards.close();
      feed.close();
      files.close();
      await Promise.all(planners.map((planner) => planner.close()));
      redis.disconnect();
    },
  };
}
