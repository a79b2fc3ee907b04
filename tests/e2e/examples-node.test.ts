import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunView } from '../../src/schema/run-view.ts';
import { exampleApp, type LocalCloud, startLocalCloud } from '../support/local-cloud.ts';
import { until } from '../support/until.ts';

describe('examples/node-starter', { timeout: 150_000 }, () => {
  let cloud: LocalCloud;
  beforeAll(async () => {
    cloud = await startLocalCloud({ app: exampleApp('node-starter') });
  }, 150_000);
  afterAll(async () => {
    await cloud?.stop();
  }, 60_000);

  /** Runs one of the example's scripts with the user's own node. */
  const script = async (...args: string[]) => {
    const { status, stdout, stderr } = await cloud.run('node', args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout;
  };

  it('listens on ports that the system gives to no connection: one of these may be taken between the choice and the listening', () => {
    const ports = ['AUTOFILES_URL', 'HEROKU_HOST', 'AWS_ENDPOINT_URL_S3'].map((name) => Number(new URL(cloud.variables[name] ?? '').port));
    expect(
      ports.every((port) => port >= 20_000 && port < 32_768),
      ports.join(' '),
    ).toBe(true);
  });

  it('uploads the two-step starter, which runs to its end', async () => {
    expect(await script('starter_workflow.mjs')).toBe('Saved in/example; its workflow begins.\n');
    const run = await cloud.ended('in/example');
    expect(run).toMatchObject({ state: 'succeeded', title: 'Example 2-step workflow', error: null });
    expect(tasksOf(run).map(({ state, attempt }) => ({ state, attempt }))).toEqual([
      { state: 'succeeded', attempt: 1 },
      { state: 'succeeded', attempt: 1 },
    ]);
    expect(placeOf(run, '0.0', 'succeeded')).toBeLessThan(placeOf(run, '1.0', 'intent'));
    const { stdout } = await cloud.autofiles('runs', '--json');
    expect(JSON.parse(stdout)).toContainEqual(expect.objectContaining({ id: run.id, state: 'succeeded', trigger: run.trigger }));
  });

  it('gets data in a group of three between two steps, each task proving itself with an output', async () => {
    const { status, stdout, stderr } = await cloud.autofiles('put', 'workflows/get-data.json', '--run', '--key', 'in/three', '--wait');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('Add it up: succeeded');
    const run = await cloud.ended('in/three');
    const [first, ...others] = tasksOf(run);
    expect(JSON.parse(first?.output?.state ?? '')).toEqual({ endpoint: 'albums', num_records: 20 });
    expect(others.map(({ output }) => JSON.parse(output?.state ?? ''))).toEqual([
      { endpoint: 'posts', num_records: 100 },
      { endpoint: 'users', num_records: 10 },
      { endpoint: 'comments', num_records: 500 },
      // the step after the group has read the three outputs that its line_D names
      { posts: 100, users: 10, comments: 500 },
    ]);
    for (const member of ['1.0', '1.1', '1.2']) {
      expect(placeOf(run, '0.0', 'output')).toBeLessThan(placeOf(run, member, 'intent'));
      expect(placeOf(run, member, 'succeeded')).toBeLessThan(placeOf(run, '2.0', 'intent'));
    }
  });

  it('holds launches back while it is paused, and runs process types alone when told so', async () => {
    expect(JSON.parse((await cloud.autofiles('pause', '--json')).stdout)).toMatchObject({ paused: true });
    await cloud.autofiles('put', 'workflows/get-data.json', '--run', '--key', 'in/held');
    const task = await until(
      'the task that is held back',
      async () => {
        const runs: readonly RunView[] = JSON.parse((await cloud.autofiles('runs', '--json')).stdout);
        const run = runs.find(({ trigger }) => trigger.key === 'in/held');
        const [first] = run === undefined ? [] : tasksOf(await cloud.info(run.id));
        return first?.waiting?.why === 'paused' ? first : undefined;
      },
      60_000,
    );
    expect(task).toMatchObject({ state: 'waiting', dyno: null });
    expect(JSON.parse((await cloud.autofiles('resume', '--json')).stdout)).toMatchObject({ paused: false });
    expect((await cloud.ended('in/held')).state).toBe('succeeded');
    expect((await cloud.autofiles('commands', 'procfile')).stdout).toContain('process types of the Procfile alone');
    const refused = await cloud.autofiles('commands', 'some');
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining('expected any or procfile') });
    expect((await cloud.autofiles('commands', 'any')).status).toBe(0);
  });

  it('says how large an uploaded picture is', async () => {
    await script('process_media.mjs');
    const run = await cloud.ended('in/img/example_img.png');
    expect(run.state).toBe('succeeded');
    expect(JSON.parse(tasksOf(run)[0]?.output?.state ?? '')).toEqual({ format: 'png', width: 240, height: 160 });
  });

  it('takes a workflow attached by `autofiles put` as well', async () => {
    const jpeg = join(exampleApp('thumbnails'), 'picture.jpg');
    const put = await cloud.autofiles('put', jpeg, '--workflow', 'workflows/process-image.json', '--wait', '--json');
    expect(put.status).toBe(0);
    expect(JSON.parse(JSON.parse(put.stdout).steps[0].tasks[0].output.state)).toEqual({ format: 'jpeg', width: 1600, height: 1067 });
  });

  it('saves a file for somebody who has no more than the address, a token and the name of S3', async () => {
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
    const args = ['--disable-warning=ExperimentalWarning', main, 'put', 'workflows/starter.json', '--run', '--key', 'in/far', '--wait'];
    const mine = /^(AUTOFILES_URL|AUTOFILES_TOKEN|AWS_ENDPOINT_URL_S3)$/;
    const without = Object.fromEntries(Object.keys(cloud.variables).flatMap((name) => (mine.test(name) ? [] : [[name, undefined]])));
    const put = await cloud.run(process.execPath, args, without);
    expect({ status: put.status, stderr: put.stderr }).toEqual({ status: 0, stderr: '' });
    expect(await cloud.ended('in/far')).toMatchObject({ state: 'succeeded' });
  });

  it('gives an output for an empty picture, under any name', async () => {
    const name = "Grün & +leer (1)!*~'.jpg";
    await writeFile(join(cloud.app, name), '');
    await script('process_media.mjs', name);
    const run = await cloud.ended(`in/img/${name}`);
    expect(run).toMatchObject({ state: 'succeeded', trigger: { size: 0 } });
    expect(JSON.parse(tasksOf(run)[0]?.output?.state ?? '')).toEqual({ format: null, width: null, height: null });
  });

  it('says in one line what is missing outside of the cloud', async () => {
    const { status, stderr } = await cloud.run('node', ['starter_workflow.mjs'], { LD_S3_BUCKET: undefined });
    expect(status).toBe(1);
    expect(stderr).toContain('LD_S3_BUCKET is not set. Load the app');
  });

  it("sends to Amazon's own host of the bucket without AWS_ENDPOINT_URL_S3", async () => {
    const probe = `
      globalThis.fetch = async (url, { headers }) => { console.log(JSON.stringify({ url: String(url), ...headers })); return new Response(); };
      const { bucketOf } = await import('./s3.mjs');
      await bucketOf(process.env).put("in/a b/ü's", 'text', { ld_run: 'true' });`;
    const env = { AWS_ENDPOINT_URL_S3: undefined, LD_S3_BUCKET: 'ld-private-1', LD_REGION: 'eu-west-1' };
    const { stdout } = await cloud.run('node', ['--input-type=module', '-e', probe], env);
    const sent = JSON.parse(stdout);
    expect(sent.url).toBe('https://ld-private-1.s3.eu-west-1.amazonaws.com/in/a%20b/%C3%BC%27s');
    expect(sent['x-amz-security-token']).toBe(cloud.variables['LD_AWS_SESSION_TOKEN']);
    expect(sent.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=\w+\/\d{8}\/eu-west-1\/s3\/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-meta-ld_run;x-amz-security-token, Signature=[0-9a-f]{64}$/,
    );
  });
});

const tasksOf = (run: RunView) => run.steps.flatMap(({ tasks }) => tasks);

/** Where in the history this happened to the task `step.index`. */
function placeOf(run: RunView, task: string, what: string): number {
  const entry = run.history.find((one) => one.task === `${run.id}.${task}` && one.what === what);
  if (entry === undefined) throw new Error(`found no ${what} of task ${task} in ${JSON.stringify(run.history)}`);
  return entry.n;
}
