// What the dashboard's pages need beside what the API needs.
import { linesSince } from '../clients/heroku-log.ts';
import type { DynoPlatform, FileAccess, ObjectStore } from '../clients/ports.ts';
import type { AppDeps } from '../http/app.ts';
import { loadAssets } from '../http/dashboard/assets.ts';
import type { LogSource } from '../http/dashboard/log-routes.ts';
import type { PrincipalSource } from '../http/principal.ts';
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
  clients: Pick<WebClients, 'platform' | 'store'>;
  addon: Pick<ReturnType<typeof createAddonParts>, 'resources' | 'jobs'>;
  budget: Budget;
  session: SessionDeps;
  redisError: () => string;
  /** Id of the run that a version saved now causes. */
  runIdOf: (version: VersionRef) => string;
}): AppDeps['dashboard'] {
  const { config, redis, clients, addon, budget, session, redisError } = deps;
  const { resources, jobs } = addon;
  return {
    assets: loadAssets(),
    mode: config.mode,
    visitors: visitorsOf(config, session),
    csrf: (c) => csrfToken(session, c),
    now: Date.now,
    redisTrouble: () => ({ where: placeOf(config.redis), error: redisError() }),
    runIdOf: deps.runIdOf,
    appOf: async (id) => (await resources.get(id))?.app ?? '',
    logs: createLogSource(clients.platform, resources),
    store: clients.store,
    activity: (query) => readActivity(redis, { ...query, shards: config.shards }),
    outlook: (id) => budget.outlook(ADDON_ACCOUNT, id, []),
    settings: {
      pause: async (id, paused) => {
        await (paused ? budget.pause(ADDON_ACCOUNT, id) : budget.resume(ADDON_ACCOUNT, id));
      },
      commands: async (id, commands) => {
        await resources.change(id, { set: { commands } });
      },
      rotate: (id) => jobs.add({ kind: 'rotate', resource: id, before: Date.now() }),
    },
  };
}

/** Who may see pages: whoever has a session, and on one's own machine whoever reaches the server. */
export function visitorsOf(config: Config, session: SessionDeps): readonly PrincipalSource[] {
  return [sessionPrincipal(session), ...(config.mode === 'production' ? [] : [localVisitor(config.resource ?? '')])];
}

/** Whoever reaches a server that listens on loopback only and refuses other sites' pages. */
function localVisitor(resource: string): PrincipalSource {
  return async () => await Promise.resolve({ kind: 'local', resource, scope: 'write', name: 'local' });
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

function createLogSource(platform: DynoPlatform, resources: Resources): LogSource {
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
