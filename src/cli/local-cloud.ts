// `autofiles start`: redis, store, dynos, web and worker under one supervisor, on loopback, with the add-on provisioned
// for the app. Production and this differ by endpoints and credentials alone.
import { randomInt } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeEndpointRules } from '../local/store/endpoint-rules.ts';
import { Failure, messageOf } from '../schema/failures.ts';
import { type AppFolder, type Identity, openAppFolder, readIdentity, removeEnvFile, saveIdentity } from './app-folder.ts';
import { keepEnvFile } from './env-file.ts';
import { openHerokuApi } from './heroku-api.ts';
import { installAddon, writeProvider } from './local-addon.ts';
import { lockFolder } from './start-lock.ts';
import { createSupervisor } from './supervisor.ts';

/** Milliseconds from SIGTERM to SIGKILL; the children are done in 25 s. */
const CHILD_GRACE_MS = 28_000;
const QUEUE_NAME = 'autofiles-events';
/** Compiled code of the children, kept from one start to the next. */
const COMPILE_CACHE = fileURLToPath(new URL('../../node_modules/.cache/autofiles', import.meta.url));
/** Ports of the local cloud's servers, and how many of them are tried before the system chooses one. */
const LOWEST_PORT = 20_000;
const HIGHEST_PORT = 32_767;
const PORT_TRIES = 50;
/** Loaded first in each child: see gathered-packages.ts. */
const GATHERED = new URL('./gathered-packages.ts', import.meta.url).href;
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
  const unlock = await lockFolder(folder.lock);
  // what a killed start left: whoever waits for the file waits for this start
  await removeEnvFile(folder);
  const supervisor = createSupervisor({ say: deps.say });
  const ports = await choosePorts(identity.ports, deps.say);
  try {
    await startChildren();
    await saveIdentity(folder, { ...identity, ports });
    const env = await provisionApp();
    return {
      folder,
      identity: { ...identity, ports },
      urls: urls(),
      env: env.variables,
      stop: async () => {
        await env.stop();
        // where it stays (a folder that may not be written), the next start removes it
        await removeEnvFile(folder).catch((error: unknown) => deps.say(messageOf(error)));
        await supervisor.stop();
        await unlock();
      },
      kill: supervisor.kill,
    };
  } catch (error) {
    await supervisor.stop();
    await unlock();
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
      // a launch here is a process on this machine: more at a time only makes each of them later
      AUTOFILES_TASK_CONCURRENCY: '32',
      HEROKU_API_URL: dynos,
      HEROKU_ID_URL: dynos,
      AUTOFILES_ADDON_PASSWORD: identity.addon.password,
      AUTOFILES_SSO_SALT: identity.addon.ssoSalt,
      AUTOFILES_OAUTH_CLIENT_SECRET: identity.addon.clientSecret,
      AUTOFILES_HTTP_PORT: String(ports.web),
      AUTOFILES_PUBLIC_URL: urls().web,
      AUTOFILES_API_TOKEN: identity.apiToken,
      AUTOFILES_MASTER_KEY: identity.masterKey,
    };
  }

  async function startChildren(): Promise<void> {
    const inherited = withoutOurs(deps.env);
    const node = (name: string, script: string, args: readonly string[], env: Record<string, string>) =>
      supervisor.start({
        name,
        command: process.execPath,
        // many short-lived objects and little that lives: see heap.ts
        args: ['--disable-warning=ExperimentalWarning', '--import', GATHERED, '--max-semi-space-size=8', here(script), ...args],
        env: { ...inherited, NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
        grace: CHILD_GRACE_MS,
        onLine: (line) => deps.onLog(name, line),
      });
    const data = join(folder.state, 'redis');
    await mkdir(data, { recursive: true, mode: 0o700 });
    const providers = await writeProvider(folder, identity, urls().web);
    await Promise.all([
      node('redis', '../local/redis/main.ts', [], { AUTOFILES_REDIS_DIR: data, AUTOFILES_REDIS_SOCKET: folder.socket }),
      node('store', '../local/store/main.ts', [], {
        AUTOFILES_STORE_DIR: join(folder.state, 'store'),
        AUTOFILES_STORE_PORT: String(ports.store),
        AUTOFILES_STORE_ACCESS_KEY_ID: identity.accessKeyId,
        AUTOFILES_STORE_SECRET_ACCESS_KEY: identity.secretAccessKey,
        AUTOFILES_REGION: identity.region,
        ...pick(deps.env, 'AUTOFILES_CHAOS'),
      }),
      node('dynos', '../local/dynos/main.ts', [], {
        AUTOFILES_DYNOS_DIR: join(folder.state, 'dynos'),
        AUTOFILES_APP_DIR: folder.app,
        AUTOFILES_APP_NAME: identity.app,
        AUTOFILES_DYNOS_PORT: String(ports.dynos),
        AUTOFILES_DYNOS_TOKEN: identity.herokuToken,
        AUTOFILES_DYNOS_ADDONS: providers,
        PATH: userPath(deps.env),
      }),
      // these two wait for the others by themselves
      node('web', 'main.ts', ['web'], { ...engineEnv(), ...pick(deps.env, 'LOG_LEVEL') }),
      node('worker', 'main.ts', ['worker'], { ...engineEnv(), ...pick(deps.env, 'LOG_LEVEL', 'AUTOFILES_FAILPOINT') }),
    ]);
  }

  /** Installs the add-on as a customer does, and keeps `.autofiles/env` with what the app has from it. */
  async function provisionApp() {
    const { app, herokuToken, apiToken } = identity;
    const api = openHerokuApi({ host: urls().dynos, token: herokuToken, app });
    // so that unmodified clients, in dynos and by `heroku config -j`, find the local store
    const dataPath = join(folder.state, 'aws-data');
    await writeEndpointRules(dataPath, urls().store);
    const redirect = { AWS_ENDPOINT_URL_S3: urls().store, AWS_DATA_PATH: dataPath };
    await api.setConfigVars(redirect);
    await installAddon({ api, web: { url: urls().web, token: apiToken }, now: Date.now });
    return await keepEnvFile({
      folder,
      say: deps.say,
      configVars: api.configVars,
      constant: {
        ...redirect,
        HEROKU_HOST: urls().dynos,
        HEROKU_API_KEY: herokuToken,
        HEROKU_APP: app,
        // what the heroku CLI must trust to attach to a dyno; the platform makes it before it is ready
        NODE_EXTRA_CA_CERTS: join(folder.state, 'dynos', 'tls', 'ca.pem'),
        AUTOFILES_URL: urls().web,
        AUTOFILES_TOKEN: apiToken,
      },
    });
  }
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

function pick(env: NodeJS.ProcessEnv, ...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}

/** The remembered ports, each replaced by a free one where it is not chosen yet or somebody else has taken it. */
async function choosePorts(remembered: Identity['ports'], say: (line: string) => void): Promise<Identity['ports']> {
  const choose = async (name: keyof Identity['ports']): Promise<number> => {
    const wanted = remembered[name];
    const port = (wanted === 0 ? undefined : await bindable(wanted)) ?? (await freePort());
    if (port === undefined) throw new Failure('start_failed', 'Found no free port on 127.0.0.1.');
    if (wanted !== 0 && port !== wanted) say(`port ${wanted} of ${name} is taken, ${port} is used from now on: read .autofiles/env again`);
    return port;
  };
  return { store: await choose('store'), dynos: await choose('dynos'), web: await choose('web') };
}

/**
 * A port that nothing listens on, below those that systems give to connections (Linux from 32768 on, others from 49152): one of these may be taken by
 * any connection before its server listens.
 */
async function freePort(): Promise<number | undefined> {
  for (let tries = 0; tries < PORT_TRIES; tries += 1) {
    const port = await bindable(randomInt(LOWEST_PORT, HIGHEST_PORT + 1));
    if (port !== undefined) return port;
  }
  return await bindable(0);
}

async function bindable(port: number): Promise<number | undefined> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : undefined));
    });
  });
}
