// A reader with many stored runs, over HTTP: pages of the list, unfiltered and filtered, as the API and as the dashboard have them; the
// largest run that a workflow may have (200 tasks; its schema allows no more); and the page of a run of a thousand tasks, which
// no workflow makes, drawn of a run that is given.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { openWebApp } from '../src/cli/web-app.ts';
import { connect } from '../src/queues/connection.ts';
import { shardKeys } from '../src/queues/keys.ts';
import { createResources } from '../src/queues/resources.ts';
import { createRuns } from '../src/queues/runs.ts';
import { createSealer } from '../src/queues/secrets.ts';
import { readConfig } from '../src/schema/config.ts';
import { parseWorkflow } from '../src/schema/parse-workflow.ts';
import type { Workflow } from '../src/schema/workflow.ts';
import { largeRun } from '../tests/support/large-run.ts';
import { serveRun } from '../tests/support/serve-run.ts';
import { percentile, type Row } from './rows.ts';
import type { World } from './world.ts';

const BATCH = 5_000;
const MASTER_KEY = Buffer.alloc(32, 7);
/** Pages that each figure is taken of. */
const PAGES = 200;
const LARGE = 'r0-largerunlargerunlarg';
/** Views of one run that a figure is taken of. */
const VIEWS = 50;
/** Attempts of each task of the largest run. */
const ATTEMPTS = 5;

/** `runs`: stored runs. */
export async function apiRows(world: World, runs: number): Promise<Row[]> {
  const resource = randomUUID();
  const redis = connect({ socket: world.socket }, () => {});
  await store(redis, resource, runs);
  // pages are shown to who has a session, and that belongs to a resource that is installed
  const resources = createResources({ redis, sealer: createSealer(MASTER_KEY), now: Date.now });
  await resources.put({ id: resource, app: 'bench', bucket: 'ld-private-bench', region: 'us-east-1', plan: 'basic' });
  const expiresAt = Date.now() + 3_600_000;
  await resources.setCredentials(resource, { accessKeyId: 'ASIA', secretAccessKey: 's', sessionToken: 't', expiresAt });
  const token = randomUUID();
  const { app, close } = await openWebApp(
    readConfig({
      AUTOFILES_MODE: 'local',
      AUTOFILES_REDIS_SOCKET: world.socket,
      AUTOFILES_MASTER_KEY: MASTER_KEY.toString('base64'),
      AUTOFILES_API_TOKEN: token,
      AUTOFILES_RESOURCE: resource,
      LOG_LEVEL: 'silent',
    }),
    { debug() {}, info() {}, warn() {}, error() {} },
  );
  const server = createAdaptorServer({ fetch: app.fetch });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const headers = { authorization: `Bearer ${token}` };
  const get = async (path: string): Promise<{ next?: string | null }> =>
    (await read(`${url}/v1${path}`, { headers }).then((response) => response.json())) as { next?: string | null };
  const cookie = await signIn(url, headers);
  /** Milliseconds of each page, following the cursor from the newest on. */
  const walk = async (query: string): Promise<readonly number[]> => {
    const times: number[] = [];
    let cursor = '';
    for (let page = 0; page < PAGES; page += 1) {
      const begun = performance.now();
      const { next } = await get(`/runs?${query}${cursor === '' ? '' : `&cursor=${cursor}`}`);
      times.push(performance.now() - begun);
      cursor = next ?? '';
    }
    return times;
  };
  try {
    const rows: Row[] = [];
    const filters: [string, string][] = [
      ['', 'limit=50'],
      [' that failed', 'limit=50&state=failed'],
      [' of one folder', 'limit=50&prefix=in/7/'],
      [' with a text that stands nowhere', 'limit=50&q=nowhere'],
    ];
    for (const [what, query] of filters) {
      rows.push({
        name: `API: page of ${runs} runs${what}, p99`,
        value: percentile(await walk(query), 0.99),
        unit: 'ms',
        bar: { most: 100 },
      });
    }
    const page = async (address: string, init: RequestInit = { headers: { cookie } }) => await (await read(address, init)).text();
    const list = await timed(() => page(`${url}/runs`));
    rows.push({ name: `dashboard: list of ${runs} runs, p99`, value: list, unit: 'ms', bar: { most: 100 } });
    const view = await timed(() => get(`/runs/${LARGE}`));
    rows.push({ name: 'API: view of a run of 200 tasks, p99', value: view, unit: 'ms', bar: { most: 500 } });
    const large = await timed(() => page(`${url}/runs/${LARGE}`));
    rows.push({ name: 'dashboard: page of a run of 200 tasks with 5 attempts each, p99', value: large, unit: 'ms', bar: { most: 500 } });
    const served = await serveRun(largeRun(5, 200));
    const thousand = await timed(() => page(served.url, {})).finally(served.stop);
    rows.push({ name: 'dashboard: page of a run of 1,000 tasks, p99', value: thousand, unit: 'ms', bar: { most: 500 } });
    return rows;
  } finally {
    server.close();
    if ('closeAllConnections' in server) server.closeAllConnections();
    await close();
    redis.disconnect();
  }
}

