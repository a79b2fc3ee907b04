// The add-on's documentation, replayed as printed with the real heroku CLI, Debian's boto3 and aws CLI against `autofiles start`: one row for each command.
import { mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../dynos/platform.ts';
import { exampleApp, type LocalCloud, startLocalCloud } from '../support/local-cloud.ts';
import { herokuBin, quiet } from './heroku.ts';

let cloud: LocalCloud;
let path: string;

beforeAll(async () => {
  cloud = await startLocalCloud({ app: exampleApp('python-starter'), path: '/usr/sbin:/usr/bin:/sbin:/bin' });
  // The page says `python`; Debian has it as python3.
  const bin = join(cloud.folder, 'bin');
  await mkdir(bin);
  await symlink('/usr/bin/python3', join(bin, 'python'));
  path = [herokuBin, bin, join(process.execPath, '..'), '/usr/bin', '/bin'].join(':');
}, 900_000);
afterAll(async () => {
  await cloud?.stop();
}, 60_000);

/** Runs a line of the page in a shell in the app's folder; `without` names variables of `.autofiles/env` that this shell does not have. */
async function shell(line: string, without: readonly string[] = []) {
  const host = cloud.variables['HEROKU_HOST'] ?? '';
  const env = { PATH: path, ...quiet(host), ...Object.fromEntries(without.map((name) => [name, undefined])) };
  const done = await cloud.run('/bin/sh', ['-c', line], env);
  if (done.status !== 0) throw new Error(`${line} ended with ${done.status}: ${done.stderr}${done.stdout}`);
  return done;
}

/** As `shell`, for a line that is to be refused: what it complained of. */
async function refusedIn(line: string, env: Record<string, string>): Promise<string> {
  const done = await cloud.run('/bin/sh', ['-c', line], { PATH: path, AWS_EC2_METADATA_DISABLED: 'true', ...env });
  expect({ line, refused: done.status !== 0 }).toEqual({ line, refused: true });
  return done.stderr;
}

/** An add-on that is destroyed leaves no bucket, and no credentials that open anything. `old`: what the app had from it. */
async function expectGone(old: Readonly<Record<string, string>>): Promise<void> {
  const bucket = old['LD_S3_BUCKET'] ?? '';
  const identity = JSON.parse(await readFile(join(cloud.app, '.autofiles', 'identity.json'), 'utf8')) as Record<string, string>;
  const place = { AWS_ENDPOINT_URL_S3: old['AWS_ENDPOINT_URL_S3'] ?? '', AWS_DEFAULT_REGION: old['LD_REGION'] ?? '' };
  const customer = {
    ...place,
    AWS_ACCESS_KEY_ID: old['LD_AWS_ACCESS_KEY_ID'] ?? '',
    AWS_SECRET_ACCESS_KEY: old['LD_AWS_SECRET_ACCESS_KEY'] ?? '',
    AWS_SESSION_TOKEN: old['LD_AWS_SESSION_TOKEN'] ?? '',
  };
  const engine = {
    ...place,
    AWS_ACCESS_KEY_ID: identity['accessKeyId'] ?? '',
    AWS_SECRET_ACCESS_KEY: identity['secretAccessKey'] ?? '',
  };
  await eventually('the bucket is gone', async () => {
    const { status } = await cloud.run('/bin/sh', ['-c', `aws s3api head-bucket --bucket ${bucket}`], { PATH: path, ...engine });
    return status !== 0;
  });
  expect(await refusedIn(`aws s3api head-bucket --bucket ${bucket}`, engine)).toContain('404');
  expect(await refusedIn(`aws s3 ls s3://${bucket}`, customer)).toMatch(/NoSuchBucket|AccessDenied|InvalidAccessKeyId/);
  const others = await cloud.run('/bin/sh', ['-c', 'aws s3api list-buckets'], { PATH: path, ...customer });
  expect(JSON.parse(others.stdout)).toMatchObject({ Buckets: [] });
}

describe('Provisioning the Add-on', () => {
  it('heroku addons: `autofiles start` has installed it for the app', async () => {
    const { stdout } = await shell('heroku addons');
    expect(stdout).toMatch(/line-d \(line-d-[a-z]+-\d{5}\)\s+local\s+.*created[\s\S]*as LD/);
  });

  it('heroku addons:destroy line-d: its bucket is gone and its credentials are dead', async () => {
    const old = cloud.variables;
    const { stderr } = await shell('heroku addons:destroy line-d --confirm $HEROKU_APP');
    expect(stderr).toMatch(/Destroying line-d-\S+ on .*python-starter.*done/s);
    await expectGone(old);
    expect((await shell('heroku config -j')).stdout).not.toContain('LD_');
    expect((await cloud.autofiles('runs')).stderr).toContain('heroku addons:create line-d');
  });

  it('heroku addons:create line-d: provisioned over the Partner API, config vars set, released', async () => {
    const old = cloud.variables;
    const { stdout, stderr } = await shell('heroku addons:create line-d');
    expect(stderr).toMatch(/Creating line-d on .*python-starter/s);
    expect(stdout).toMatch(/line-d-[a-z]+-\d{5} is being created in the background\. The app will restart when complete/);
    await cloud.reread((now) => now['LD_S3_BUCKET'] !== undefined && now['LD_S3_BUCKET'] !== old['LD_S3_BUCKET']);
    expect((await shell('heroku addons:info line-d')).stdout).toMatch(/Plan:\s+line-d:local[\s\S]*State:\s+created/);
    expect((await shell('heroku releases')).stdout).toContain('line-d@addons.heroku.com');
    expect((await shell('heroku logs -s app -d api -n 100')).stdout).toMatch(/completed provisioning, setting LD_/);
  });
});

const keys = ['LD_AWS_ACCESS_KEY_ID', 'LD_AWS_SECRET_ACCESS_KEY', 'LD_AWS_SESSION_TOKEN', 'LD_REGION'] as const;

describe('Setup Local Environment (Static)', () => {
  it.each(keys)('heroku config:get %s -s  >> .env', async (name) => {
    await shell(`heroku config:get ${name} -s  >> .env`);
    const written = parseEnv(await readFile(join(cloud.app, '.env'), 'utf8'));
    expect(written[name]).toBe(cloud.variables[name]);
  });

  it('heroku local:run python starter_workflow.py, with the credentials of that .env alone', async () => {
    const { stdout } = await shell('heroku local:run python starter_workflow.py', keys);
    expect(stdout).toContain('Loaded ENV .env File as KEY=VALUE Format');
    const run = await cloud.ended('in/example');
    expect(run).toMatchObject({ state: 'succeeded', title: 'Example 2-step workflow', error: null });
  });

  it('heroku logs: what its dynos wrote', async () => {
    const { stdout } = await shell('heroku logs');
    expect(stdout).toMatch(/ app\[run\.\d+\]: Do Step 1\n[\s\S]* app\[run\.\d+\]: Do Step 2\n/);
  });
});

describe('Setup S3 Client Dynamically (Recommended)', () => {
  it("python, with the page's own helper around `heroku config -j`", async () => {
    const script = [
      'import json, os; from utils import setup_s3_client; from starter_workflow import STARTER_WORKFLOW',
      's3 = setup_s3_client(local=True)',
      "s3.put_object(Body=json.dumps(STARTER_WORKFLOW).encode('utf-8'), Bucket=os.environ['LD_S3_BUCKET'], Key='in/dynamic', Metadata={'ld_run': 'true'})",
    ];
    await shell(`python -c "${script.join('\n').replaceAll('"', '\\"')}"`, [
      ...keys,
      'LD_S3_BUCKET',
      'AWS_ENDPOINT_URL_S3',
      'AWS_DATA_PATH',
    ]);
    expect(await cloud.ended('in/dynamic')).toMatchObject({ state: 'succeeded' });
  });

  it("heroku run: a dyno has the add-on's variables and the app", async () => {
    const { stdout } = await shell(`heroku run --no-tty 'python3 -c "import os, utils; print(os.environ[\\"LD_S3_BUCKET\\"])"'`);
    expect(stdout.trim()).toBe(cloud.variables['LD_S3_BUCKET']);
  });
});

describe('Dashboard', () => {
  it('heroku addons:open line-d: its address signs in to the dashboard', async () => {
    const { stdout } = await shell('heroku addons:open line-d --show-url');
    const html = await (await fetch(stdout.trim())).text();
    const form = new URLSearchParams();
    for (const [, name = '', value = ''] of html.matchAll(/name="([^"]+)" value="([^"]*)"/g)) form.set(name, value);
    const signed = await fetch(/action="([^"]+)"/.exec(html)?.[1] ?? '', { method: 'POST', body: form, redirect: 'manual' });
    const cookie = (signed.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    const page = new URL(signed.headers.get('location') ?? '', cloud.variables['AUTOFILES_URL']);
    expect((await fetch(page)).status).toBe(401);
    const dashboard = await fetch(page, { headers: { cookie } });
    expect(dashboard.status).toBe(200);
    expect(await dashboard.text()).toContain('python-starter');
  });
});

describe('Removing the Add-on', () => {
  it('aws s3 sync s3://$LD_S3_BUCKET ./s3_export', async () => {
    const credentials =
      'AWS_ACCESS_KEY_ID=$LD_AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY=$LD_AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN=$LD_AWS_SESSION_TOKEN';
    const { stdout } = await shell(
      `${credentials} AWS_DEFAULT_REGION=$LD_REGION AWS_EC2_METADATA_DISABLED=true aws s3 sync s3://$LD_S3_BUCKET ./s3_export`,
    );
    expect(stdout).toMatch(new RegExp(`download: s3://${cloud.variables['LD_S3_BUCKET']}/in/example to s3_export/in/example`));
    expect(await readdir(join(cloud.app, 's3_export', 'in'))).toEqual(expect.arrayContaining(['dynamic', 'example']));
  });

  it('autofiles export: the same with metadata, and the history of what ran', async () => {
    const done = await cloud.autofiles('export', 'exported');
    expect({ status: done.status, stderr: done.stderr }).toMatchObject({ status: 0, stderr: expect.stringMatching(/\d+ files fetched/) });
    const lines = (await readFile(join(cloud.app, 'exported', 'export.jsonl'), 'utf8')).trim().split('\n');
    const entries = lines.map((line) => JSON.parse(line) as { key: string; path: string; metadata: Record<string, string> });
    expect(entries.find(({ key }) => key === 'in/dynamic')?.metadata).toEqual({ ld_run: 'true' });
    const run = entries.find(({ key }) => key.startsWith('.autofiles/runs/'));
    expect(JSON.parse(await readFile(join(cloud.app, 'exported', run?.path ?? ''), 'utf8'))).toMatchObject({
      state: 'succeeded',
      trigger: { bucket: cloud.variables['LD_S3_BUCKET'] },
    });
  });

  it('heroku addons:destroy line-d', async () => {
    const old = cloud.variables;
    await shell('heroku addons:destroy line-d --confirm $HEROKU_APP');
    await expectGone(old);
  });
});
