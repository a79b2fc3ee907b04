// The stack of docker/compose.yaml out of containers of this test's own: redis, store, dynos, web and two workers on one
// network, hardened as there. Everything is configured by docker/local.env, as `--profile local` is.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { GenericContainer, Network, type StartedNetwork, type StartedTestContainer, Wait } from 'testcontainers';
import { apiOf } from '../../src/cli/access.ts';
import { createObjectStore } from '../../src/clients/s3.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const local = parseEnv(readFileSync(here('../../docker/local.env'), 'utf8')) as Record<string, string>;
const variable = (name: string) => {
  const value = local[name];
  if (value === undefined) throw new Error(`docker/local.env has no ${name}`);
  return value;
};
/** Milliseconds until a container must be well. */
const START_MS = 120_000;

/** No write but to /tmp and volumes, no capability, no way to get one, and an init as process 1: as compose.yaml has it. */
class Hardened extends GenericContainer {
  constructor(image: string) {
    super(image);
    this.hostConfig.ReadonlyRootfs = true;
    this.hostConfig.Init = true;
    this.withTmpFs({ '/tmp': 'rw' }).withDroppedCapabilities('ALL').withSecurityOpt('no-new-privileges:true').withStartupTimeout(START_MS);
  }

  /** A folder that is written to, empty at first. `id`: whose it is. */
  withData(id: number): this {
    this.withTmpFs({ '/tmp': 'rw', '/data': `rw,uid=${id},gid=${id}` });
    return this;
  }
}

const engineEnvironment = {
  ...local,
  REDIS_URL: 'redis://redis:6379',
  AUTOFILES_LAUNCHES_PER_HOUR: '1000000',
  AUTOFILES_LOCK_MS: '3000',
  AUTOFILES_SWEEP_MS: '2000',
  LOG_LEVEL: 'info',
};

export type Stack = Awaited<ReturnType<typeof startStack>>;