async function read(address: string, init: RequestInit): Promise<Response> {
  const response = await fetch(address, init);
  if (response.status !== 200) throw new Error(`${address} answered ${response.status}: ${await response.text()}`);
  return response;
}

/** The cookie of a session, by a one-time link as `autofiles open` makes it. */
async function signIn(url: string, headers: Readonly<Record<string, string>>): Promise<string> {
  const made = (await (await fetch(`${url}/session/links`, { method: 'POST', headers })).json()) as { path: string };
  const opened = await fetch(`${url}${made.path}`, { redirect: 'manual' });
  return opened.headers.getSetCookie()[0]?.split(';')[0] ?? '';
}

/** Milliseconds that 99 of 100 take at most; the first one, which compiles, does not count. */
async function timed(act: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  await act();
  for (let n = 0; n < VIEWS; n += 1) {
    const begun = performance.now();
    await act();
    times.push(performance.now() - begun);
  }
  return percentile(times, 0.99);
}

/** Written by hand: a hundred thousand transitions are not what is measured. */
async function store(redis: ReturnType<typeof connect>, resource: string, runs: number): Promise<void> {
  const keys = shardKeys(0);
  for (let from = 0; from < runs; from += BATCH) {
    const pipeline = redis.pipeline();
    for (let n = from; n < Math.min(from + BATCH, runs); n += 1) {
      const id = `r0-${n.toString(36).padStart(20, '0')}`;
      const failed = n % 20 === 0;
      const state = failed ? 'failed' : 'succeeded';
      const at = 1_700_000_000_000 + n * 7;
      pipeline.hset(keys.run(id), {
        state,
        resource,
        at,
        end: at + 5_000,
        title: `Workflow ${n % 12}`,
        bucket: 'ld-private-bench',
        key: `in/${n % 100}/file-${n}.jpg`,
        version: 'v',
        etag: 'e',
        size: 1,
        steps: 2,
        n0: 1,
        d0: 1,
        n1: 1,
        d1: 1,
        ...(failed ? { failing: '1.0|exited_without_output|exited 1 without output' } : {}),
      });
      pipeline.zadd(keys.index(resource), at, id);
      pipeline.zadd(keys.byState(resource, state), at, id);
    }
    await pipeline.exec();
  }
  const workflow: Workflow = {
    title: 'large',
    run: Array.from({ length: 20 }, () => ({ parallel: Array.from({ length: 10 }, () => ({ cmd: 'work' })) })),
  };
  const parsed = parseWorkflow(JSON.stringify(workflow));
  if (!parsed.ok) throw new Error('the large workflow is not valid');
  const trigger = { bucket: 'ld-private-bench', key: 'in/large', versionId: 'v', etag: 'e', size: 1 };
  await createRuns({ redis }).accept({ runId: LARGE, resource, trigger, workflow, plan: parsed.plan, cap: 1_000_000, depth: 0 });
  const pipeline = redis.pipeline();
  for (let step = 0; step < 20; step += 1)
    for (let index = 0; index < 10; index += 1)
      for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1)
        for (const [i, what] of ['intent', 'launched', 'up', attempt < ATTEMPTS ? 'retry' : 'output', 'succeeded'].entries())
          if (what !== 'succeeded' || attempt === ATTEMPTS)
            pipeline.rpush(
              keys.history(LARGE),
              JSON.stringify([1_700_000_000_000 + step * 1e5 + attempt * 1e4 + i * 1e3, what, `${step}.${index}`, attempt, '']),
            );
  await pipeline.exec();
}
