// docker/Dockerfile and the stack around it, as an operator runs it: a workflow goes through, also when a container is killed,
// the network is cut, or the image is replaced while runs are in flight.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { getContainerRuntimeClient, type StartedTestContainer } from 'testcontainers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunView } from '../../src/schema/run-view.ts';
import { until } from '../support/until.ts';
import { build } from './build.ts';
import { type Stack, startStack } from './stack.ts';

const run = promisify(execFile);
const IMAGE = 'autofiles:containers-test';
const NEXT_IMAGE = 'autofiles:containers-test-next';
/** Megabytes: Debian's Node base is most of it. */
const LARGEST_IMAGE_MB = 300;

const write = (workMs: number) => ({ cmd: 'write', timeout: 60, retries: 0, options: [`WORK_MS=${workMs}`] });

describe('the stack in containers', () => {
  let stack: Stack;
  beforeAll(async () => {
    await build(IMAGE);
    stack = await startStack(IMAGE);
  }, 600_000);
  afterAll(async () => {
    await stack?.stop();
    await run('docker', ['image', 'rm', '-f', IMAGE, NEXT_IMAGE]);
  }, 120_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(stack.logs());
  });

  const found = async (key: string): Promise<string> =>
    await until(
      `a run of ${key}`,
      async () =>
        (
          await stack
            .api()
            .runs({})
            .catch(() => [])
        ).find(({ trigger }) => trigger.key === key)?.id,
      60_000,
    );
  const launchedOf = async (id: string, task: string) => {
    const { history } = await stack.api().run(id);
    return history.some((entry) => entry.what === 'launched' && entry.task === `${id}.${task}`);
  };
  /** Ended well, and every attempt was launched once. */
  const expectSound = async (id: string): Promise<RunView> => {
    const view = await until(
      `the end of ${id}`,
      async () => {
        const now = await stack
          .api()
          .run(id)
          .catch(() => undefined);
        return now !== undefined && now.ended_at !== null && now;
      },
      90_000,
    );
    expect(view.state, JSON.stringify(view.history.slice(-8))).toBe('succeeded');
    const launches = view.history
      .filter(({ what }) => what === 'launched' || what === 'adopted')
      .map(({ task, attempt }) => `${task}/${attempt}`);
    expect(new Set(launches).size).toBe(launches.length);
    return view;
  };
  const docker = async () => (await getContainerRuntimeClient()).container.dockerode;
  const attach = async (container: StartedTestContainer, how: 'disconnect' | 'connect', aliases: string[] = []) => {
    const network = (await docker()).getNetwork(stack.network.getId());
    if (how === 'disconnect') await network.disconnect({ Container: container.getId(), Force: true });
    else await network.connect({ Container: container.getId(), EndpointConfig: { Aliases: aliases } });
  };

  it('has its code compiled: a start on a read-only file system strips no types', async () => {
    // a worker that ends at once, for want of a configuration, when all of its code was loaded; what it says goes into a file, for a pipe that is
    // full swallows lines of it
    const worker = 'node src/cli/main.ts worker 2>/tmp/said; grep "transpile cache" /tmp/said';
    const hardened = ['--read-only', '--tmpfs', '/tmp', '-e', 'NODE_DEBUG_NATIVE=COMPILE_CACHE', '--entrypoint', 'sh'];
    const { stdout } = await run('docker', ['run', '--rm', ...hardened, IMAGE, '-c', worker], { maxBuffer: 50_000_000 });
    const looked = stdout.matchAll(/transpile cache for StrippedTypeScript file:\/\/\S*\/(src\/\S+?)\.\.\.(\S*)/g);
    const found = new Map([...looked].map(([, file = '', outcome]) => [file, outcome]));
    expect(found.size).toBeGreaterThan(100);
    expect([...found].filter(([, outcome]) => outcome !== 'success')).toEqual([]);
    expect(found.has('src/processors/engine.ts')).toBe(true);
  });

  it('is small, not root, and runs on a read-only file system', async () => {
    const { stdout } = await run('docker', ['image', 'inspect', IMAGE, '--format', '{{.Size}} {{.Config.User}}']);
    const [size, user] = stdout.trim().split(' ');
    console.log(`image: ${Math.round(Number(size) / 1e6)} MB`);
    expect(Number(size) / 1e6).toBeLessThan(LARGEST_IMAGE_MB);
    expect(user).toBe('node');
    const [worker] = stack.workers();
    const { exitCode, output } = (await worker?.exec(['sh', '-c', 'id -u; echo x > /opt/autofiles/x'])) ?? { exitCode: 0, output: '' };
    expect(output).toMatch(/^1000\n/);
    expect(output).toContain('Read-only file system');
    expect(exitCode).not.toBe(0);
  });

  it('is found healthy by its own check', async () => {
    const engine = await docker();
    for (const container of stack.workers()) {
      const health = async () => (await engine.getContainer(container.getId()).inspect()).State.Health?.Status;
      await until('a healthy worker', async () => (await health()) === 'healthy', 180_000);
    }
  });

  it('runs a workflow from an upload to its end', async () => {
    await stack.upload([write(0), { parallel: [write(0), write(50)] }, { cmd: 'node -e 0', no_output: true, timeout: 60 }], 'in/plain');
    const view = await expectSound(await found('in/plain'));
    expect(view.steps.map(({ tasks }) => tasks.length)).toEqual([1, 2, 1]);
  });

  it('goes on when a worker is killed in the middle of runs', async () => {
    const keys = Array.from({ length: 6 }, (_, i) => `in/kill-${i}`);
    for (const key of keys) await stack.upload([write(1500), write(500)], key);
    const ids = await Promise.all(keys.map(found));
    await until('the first launches', async () => (await Promise.all(ids.map((id) => launchedOf(id, '0.0')))).every(Boolean), 60_000);
    const [victim] = stack.workers();
    if (victim === undefined) throw new Error('no worker');
    await (await docker()).getContainer(victim.getId()).kill({ signal: 'SIGKILL' });
    stack.forget(victim);
    for (const id of ids) await expectSound(id);
    await stack.startWorker();
  });

  it('goes on when the network of all workers is cut for a while', async () => {
    const keys = Array.from({ length: 4 }, (_, i) => `in/cut-${i}`);
    for (const key of keys) await stack.upload([write(1000), write(0)], key);
    const ids = await Promise.all(keys.map(found));
    await until('the first launches', async () => (await Promise.all(ids.map((id) => launchedOf(id, '0.0')))).every(Boolean), 60_000);
    for (const worker of stack.workers()) await attach(worker, 'disconnect');
    // an upload while nobody can be reached
    await stack.upload([write(0)], 'in/cut-meanwhile');
    await until('the workers to be missed', async () => (await fetch(`${stack.url()}/healthz`)).status === 503, 90_000);
    for (const worker of stack.workers()) await attach(worker, 'connect');
    for (const id of [...ids, await found('in/cut-meanwhile')]) await expectSound(id);
    await until('health', async () => (await fetch(`${stack.url()}/healthz`)).status === 200, 60_000);
  });

  it('is not ready while Redis is out of reach, and goes on afterwards', async () => {
    await stack.upload([write(1500), write(0)], 'in/redis');
    const id = await found('in/redis');
    await attach(stack.redis, 'disconnect');
    await until('web not ready', async () => (await fetch(`${stack.url()}/readyz`)).status === 503, 60_000);
    await attach(stack.redis, 'connect', ['redis']);
    await until('web ready', async () => (await fetch(`${stack.url()}/readyz`)).status === 200, 60_000);
    await expectSound(id);
  });

  it('has its image replaced while runs are in flight', async () => {
    await build(NEXT_IMAGE, { label: 'next=yes' });
    const keys = Array.from({ length: 4 }, (_, i) => `in/replace-${i}`);
    for (const key of keys) await stack.upload([write(1500), write(500), write(0)], key);
    const ids = await Promise.all(keys.map(found));
    await until('the first launches', async () => (await Promise.all(ids.map((id) => launchedOf(id, '0.0')))).every(Boolean), 60_000);
    for (const old of stack.workers()) {
      await stack.startWorker(NEXT_IMAGE);
      const container = (await docker()).getContainer(old.getId());
      await container.stop({ t: 30 });
      // it drained and ended in order
      expect((await container.inspect()).State.ExitCode).toBe(0);
      stack.forget(old);
    }
    await stack.replaceWeb(NEXT_IMAGE);
    for (const id of ids) await expectSound(id);
    expect((await fetch(`${stack.url()}/healthz`)).status).toBe(200);
  });
});
