import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, PutBucketVersioningCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeEndpointRules } from '../../src/local/store/endpoint-rules.ts';
import { type Keys, openSession, runStore, type TestStore, tenantPolicy } from '../store/running-store.ts';

// Debian's python3, whose boto3 is the old one that knows no AWS_ENDPOINT_URL.
const PYTHON = process.env['AUTOFILES_TEST_PYTHON'] ?? '/usr/bin/python3';
const BUCKET = 'ld-private-one';
const OTHER = 'ld-private-two';

let test: TestStore;
let rules: string;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  test = await runStore();
  rules = await mkdtemp(join(tmpdir(), 'autofiles-rules-'));
  await writeEndpointRules(rules, test.endpoint);
  const s3 = test.s3();
  for (const bucket of [BUCKET, OTHER]) {
    await s3.send(new CreateBucketCommand({ Bucket: bucket }));
    await s3.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }));
  }
  const old = await expiredSession(test);
  environment = {
    PATH: process.env['PATH'],
    AWS_DATA_PATH: rules,
    LD_S3_BUCKET: BUCKET,
    OTHER_S3_BUCKET: OTHER,
    ...variables('LD', await openSession(test.sts(), tenantPolicy(BUCKET))),
    ...variables('OTHER', await openSession(test.sts(), tenantPolicy(OTHER))),
    ...variables('OLD', old),
  };
});

afterAll(async () => {
  await test.close();
  await rm(rules, { recursive: true, force: true });
});

it('passes every check of an unmodified boto3', async () => {
  const { code, output } = await run(PYTHON, [join(import.meta.dirname, 'store-boto3-checks.py')], environment);
  expect(output.filter((line) => line.startsWith('FAIL'))).toEqual([]);
  expect(output.filter((line) => line.startsWith('ok ')).length).toBeGreaterThanOrEqual(53);
  expect(output.at(-1)).toMatch(/^(\d+)\/\1 checks passed/);
  expect(code).toBe(0);
  expect(test.faults).toEqual([]);
});

/** A session whose time is over: made by a store whose clock is an hour behind. */
async function expiredSession({ clock, sts }: TestStore): Promise<Required<Keys>> {
  clock.offsetMs = -3_600_000;
  const client = sts();
  client.config.systemClockOffset = clock.offsetMs;
  const keys = await openSession(client, tenantPolicy(BUCKET), 900);
  clock.offsetMs = 0;
  return keys;
}

function variables(prefix: string, keys: Required<Keys>): Record<string, string> {
  return {
    [`${prefix}_AWS_ACCESS_KEY_ID`]: keys.accessKeyId,
    [`${prefix}_AWS_SECRET_ACCESS_KEY`]: keys.secretAccessKey,
    [`${prefix}_AWS_SESSION_TOKEN`]: keys.sessionToken,
  };
}

async function run(command: string, args: string[], env: NodeJS.ProcessEnv): Promise<{ code: number | null; output: string[] }> {
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 150_000 });
  let text = '';
  child.stdout.on('data', (bytes) => (text += bytes));
  child.stderr.on('data', (bytes) => (text += bytes));
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  return { code, output: text.trimEnd().split('\n') };
}
