import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { shardKeys } from '../../src/queues/keys.ts';
import { listRuns } from '../../src/queues/run-list.ts';
import { createRuns } from '../../src/queues/runs.ts';
import type { RunPage, RunSummary } from '../../src/schema/run-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';

const SHARDS = 3;

let server: TestRedis;
let redis: Redis;
let web: TestWeb;
let resource: string;

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis({ path: server.socket });
});

beforeEach(async () => {
  await web?.close();
  resource = randomUUID();
  web = await openTestWeb(server, { resource, env: { AUTOFILES_SHARDS: String(SHARDS) } });
});

afterAll(async () => {
  await web?.close();
  redis?.disconnect();
  await server?.stop();
});

const list = async (query: Record<string, string> = {}): Promise<RunPage> => {
  const response = await web.call('GET', `/v1/runs?${new URLSearchParams(query)}`);
  const body = await response.json();
  expect(response.status, JSON.stringify(body)).toBe(200);
  return body as RunPage;
};

/** All pages one after the other. */
const walk = async (query: Record<string, string> = {}): Promise<{ runs: readonly RunSummary[]; pages: number }> => {
  const runs: RunSummary[] = [];
  let next: string | null = '';
  let pages = 0;
  while (next !== null) {
    const page: RunPage = await list({ ...query, ...(next === '' ? {} : { cursor: next }) });
    runs.push(...page.runs);
    next = page.next;
    pages += 1;
    expect(pages).toBeLessThan(1_000);
  }
  return { runs, pages };
};

const many = (count: number, how: (n: number) => object = () => ({})) =>
  Array.from({ length: count }, (_, n) => ({ runId: seedId(`${resource}/${n}`, n % SHARDS), resource, ...how(n) }));

describe('the pages of the list', () => {
  it('hold every run once, newest first, however many share a millisecond and a shard', async () => {
    const seeds = many(240);
    await seedRuns(redis, seeds);
    const { runs } = await walk({ limit: '7' });
    expect(runs.map((run) => run.id).sort()).toEqual(seeds.map((seed) => seed.runId).sort());
    const times = runs.map((run) => run.created_at);
    expect(times).toEqual([...times].sort().reverse());
    // the test is worth its name only when milliseconds were shared
    expect(new Set(times).size).toBeLessThan(seeds.length);
  });

  it('neither repeat nor leave out a run when newer ones come between two pages', async () => {
    await seedRuns(redis, many(30));
    const first = await list({ limit: '10' });
    await seedRuns(redis, [{ runId: seedId(`${resource}/new`), resource }]);
    const second = await list({ limit: '200', cursor: first.next ?? '' });
    expect(new Set([...first.runs, ...second.runs].map((run) => run.id)).size).toBe(30);
    expect(second.next).toBeNull();
  });

  it('are empty for a resource without runs, and show nothing of another one', async () => {
    await seedRuns(redis, [{ runId: seedId(`other of ${resource}`), resource: randomUUID() }]);
    expect(await list()).toEqual({ runs: [], next: null });
    expect(await list({ state: 'failed', q: 'x' })).toEqual({ runs: [], next: null });
  });

  it('go on after a place that no run stands at any more', async () => {
    await seedRuns(redis, many(12));
    const first = await list({ state: 'accepted', limit: '5' });
    const runs = createRuns({ redis });
    for (const run of first.runs) await runs.cancel(run.id, 'test');
    const rest = await walk({ state: 'accepted', limit: '5', cursor: first.next ?? '' });
    expect(rest.runs).toHaveLength(7);
    expect((await walk({ state: 'cancelled', limit: '2' })).runs.map((run) => run.id).sort()).toEqual(
      first.runs.map((run) => run.id).sort(),
    );
  });

  it('refuse what is no cursor, limit, state or parameter, saying what was found and expected', async () => {
    const wrong: [string, RegExp][] = [
      ['cursor=x', /cursor: found "x"/],
      ['cursor=1.r0-x', /cursor/],
      ['limit=0', /limit: found "0"/],
      ['limit=201', /limit/],
      ['limit=ten', /limit/],
      ['state=broken', /state/],
      ['since=yesterday', /since: found "yesterday"/],
      ['stat=failed', /"stat", expected state, title/],
      ['q=a&q=b', /q: found it 2 times/],
      ['bucket=b', /all three/],
    ];
    for (const [query, says] of wrong) {
      const response = await web.call('GET', `/v1/runs?${query}`);
      expect(response.status, query).toBe(400);
      expect(((await response.json()) as { detail: string }).detail).toMatch(says);
    }
  });
});

