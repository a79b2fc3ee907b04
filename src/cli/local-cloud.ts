// `autofiles start`: redis, store, dynos, web and worker under one supervisor, on loopback, with the add-on provisioned
// for the app. Production and this differ by endpoints and credentials alone.
import { spawnSync } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { writeEndpointRules } from '../local/store/endpoint-rules.ts';
import { provision } from '../processors/provision.ts';
import { connect } from '../queues/connection.ts';
import { createResources } from '../queues/resources.ts';
import { readConfig } from '../schema/config.ts';
import { Failure } from '../schema/failures.ts';
import { type AppFolder, type Identity, openAppFolder, readIdentity, removeEnvFile, saveIdentity, writeEnvFile } from './app-folder.ts';
import { createSupervisor } from './supervisor.ts';
import { createClients, createLog } from './wiring.ts';

const QUEUE_NAME = 'autofiles-events';
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export interface LocalCloud {
  readonly folder: AppFolder;
  readonly identity: Identity;
  readonly urls: { readonly store: string; readonly dynos: string; readonly web: string };
  /** Environment of a command that talks to this cloud. */
  readonly env: Readonly<Record<string, string>>;
  /** Ends all five children in reverse order. */
  stop(): Promise<void>;
  kill(): void;
}

/**
 * Starts the local cloud of an app and resolves when all of it works and `.autofiles/env` is written. `say` gets
 * progress, one line each; `onLog` the children's own lines.
 */
export async function startLocalCloud(deps: {
  app: string;
  env: NodeJS.ProcessEnv;
  say: (line: string) => void;
  onLog: (child: string, line: string) => void;
}): Promise<LocalCloud> {
  if (deps.env['NODE_ENV'] === 'production') {
    throw new Failure(
      'config_invalid',
      'NODE_ENV: found production, but the local cloud has no place there. Run `autofiles web` and `autofiles worker` against AWS and Heroku.',
    );
  }
  const folder = await openAppFolder(deps.app);
  const identity = await readIdentity(folder);
  const supervisor = createSupervisor({ say: deps.say });
  const ports = { ...identity.ports };
  try {
    await startChildren();
    await saveIdentity(folder, { ...identity, ports });
    const env = await provisionApp();
    await writeEnvFile(folder, env);
    return {
      folder,
      identity: { ...identity, ports },
      urls: urls(),
      env,
      stop: async () => {
        await removeEnvFile(folder);
        await supervisor.stop();
      },
      kill: supervisor.kill,
    };
  } catch (error) {
    await supervisor.stop();
    throw error;
  }

  function urls() {
    const at = (port: number) => `http://127.0.0.1:${port}`;
    return { store: at(ports.store), dynos: at(ports.dynos), web: at(ports.web) };
  }

  /** The environment of web and worker. */
  function engineEnv(): Record<string, string> {
    const { store, dynos } = urls();
    return {
      AUTOFILES_MODE: 'local',
      AUTOFILES_REDIS_SOCKET: folder.socket,
      AUTOFILES_REGION: identity.region,
      AUTOFILES_S3_ENDPOINT: store,
      AUTOFILES_SQS_ENDPOINT: store,
      AUTOFILES_STS_ENDPOINT: store,
      AUTOFILES_ACCESS_KEY_ID: identity.accessKeyId,
      AUTOFILES_SECRET_ACCESS_KEY: identity.secretAccessKey,
      AUTOFILES_QUEUE_NAME: QUEUE_NAME,
      HEROKU_API_URL: dynos,
      AUTOFILES_HEROKU_TOKEN: identity.herokuToken,
      AUTOFILES_HTTP_PORT: String(ports.web),
      AUTOFILES_API_TOKEN: identity.apiToken,
      AUTOFILES_RESOURCE: identity.resource,
      AUTOFILES_MASTER_KEY: identity.masterKey,
    };
  }

  async function startChildren(): Promise<void> {
    const inherited = withoutOurs(deps.env);
    const node = (
      name: string,
      script: string,
      args: readonly string[],
      env: () => Record<string, string>,
      port?: keyof typeof ports,
      grace = 28_000,
    ) =>
      supervisor.start({
        name,
        command: process.execPath,
        args: ['--disable-warning=ExperimentalWarning', here(script), ...args],
        env: () => ({ ...inherited, ...env() }),
        grace,
        ...(port === undefined
          ? {}
          : {
              onReady: (message: { readonly port?: number }) => {
                ports[port] = message.port ?? ports[port];
              },
            }),
        onLine: (line) => deps.onLog(name, line),
      });
    const data = join(folder.state, 'redis');
    await mkdir(data, { recursive: true, mode: 0o700 });
    await refuseSecondStart(folder.socket);
    await Promise.all([
      supervisor.start({
        name: 'redis',
        command: redisCommand(deps.env),
        args: [
          ...['--port', '0', '--unixsocket', folder.socket, '--unixsocketperm', '700', '--dir', data],
          ...[
            '--appendonly',
            'yes',
            '--appendfsync',
            'everysec',
            '--save',
            '',
            '--maxmemory-policy',
            'noeviction',
            '--loglevel',
            'warning',
          ],
        ],
        env: () => inherited,
        grace: 10_000,
        probe: (_child, signal) => redisAnswers(folder.socket, signal),
        onLine: (line) => deps.onLog('redis', line),
      }),
      node(
        'store',
        '../local/store/main.ts',
        [],
        () => ({
          AUTOFILES_STORE_DIR: join(folder.state, 'store'),
          AUTOFILES_STORE_PORT: String(ports.store),
          AUTOFILES_STORE_ACCESS_KEY_ID: identity.accessKeyId,
          AUTOFILES_STORE_SECRET_ACCESS_KEY: identity.secretAccessKey,
          AUTOFILES_REGION: identity.region,
          ...pick(deps.env, 'AUTOFILES_CHAOS'),
        }),
        'store',
      ),
      node(
        'dynos',
        '../local/dynos/main.ts',
        [],
        () => ({
          AUTOFILES_DYNOS_DIR: join(folder.state, 'dynos'),
          AUTOFILES_APP_DIR: folder.app,
          AUTOFILES_APP_NAME: identity.app,
          AUTOFILES_DYNOS_PORT: String(ports.dynos),
          AUTOFILES_DYNOS_TOKEN: identity.herokuToken,
          PATH: userPath(deps.env),
        }),
        'dynos',
      ),
    ]);
    await Promise.all([
      node('web', 'main.ts', ['web'], () => ({ ...engineEnv(), ...pick(deps.env, 'LOG_LEVEL') }), 'web'),
      node('worker', 'main.ts', ['worker'], () => ({ ...engineEnv(), ...pick(deps.env, 'LOG_LEVEL') })),
    ]);
  }

  async function provisionApp(): Promise<Record<string, string>> {
    const config = readConfig({ ...engineEnv(), LOG_LEVEL: 'silent' });
    const clients = createClients(config);
    const redis = connect(config.redis, () => {});
    try {
      const { resource: id, app, bucket, region } = identity;
      const resources = createResources({ redis, sealer: clients.sealer, now: Date.now });
      await provision(
        { ...clients, resources, queueName: QUEUE_NAME, log: createLog(config, 'start') },
        { id, app, bucket, region, plan: 'local' },
      );
      // so that unmodified clients, in dynos and by `heroku config -j`, find the local store
      const dataPath = join(folder.state, 'aws-data');
      await writeEndpointRules(dataPath, urls().store);
      const redirect = { AWS_ENDPOINT_URL_S3: urls().store, AWS_DATA_PATH: dataPath };
      await clients.platform.setConfigVars(app, redirect);
      const vars = await clients.platform.configVars(app);
      const own = Object.fromEntries(Object.entries(vars).filter(([name]) => name.startsWith('LD_')));
      return {
        ...own,
        ...redirect,
        HEROKU_HOST: urls().dynos,
        HEROKU_API_KEY: identity.herokuToken,
        HEROKU_APP: app,
        AUTOFILES_URL: urls().web,
        AUTOFILES_TOKEN: identity.apiToken,
      };
    } finally {
      redis.disconnect();
      clients.store.close();
      clients.queue.close();
      clients.issuer.close();
    }
  }
}

