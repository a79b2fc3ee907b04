// The add-on's documentation, replayed as printed with the real heroku CLI, Debian's boto3 and aws CLI against `autofiles start`: one row for each command.
import { mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exampleApp, type LocalCloud, startLocalCloud } from '../support/local-cloud.ts';
import { herokuBin, installHeroku, quiet } from './heroku.ts';

let cloud: LocalCloud;
let path: string;

beforeAll(async () => {
  installHeroku();
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
});
