// What the dashboard's pages need beside what the API needs.
import { linesSince } from '../clients/heroku-log.ts';
import type { DynoPlatform, FileAccess, ObjectStore } from '../clients/ports.ts';
import type { AppDeps } from '../http/app.ts';
import { loadAssets } from '../http/dashboard/assets.ts';
import type { ConsentDeps } from '../http/dashboard/consent-routes.ts';
import type { LogSource } from '../http/dashboard/log-routes.ts';
import { csrfToken, type SessionDeps, sessionPrincipal } from '../http/session.ts';
import { readActivity } from '../queues/activity.ts';
import { ADDON_ACCOUNT, type Budget } from '../queues/budget.ts';
import type { connect } from '../queues/connection.ts';
import type { Resources } from '../queues/resources.ts';
import type { Config } from '../schema/config.ts';
import { Failure } from '../schema/failures.ts';
import type { VersionRef } from '../schema/ledger-view.ts';
import type { createAddonParts } from './wiring-addon.ts';

/** The outside services that pages show. */
export interface WebClients {
  readonly platform: DynoPlatform;
  readonly store: ObjectStore;
  readonly files: FileAccess;
}

/** `redisError`: the last thing that went wrong on the way to Redis. */
export function webPages(deps: {
  config: Config;
  redis: ReturnType<typeof connect>;
  clients: WebClients;
  /** Logs of dynos, as often as a page may read them. */
  logs: Pick<DynoPlatform, 'log' | 'follow'>;
  addon: Pick<ReturnType<typeof createAddonParts>, 'resources' | 'jobs'>;
  budget: Budget;
  session: SessionDeps;
  redisError: () => string;
  consent: ConsentDeps | undefined;
  /** Id of the run that a version saved now causes. */
  runIdOf: (version: VersionRef) => string;
}): AppDeps['dashboard'] {
  const { config, redis, clients, addon, budget, session, redisError } = deps;
  const { resources, jobs } = addon;
  return {
    assets: loadAssets(),
    mode: config.mode,
    visitors: [sessionPrincipal(session)],
    csrf: (c) => csrfToken(session, c),
    now: Date.now,
    redisTrouble: () => ({ where: placeOf(config.redis), error: redisError() }),
    consent: deps.consent,
    runIdOf: deps.runIdOf,
    placeOf: async (id) => {
      const found = await resources.get(id);
      return { app: found?.app_name ?? found?.app ?? '', store: found === undefined ? '' : clients.files.origin(found.bucket) };
    },
    logs: createLogSource(deps.logs, resources),
    store: clients.store,
    activity: (query) => readActivity(redis, { ...query, shards: config.shards }),
    outlook: (id) => budget.outlook(ADDON_ACCOUNT, id, []),
    rotate: (id) => jobs.add({ kind: 'rotate', resource: id, before: Date.now() }),
  };
}

/** Where Redis is, without user and password. */
function placeOf(redis: Config['redis']): string {
  if ('socket' in redis) return redis.socket;
  return 'url' in redis ? hostOf(redis.url) : redis.cluster.map(hostOf).join(', ');
}

function hostOf(url: string): string {
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}

/** Lines that a log's page shows at most: as many as Heroku keeps. */
const LOG_LINES = 1_500;

function createLogSource(platform: Pick<DynoPlatform, 'log' | 'follow'>, resources: Resources): LogSource {
  const appOf = async (id: string): Promise<string> => {
    const resource = await resources.get(id);
    if (resource === undefined) throw new Failure('not_found', `Found no resource ${id}.`);
    return resource.app;
  };
  return {
    read: async ({ resource, dyno, after }, signal) =>
      linesSince(await platform.log(await appOf(resource), dyno, LOG_LINES, { signal }), dyno, after),
    follow: async function* ({ resource, dyno, after }, signal) {
      yield* platform.follow(await appOf(resource), dyno, { after, signal });
    },
  };
}
