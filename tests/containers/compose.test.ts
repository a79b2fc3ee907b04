// docker/compose.yaml with its local profile: `up`, a file, its run; `down`, `up` again, and all of it is still there.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv, promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { apiOf } from '../../src/cli/access.ts';
import { freePort } from '../../src/local/dynos/free-port.ts';
import { until } from '../support/until.ts';
import { build, ROOT } from './build.ts';
import { type Compose, findCompose } from './compose.ts';

const run = promisify(execFile);
const IMAGE = 'autofiles:compose-test';
const PROJECT = `autofiles-test-${process.pid}`;
const SERVICES = { redis: 1, web: 1, worker: 2, store: 1, dynos: 1 };
const local: Record<string, string | undefined> = parseEnv(readFileSync(join(ROOT, 'docker/local.env'), 'utf8'));
const own = (name: string) => local[name] ?? '';

const [webPort, storePort] = [await freePort(), await freePort()];
const found = await findCompose(PROJECT, {
  AUTOFILES_IMAGE: IMAGE,
  AUTOFILES_PORT: String(webPort),
  AUTOFILES_STORE_PORT: String(storePort),
});
if (found === undefined) {
  if (process.env['AUTOFILES_CONTAINERS'] === 'required') throw new Error('no `docker compose` and no docker-compose: install one');
  console.error('!!! docker/compose.yaml is NOT TESTED: neither `docker compose` nor docker-compose is there.');
}
const compose: Compose = (args) => found?.compose(args) ?? Promise.reject(new Error('no Compose'));
const api = () => apiOf({ AUTOFILES_URL: `http://127.0.0.1:${webPort}`, AUTOFILES_TOKEN: own('AUTOFILES_API_TOKEN') });
const containers = async (service: string) => (await compose(['ps', '-q', service])).split('\n').filter((line) => line !== '');
const healthy = async (service: string) => {
  const ids = await containers(service);
  if (ids.length === 0) return false;
  const { stdout } = await run('docker', ['inspect', '--format', '{{.State.Health.Status}}', ...ids]);
  return stdout
    .trim()
    .split('\n')
    .every((state) => state === 'healthy');
};
/** A command as docker/README.md has it. */
const autofiles = async (...args: string[]) => {
  const { stdout } = await run(process.execPath, ['--disable-warning=ExperimentalWarning', 'src/cli/main.ts', ...args], {
    cwd: ROOT,
    env: {
      PATH: process.env['PATH'],
      AUTOFILES_URL: `http://127.0.0.1:${webPort}`,
      AUTOFILES_TOKEN: own('AUTOFILES_API_TOKEN'),
      AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${storePort}`,
    },
  });
  return stdout;
};
const put = async (key: string) => await autofiles('put', 'examples/node-starter/workflows/starter.json', '--run', '--key', key);
const ended = async (key: string) =>
  await until(
    `the end of a run of ${key}`,
    async () => {
      const runs = await api()
        .runs({})
        .catch(() => []);
      return runs.find(({ trigger, ended_at }) => trigger.key === key && ended_at !== null);
    },
    120_000,
  );

beforeAll(async () => {
  if (found !== undefined) await build(IMAGE);
}, 600_000);
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') console.error(await compose(['logs', '--no-color', '--tail', '40']).catch(String));
});
afterAll(async () => {
  if (found === undefined) return;
  await compose(['down', '-v', '--remove-orphans']);
  await found.close();
  await run('docker', ['image', 'rm', '-f', IMAGE]);
}, 120_000);

it.skipIf(found === undefined)(
  'comes up whole, runs a file and keeps everything when it is taken down and up again',
  async () => {
    await compose(['up', '-d']);
    for (const [service, count] of Object.entries(SERVICES)) {
      expect((await containers(service)).length, service).toBe(count);
      await until(`${service} to be healthy`, () => healthy(service), 180_000);
    }
    // a process whose parent ended first is nobody's child but that of process 1
    const inDynos = (command: string) => compose(['exec', '-T', 'dynos', 'sh', '-c', command]);
    const orphan = (await inDynos('sleep 0.1 >/dev/null 2>&1 & echo $!')).trim();
    await until('an orphan to be reaped', async () => (await inDynos(`test -e /proc/${orphan} || echo gone`)).includes('gone'), 20_000);

    await until(
      'the resource and its credentials',
      async () =>
        await api()
          .credentials()
          .then(Boolean, () => false),
      60_000,
    );
    await put('in/first.json');
    const first = await ended('in/first.json');
    expect(first.state).toBe('succeeded');

    // the dashboard, over plain HTTP: a cookie that a browser keeps there
    const link = await autofiles('open');
    const opened = await fetch(link.trim(), { redirect: 'manual' });
    const [cookie = ''] = opened.headers.getSetCookie();
    expect(cookie).not.toMatch(/;\s*secure/i);
    const page = await fetch(`http://127.0.0.1:${webPort}/runs`, { headers: { cookie: cookie.split(';', 1)[0] ?? '' } });
    expect(await page.text()).toContain(first.id);

    await compose(['down']);
    await compose(['up', '-d']);
    const again = await until(
      'web',
      async () =>
        (await api()
          .run(first.id)
          .catch(() => undefined)) ?? false,
      120_000,
    );
    expect(again.state).toBe('succeeded');
    await put('in/second.json');
    expect((await ended('in/second.json')).state).toBe('succeeded');
  },
  600_000,
);
