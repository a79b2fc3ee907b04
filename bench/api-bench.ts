// A reader with many stored runs: pages of the list, unfiltered and filtered, and the view of the largest run that a workflow may
// have (200 tasks; its schema allows no more).
import { randomUUID } from 'node:crypto';
import { openWebApp } from '../src/cli/web-app.ts';
import { connect } from '../src/queues/connection.ts';
import { shardKeys } from '../src/queues/keys.ts';
import { createRuns } from '../src/queues/runs.ts';
import { readConfig } from '../src/schema/config.ts';
import { parseWorkflow } from '../src/schema/parse-workflow.ts';
import type { Workflow } from '../src/schema/workflow.ts';
import { percentile, type Row } from './rows.ts';
import type { World } from './world.ts';

const BATCH = 5_000;
/** Pages that each figure is taken of. */
const PAGES = 200;
const LARGE = 'r0-largerunlargerunlarg';

/** Over HTTP's routes without a socket; `runs`: stored runs. */
export async function apiRows(world: World, runs: number): Promise<Row[]> {
  const resource = randomUUID();
  const redis = connect({ socket: world.socket }, () => {});
  await store(redis, resource, runs);
  const token = randomUUID();
  const { app, close } = await openWebApp(
    readConfig({
      AUTOFILES_MODE: 'test',
      AUTOFILES_REDIS_SOCKET: world.socket,
      AUTOFILES_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
      AUTOFILES_API_TOKEN: token,
      AUTOFILES_RESOURCE: resource,
      LOG_LEVEL: 'silent',
    }),
    { debug() {}, info() {}, warn() {}, error() {} },
  );
  const get = async (path: string): Promise<{ next?: string | null }> => {
    const response = await app.request(`http://127.0.0.1/v1${path}`, { headers: { host: '127.0.0.1', authorization: `Bearer ${token}` } });
    if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as { next?: string | null };
  };
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
    const views: number[] = [];
    for (let n = 0; n < 50; n += 1) {
      const begun = performance.now();
      await get(`/runs/${LARGE}`);
      views.push(performance.now() - begun);
    }
    rows.push({ name: 'API: view of a run of 200 tasks, p99', value: percentile(views, 0.99), unit: 'ms', bar: { most: 500 } });
    return rows;
  } finally {
    await close();
    redis.disconnect();
  }
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
      for (const what of ['intent', 'launched', 'up', 'output', 'succeeded'])
        pipeline.rpush(keys.history(LARGE), JSON.stringify([1_700_000_000_000, what, `${step}.${index}`, 1, '']));
  await pipeline.exec();
}