/** Two clouds on one folder would write the same files. */
async function refuseSecondStart(socket: string): Promise<void> {
  const running = await new Promise<boolean>((resolve) => {
    const probe = createConnection(socket, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (running)
    throw new Failure(
      'start_failed',
      'The local cloud of this app is running already. Stop that one first (Ctrl-C in its terminal), or name another app with --app DIR.',
    );
  await rm(socket, { force: true });
}

async function redisAnswers(socket: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const answered = await new Promise<boolean>((resolve) => {
      const probe = createConnection(socket, () => probe.write('PING\r\n'));
      probe.once('data', (data) => {
        probe.destroy();
        resolve(data.toString().startsWith('+PONG'));
      });
      probe.once('error', () => resolve(false));
    });
    if (answered) return;
    await sleep(20, undefined, { signal });
  }
}

/** redis-server or valkey-server, whichever is on the path. */
function redisCommand(env: NodeJS.ProcessEnv): string {
  for (const name of ['redis-server', 'valkey-server']) if (spawnSync(name, ['--version'], { env }).status === 0) return name;
  throw new Failure(
    'start_failed',
    'Found no redis-server and no valkey-server on PATH. Install one of them (Debian: apt-get install redis-server; macOS: brew install redis).',
  );
}

/** npm puts folders of node_modules in front of the path; the app's commands get the user's own one. */
function userPath(env: NodeJS.ProcessEnv): string {
  return (env['PATH'] ?? '')
    .split(':')
    .filter((folder) => !/node_modules\/.bin$|node-gyp-bin$|\/node_modules\/node\/bin$/.test(folder))
    .join(':');
}

/** What a shell has for another Autofiles, or for npm, must not reach the children. */
function withoutOurs(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(AUTOFILES_|HEROKU_|AWS_|LD_|npm_|REDIS_URL$|PORT$)/.test(name)));
}

function pick(env: NodeJS.ProcessEnv, name: string): Record<string, string> {
  const value = env[name];
  return value === undefined ? {} : { [name]: value };
}