describe('the filters of the list', () => {
  const ids = (page: { runs: readonly RunSummary[] }) => page.runs.map((run) => run.id).sort();
  const named = (...names: readonly string[]) => names.map((name) => seedId(`${resource}/${name}`)).sort();

  beforeEach(async () => {
    const one = (name: string, more: object) => ({ runId: seedId(`${resource}/${name}`), resource, ...more });
    await seedRuns(redis, [
      one('thumb', {
        key: 'in/photos/A.jpg',
        workflow: { title: 'Thumbnails', run: [{ cmd: 'a' }, { parallel: [{ cmd: 'b' }, { cmd: 'c' }] }] },
      }),
      one('thumb2', { key: 'in/photos/b.jpg', workflow: { title: 'Thumbnails', run: [{ cmd: 'a' }] } }),
      one('import', { key: 'in/data/rows.csv', workflow: { title: 'Import', run: [{ cmd: 'a' }] } }),
      one('bad', { key: 'in/photos/c.json', rejected: '/run/0/cmd (1:10): found 7, expected text.' }),
    ]);
    await createRuns({ redis }).cancel(seedId(`${resource}/thumb2`), 'test');
  });

  it('take states, one or several', async () => {
    expect(ids(await list({ state: 'accepted' }))).toEqual(named('thumb', 'import'));
    expect(ids(await list({ state: 'rejected,cancelled' }))).toEqual(named('thumb2', 'bad'));
    expect(ids(await list({ state: 'running,succeeded,failed,retrying' }))).toEqual([]);
  });

  it('take title, key prefix and text, alone and together', async () => {
    expect(ids(await list({ title: 'Thumbnails' }))).toEqual(named('thumb', 'thumb2'));
    expect(ids(await list({ title: 'thumbnails' }))).toEqual([]);
    expect(ids(await list({ prefix: 'in/photos/' }))).toEqual(named('thumb', 'thumb2', 'bad'));
    expect(ids(await list({ prefix: 'in/photos/', state: 'cancelled' }))).toEqual(named('thumb2'));
    expect(ids(await list({ q: 'EXPECTED text' }))).toEqual(named('bad'));
    expect(ids(await list({ q: 'a.JPG' }))).toEqual(named('thumb'));
    expect(ids(await list({ q: seedId(`${resource}/import`) }))).toEqual(named('import'));
    // what means something to a pattern language means itself here
    expect(ids(await list({ q: '.*' }))).toEqual([]);
    expect(ids(await list({ q: '(1:10)' }))).toEqual(named('bad'));
    expect(ids(await list({ prefix: 'photos/' }))).toEqual([]);
  });

  it('take a span of time, its beginning included and its end not', async () => {
    const [first] = (await list({ q: seedId(`${resource}/import`) })).runs;
    const at = first?.created_at ?? '';
    const after = new Date(Date.parse(at) + 1).toISOString();
    expect(ids(await list({ q: seedId(`${resource}/import`), since: at }))).toEqual(named('import'));
    expect(ids(await list({ q: seedId(`${resource}/import`), since: at, until: after }))).toEqual(named('import'));
    expect(ids(await list({ q: seedId(`${resource}/import`), until: at }))).toEqual([]);
    expect(ids(await list({ q: seedId(`${resource}/import`), since: after }))).toEqual([]);
  });

  it('show how far a run is', async () => {
    const [run] = (await list({ q: 'A.jpg' })).runs;
    expect(run).toMatchObject({ title: 'Thumbnails', state: 'accepted', tasks: 3, settled: 0, retrying: 0, error: null });
  });
});

it('finds the one run among thousands that fits, in stretches that leave Redis free for others', async () => {
  const seeds = many(9_000);
  for (let at = 0; at < seeds.length; at += 3_000) {
    // by hand, since thousands of transitions take their time
    const pipeline = redis.pipeline();
    for (const [n, { runId }] of seeds.slice(at, at + 3_000).entries()) {
      const keys = shardKeys((at + n) % SHARDS);
      const key = at + n === 3 ? 'in/needle' : `in/${at + n}`;
      pipeline.hset(keys.run(runId), {
        state: 'succeeded',
        resource,
        at: 1_000 + at + n,
        end: 2_000,
        key,
        title: 'many',
        steps: 1,
        n0: 1,
        d0: 1,
      });
      pipeline.zadd(keys.index(resource), 1_000 + at + n, runId);
    }
    await pipeline.exec();
  }
  const { runs, pages } = await walk({ q: 'needle' });
  expect(runs.map((run) => run.id)).toEqual([seeds[3]?.runId]);
  expect(pages).toBeGreaterThan(1);
  // on a machine where every look takes its time a page ends sooner, and the walk goes on all the same
  let ms = 0;
  const slow = () => {
    ms += 50;
    return ms;
  };
  const found: string[] = [];
  let short = 0;
  for (let cursor: string | null = ''; cursor !== null; short += 1) {
    const page: RunPage = await listRuns(
      redis,
      SHARDS,
      { resource, limit: 50, text: 'needle', ...(cursor === '' ? {} : { cursor }) },
      slow,
    );
    found.push(...page.runs.map(({ id }) => id));
    cursor = page.next;
  }
  expect(found).toEqual([seeds[3]?.runId]);
  expect(short).toBeGreaterThan(2);
});