/** Starts everything and provisions the app. `image`: what web and workers run. */
export async function startStack(image: string) {
  const network: StartedNetwork = await new Network().start();
  const started: StartedTestContainer[] = [];
  const said = new Map<string, string>();
  const start = async (container: GenericContainer, ...aliases: string[]): Promise<StartedTestContainer> => {
    const running = await container
      .withNetwork(network)
      .withNetworkAliases(...aliases)
      .withLogConsumer((stream) => {
        stream.on('data', (line) => said.set(aliases[0] ?? '', ((said.get(aliases[0] ?? '') ?? '') + line).slice(-20_000)));
      })
      .start();
    started.push(running);
    return running;
  };
  const stop = async () => {
    await Promise.all(started.map((container) => container.stop({ timeout: 0 }).catch(() => {})));
    await network.stop();
  };

  const startWeb = async (of = image) =>
    await start(
      new Hardened(of)
        .withCommand(['web'])
        .withEnvironment({ ...engineEnvironment, AUTOFILES_HTTP_HOST: '0.0.0.0', AUTOFILES_HTTP_PORT: '8080' })
        .withExposedPorts(8080)
        .withWaitStrategy(Wait.forLogMessage(/web started/)),
      'web',
    );
  let workers = 0;
  const startWorker = async (of = image) => {
    workers += 1;
    return await start(
      new Hardened(of)
        .withCommand(['worker'])
        .withEnvironment({ ...engineEnvironment, AUTOFILES_WORKER_PORT: '9090' })
        .withWaitStrategy(Wait.forLogMessage(/worker port opened/)),
      `worker-${workers}`,
    );
  };

  try {
    const redis = await start(
      new Hardened('redis:7-bookworm')
        .withData(999)
        .withUser('999:999')
        .withCommand(['redis-server', '/usr/local/etc/redis.conf'])
        .withBindMounts([{ source: here('../../docker/redis.conf'), target: '/usr/local/etc/redis.conf', mode: 'ro' }])
        .withHealthCheck({ test: ['CMD', 'redis-cli', 'ping'], interval: 1_000, timeout: 2_000, retries: 30 })
        .withWaitStrategy(Wait.forHealthCheck()),
      'redis',
    );
    const store = await start(
      new Hardened(image)
        .withData(1000)
        .withEntrypoint(['node', 'src/local/store/main.ts'])
        .withCommand([])
        .withEnvironment({
          NODE_ENV: 'development',
          AUTOFILES_LOCAL_HOST: '0.0.0.0',
          AUTOFILES_STORE_DIR: '/data',
          AUTOFILES_STORE_PORT: '4566',
          AUTOFILES_STORE_ACCESS_KEY_ID: variable('AUTOFILES_ACCESS_KEY_ID'),
          AUTOFILES_STORE_SECRET_ACCESS_KEY: variable('AUTOFILES_SECRET_ACCESS_KEY'),
        })
        .withExposedPorts(4566)
        .withWaitStrategy(Wait.forLogMessage(/store ready on/)),
      'store',
      's3.localhost',
    );
    await start(
      new Hardened(image)
        .withData(1000)
        .withEntrypoint(['node', 'src/local/dynos/main.ts'])
        .withCommand([])
        .withEnvironment({
          NODE_ENV: 'development',
          AUTOFILES_LOCAL_HOST: '0.0.0.0',
          AUTOFILES_DYNOS_DIR: '/data',
          AUTOFILES_DYNOS_PORT: '5000',
          AUTOFILES_DYNOS_COPIES: 'plain',
          AUTOFILES_DYNOS_TOKEN: variable('AUTOFILES_HEROKU_TOKEN'),
          AUTOFILES_APP_DIR: '/app-source',
          AUTOFILES_APP_NAME: variable('AUTOFILES_APP'),
        })
        .withBindMounts([{ source: here('./app'), target: '/app-source', mode: 'ro' }])
        .withWaitStrategy(Wait.forLogMessage(/dynos ready on/)),
      'dynos',
      'dynos.localhost',
    );
    await start(
      new Hardened(image)
        .withCommand([
          'provision',
          ...['--id', variable('AUTOFILES_RESOURCE')],
          ...['--app', variable('AUTOFILES_APP')],
          ...['--bucket', variable('AUTOFILES_BUCKET')],
        ])
        .withEnvironment(engineEnvironment)
        .withWaitStrategy(Wait.forOneShotStartup()),
      'provision',
    );
    let web = await startWeb();
    let running: readonly StartedTestContainer[] = await Promise.all([startWorker(), startWorker()]);

    const api = () =>
      apiOf({ AUTOFILES_URL: `http://127.0.0.1:${web.getMappedPort(8080)}`, AUTOFILES_TOKEN: variable('AUTOFILES_API_TOKEN') });
    const objects = createObjectStore({
      endpoint: `http://127.0.0.1:${store.getMappedPort(4566)}`,
      region: 'us-east-1',
      credentials: { accessKeyId: variable('AUTOFILES_ACCESS_KEY_ID'), secretAccessKey: variable('AUTOFILES_SECRET_ACCESS_KEY') },
    });
    return {
      network,
      redis,
      api,
      workers: () => running,
      url: () => `http://127.0.0.1:${web.getMappedPort(8080)}`,
      startWorker: async (of?: string) => {
        const worker = await startWorker(of);
        running = [...running, worker];
        return worker;
      },
      /** Takes it off the list of those that are expected to be well. */
      forget: (worker: StartedTestContainer) => {
        running = running.filter((one) => one !== worker);
      },
      replaceWeb: async (of: string) => {
        const before = web;
        web = await startWeb(of);
        await before.stop({ timeout: 30_000 });
      },
      /** Uploads a workflow; answers with the trigger's version. */
      upload: async (run: readonly unknown[], key: string): Promise<void> => {
        await objects.put(variable('AUTOFILES_BUCKET'), key, JSON.stringify({ title: key, run }), { metadata: { ld_run: 'true' } });
      },
      logs: () => [...said].map(([name, lines]) => `--- ${name}\n${lines}`).join('\n'),
      stop: async () => {
        objects.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw new Error([...said].map(([name, lines]) => `--- ${name}\n${lines}`).join('\n'), { cause: error });
  }
}
