// The add-on in its world: a Redis, the local store as S3, SQS and STS, Heroku's side, the web process's routes on a port, and a worker in this
// process or one of its own that a failpoint can kill.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createAdaptorServer } from '@hono/node-server';
import { openAddonWorker } from '../../src/cli/addon-worker.ts';
import { openWebApp } from '../../src/cli/web-app.ts';
import { createClients, createSealerOf } from '../../src/cli/wiring.ts';
import { createAudit } from '../../src/queues/audit.ts';
import { connect } from '../../src/queues/connection.ts';
import { unchanged } from '../../src/queues/layout.ts';
import { createResources } from '../../src/queues/resources.ts';
import { readConfig } from '../../src/schema/config.ts';
import type { Failpoint } from '../../src/schema/failpoint.ts';
import type { Log } from '../../src/schema/log.ts';
import { NO_TELEMETRY } from '../../src/schema/telemetry.ts';
import { root, runStore } from '../store/running-store.ts';
import { startRedis } from '../support/redis-server.ts';
import { until } from '../support/until.ts';
import { startHerokuSide } from './heroku-side.ts';

const NODE = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url));
const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const MASTER_KEY = Buffer.alloc(32, 9).toString('base64');

const PASSWORD = 'super-secret-password';
export const SALT = '2f97bfa52ca102f8874716e2eb1d3b4920ad0be4';
const OPERATOR = 'an-operator-password';
export const BASIC = `Basic ${Buffer.from(`line-d:${PASSWORD}`).toString('base64')}`;

/** What the processes logged. */
export type LogLine = { level: string; message: string; fields: Readonly<Record<string, unknown>> };

export type AddonWorld = Awaited<ReturnType<typeof startAddonWorld>>;

export async function startAddonWorld(options: { env?: Record<string, string>; lifetime?: number; dynosAllowed?: boolean } = {}) {
  const redisServer = await startRedis();
  const store = await runStore();
  const heroku = await startHerokuSide({ clientSecret: 'oauth-client-secret', ...options });
  // where the add-on answers is part of its own configuration
  let fetchApp: Parameters<typeof createAdaptorServer>[0]['fetch'] = () => new Response(null, { status: 503 });
  const server = createAdaptorServer({ fetch: (...request) => fetchApp(...request) });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // a listening TCP server has an AddressInfo
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const env = {
    AUTOFILES_MODE: 'test',
    AUTOFILES_REDIS_SOCKET: redisServer.socket,
    AUTOFILES_S3_ENDPOINT: store.endpoint,
    AUTOFILES_SQS_ENDPOINT: store.endpoint,
    AUTOFILES_STS_ENDPOINT: store.endpoint,
    AUTOFILES_ACCESS_KEY_ID: root.accessKeyId,
    AUTOFILES_SECRET_ACCESS_KEY: root.secretAccessKey,
    AUTOFILES_MASTER_KEY: MASTER_KEY,
    AUTOFILES_ADDON_PASSWORD: PASSWORD,
    AUTOFILES_SSO_SALT: SALT,
    AUTOFILES_OAUTH_CLIENT_SECRET: 'oauth-client-secret',
    AUTOFILES_OPERATOR_PASSWORD: OPERATOR,
    AUTOFILES_PUBLIC_URL: url,
    AUTOFILES_LOCK_MS: '1000',
    AUTOFILES_ARCHIVE_BUCKET: 'autofiles-archive',
    HEROKU_API_URL: heroku.url,
    HEROKU_ID_URL: heroku.url,
    LOG_LEVEL: 'silent',
    ...options.env,
  };
  const config = readConfig(env);
  const lines: LogLine[] = [];
  const note = (level: string) => (fields: Readonly<Record<string, unknown>>, message: string) => {
    lines.push({ level, message, fields });
    if (process.env['TEST_LOG'] !== undefined) console.error(level, message, fields);
  };
  const log: Log = { debug: () => {}, info: note('info'), warn: note('warn'), error: note('error') };
  const redis = connect(config.redis, () => {});
  const resources = createResources({ redis, sealer: createSealerOf(config), now: Date.now });
  const clients = createClients(config);

  const web = await openWebApp(config, log);
  fetchApp = web.app.fetch;

  const running: (() => Promise<void>)[] = [];
  const children: ChildProcess[] = [];

  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        authorization: BASIC,
        'content-type': 'application/json',
        accept: 'application/vnd.heroku-addons+json; version=3',
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: text === '' ? undefined : safeJson(text) };
  };

  /** The resource is provisioned, and so is what the job does after that: the audit log, the archive. */
  const provisionedWhole = async (uuid: string, ms?: number): Promise<void> => {
    await until(`provisioned ${uuid}`, async () => (await resources.stateOf(uuid)) === 'provisioned', ms);
    await until(`the end of the job of ${uuid}`, async () => (await redis.keys(`{af:addon}:*:provision-${uuid}`)).length === 0);
  };

  return {
    url,
    env,
    config,
    redis,
    redisServer,
    store,
    heroku,
    resources,
    clients,
    lines,
    app: web.app,
    audit: createAudit({ redis }),
    /** One call of the Partner API with Heroku's credentials, or of anything else with other headers. */
    call,
    /** A worker in this process, configured as the world or otherwise; `failpoint` may throw, which ends what it does there. */
    work: async (failpoint: Failpoint = () => {}, settings = config, layout = unchanged(settings.shards)) => {
      const addon = await openAddonWorker({ config: settings, layout, clients, failpoint, telemetry: NO_TELEMETRY, log });
      const ends = await addon.start(() => Promise.resolve(0));
      const stop = async () => {
        await ends();
        addon.close();
      };
      running.push(stop);
      return stop;
    },
    /** `autofiles worker` in a process of its own; resolves with its signal or status when it has ended. */
    workerProcess: (failpoint = '') => {
      const child = spawn(NODE, ['--disable-warning=ExperimentalWarning', MAIN, 'worker'], {
        env: { PATH: process.env['PATH'], ...env, AUTOFILES_FAILPOINT: failpoint, LOG_LEVEL: 'warn' },
        stdio: ['ignore', process.env['TEST_LOG'] === undefined ? 'ignore' : 'inherit', 'inherit'],
      });
      children.push(child);
      return {
        ended: once(child, 'exit').then(([code, signal]) => signal ?? code),
        stop: async () => {
          if (child.exitCode !== null || child.signalCode !== null) return;
          const gone = once(child, 'exit');
          child.kill('SIGTERM');
          await gone;
        },
      };
    },
    /** Provisions a resource to the end, which must come within `ms`; answers with its uuid. */
    provisioned: async (more: Record<string, unknown> = {}, ms?: number) => {
      const { uuid, body } = heroku.create(more);
      const answer = await call('POST', '/heroku/resources', body);
      if (answer.status !== 202) throw new Error(`provision answered ${answer.status}: ${answer.text}`);
      await provisionedWhole(uuid, ms);
      return uuid;
    },
    provisionedWhole,
    stop: async () => {
      for (const stop of running) await stop();
      for (const child of children) {
        if (child.exitCode === null && child.signalCode === null) {
          const gone = once(child, 'exit');
          child.kill('SIGKILL');
          await gone;
        }
      }
      server.close();
      if ('closeAllConnections' in server) server.closeAllConnections();
      await web.close();
      clients.store.close();
      clients.queue.close();
      clients.issuer.close();
      clients.buckets.dispose();
      redis.disconnect();
      await heroku.close();
      await store.close();
      await redisServer.stop();
    },
  };
}

function safeJson(text: string) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
