// What happens to runs under way when their add-on changes below them: credentials that are replaced twice, and a removal.
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openHerokuApi } from '../../src/cli/heroku-api.ts';
import { exampleApp, type LocalCloud, startLocalCloud } from '../support/local-cloud.ts';
import { until } from '../support/until.ts';

/** Tasks of a step at once. */
const WIDE = 6;

// Saves a file again and again, with the credentials that its dyno was given, until the app's owner says that it is enough; then its output.
const BUSY = `import { bucketOf } from './s3.mjs';
import { setTimeout as sleep } from 'node:timers/promises';
const { task_id: id } = JSON.parse(process.env.line_D);
const bucket = bucketOf(process.env);
console.log('key ' + process.env.LD_AWS_ACCESS_KEY_ID);
for (let n = 0; ; n += 1) {
  await bucket.put('busy/' + id, String(n), {});
  if (await bucket.get('enough/' + process.env.upto).then(() => true, () => false)) break;
  await sleep(100);
}
await bucket.put('out/' + id, 'done', { ld_task_id: id });
`;

const group = (upto: string) => ({
  parallel: Array.from({ length: WIDE }, (_, i) => ({
    name: `busy ${i}`,
    cmd: 'node busy.mjs',
    machine: 'basic',
    options: [`upto=${upto}`],
  })),
});
const workflow = (title: string, ...steps: string[]) => JSON.stringify({ title, run: steps.map(group) });

describe('runs under way', { timeout: 240_000 }, () => {
  let cloud: LocalCloud;
  let redis: Redis;
  beforeAll(async () => {
    cloud = await startLocalCloud({ app: exampleApp('node-starter') });
    await cloud.write('busy.mjs', BUSY);
    redis = new Redis({ path: join(cloud.app, '.autofiles', 'redis.sock') });
  }, 150_000);
  afterAll(async () => {
    redis?.disconnect();
    await cloud?.stop();
  }, 60_000);

  const platform = () =>
    openHerokuApi({
      host: cloud.variables['HEROKU_HOST'] ?? '',
      token: cloud.variables['HEROKU_API_KEY'] ?? '',
      app: cloud.variables['HEROKU_APP'] ?? '',
    });
  const put = async (key: string, text: string) => {
    await cloud.write('upload', text);
    const done = await cloud.autofiles('put', 'upload', '--key', key, ...(key.startsWith('in/') ? ['--run'] : []));
    expect({ status: done.status, stderr: done.stderr }).toEqual({ status: 0, stderr: '' });
  };
  const up = async () => (await platform().dynos()).filter(({ type, state }) => type === 'run' && state === 'up');
  const rotated = async () => {
    const before = cloud.variables['LD_AWS_ACCESS_KEY_ID'];
    expect((await cloud.autofiles('credentials:rotate')).status).toBe(0);
    await cloud.reread((now) => now['LD_AWS_ACCESS_KEY_ID'] !== before);
  };

  it('lose access by no rotation, though two come while they write; later tasks get the newest credentials', async () => {
    const first = cloud.variables['LD_AWS_ACCESS_KEY_ID'];
    await put('in/rotations', workflow('two rotations', 'one', 'two'));
    await until('all tasks of step 1 are up', async () => ((await up()).length === WIDE ? true : undefined), 100_000);
    await rotated();
    await rotated();
    const newest = cloud.variables['LD_AWS_ACCESS_KEY_ID'];
    await put('enough/one', '');
    await until('all tasks of step 2 are up', async () => ((await up()).length === WIDE ? true : undefined), 100_000);
    await put('enough/two', '');
    const run = await cloud.ended('in/rotations');
    expect(run).toMatchObject({ state: 'succeeded', error: null });
    expect(run.steps.flatMap(({ tasks }) => tasks.map(({ state, attempt }) => ({ state, attempt })))).toEqual(
      Array.from({ length: 2 * WIDE }, () => ({ state: 'succeeded', attempt: 1 })),
    );
    const { stdout } = await cloud.autofiles('logs', '-n', '1000');
    const keys = [...stdout.matchAll(/app\[run\.\d+\]: key (\w+)/g)].map(([, key]) => key);
    expect(keys.sort()).toEqual([...Array(WIDE).fill(first), ...Array(WIDE).fill(newest)].sort());
  });

  it('end with a removal: no launch after it, no dyno, no key, nothing owed', async () => {
    const resource = cloud.variables['LD_S3_BUCKET']?.replace('ld-private-', '') ?? '';
    await put('in/removed', workflow('removed', 'never', 'later'));
    await until('all tasks of step 1 are up', async () => ((await up()).length === WIDE ? true : undefined), 100_000);
    const [addon] = await platform().addons();
    expect(addon?.id).toBe(resource);
    const { HEROKU_HOST: host, HEROKU_API_KEY: token, HEROKU_APP: app } = cloud.variables;
    const destroyed = await fetch(`${host}/apps/${app}/addons/${resource}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${token}`, accept: 'application/vnd.heroku+json; version=3' },
    });
    expect(destroyed.status).toBe(200);
    await until('the add-on is gone', async () => ((await platform().addons()).length === 0 ? true : undefined));
    await until('its dynos are gone', async () => ((await platform().dynos()).length === 0 ? true : undefined));
    const gone = async () => (await redis.keys(`*${resource}*`)).sort();
    const kept = [`af:audit:${resource}`, `af:resource:${resource}`];
    await until('its keys are gone', async () => ((await gone()).length <= kept.length ? true : undefined), 60_000);
    expect(await gone()).toEqual(kept);
    expect(await redis.hget(`af:resource:${resource}`, 'state')).toBe('removed');
    // nothing of the run is owed: no job of it waits, is parked or fails for ever
    await until(
      'no job of it is left',
      async () => {
        const jobs = await redis.keys('*r0-*');
        return jobs.length === 0 ? true : undefined;
      },
      60_000,
    );
    const { stdout } = await cloud.autofiles('logs', '-n', '1500');
    const removal = stdout.lastIndexOf('Detach LD');
    expect(removal).toBeGreaterThan(0);
    expect(stdout.slice(removal)).not.toContain('Starting process with command');
    expect(await platform().dynos()).toEqual([]);
  });
});
