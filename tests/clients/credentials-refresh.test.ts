// `/v1/credentials` as clients use it that know nothing of us: they ask again by themselves, so a rotation restarts nothing.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AddonWorld, startAddonWorld } from '../addon/addon-world.ts';
import { type Keys, openSession, tenantPolicy } from '../store/running-store.ts';
import { until } from '../support/until.ts';

const PYTHON = process.env['AUTOFILES_TEST_PYTHON'] ?? '/usr/bin/python3';
const TOKEN = 'a-token-of-this-test';
/** Milliseconds for one line of a client on a busy machine. */
const LINE_MS = 60_000;

let world: AddonWorld;
let resource: string;
let bucket: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  world = await startAddonWorld({ env: { AUTOFILES_API_TOKEN: TOKEN } });
  await world.work();
  resource = await world.provisioned();
  bucket = world.heroku.addon(resource).config['LD_S3_BUCKET'] ?? '';
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await world?.stop();
});

const environment = () => ({
  PATH: process.env['PATH'],
  AWS_CONTAINER_CREDENTIALS_FULL_URI: `${world.url}/v1/credentials`,
  AWS_CONTAINER_AUTHORIZATION_TOKEN: `Bearer ${TOKEN}`,
  AWS_ENDPOINT_URL_S3: world.store.endpoint,
  AWS_REGION: 'us-east-1',
  AWS_DEFAULT_REGION: 'us-east-1',
  AWS_EC2_METADATA_DISABLED: 'true',
  LD_S3_BUCKET: bucket,
});

/** A client that runs on; `put` has it save an object and answers with what it says of that. */
function startClient(command: string, args: readonly string[]) {
  const child = spawn(command, args, { env: environment(), stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    put: async (key: string): Promise<string> => {
      child.stdin.write(`${key}\n`);
      const { value } = await Promise.race([
        lines.next(),
        once(child, 'exit').then(([status]) => ({ value: `ended with ${status}` })),
        new Promise<never>((_, reject) =>
          AbortSignal.timeout(LINE_MS).addEventListener('abort', () => reject(new Error(`no word about ${key}`))),
        ),
      ]);
      return String(value);
    },
    end: async () => {
      const gone = once(child, 'exit');
      child.stdin.end();
      return (await gone)[0];
    },
  };
}

/** Gives the resource credentials that are near their end: SDKs ask again before each use from then on. */
async function nearTheEnd(): Promise<Required<Keys>> {
  // by a clock that is behind, so that they are over in twelve minutes
  world.store.clock.offsetMs = -200_000;
  const client = world.store.sts();
  client.config.systemClockOffset = world.store.clock.offsetMs;
  const session = await openSession(client, tenantPolicy(bucket), 900);
  world.store.clock.offsetMs = 0;
  const stated = Date.now() + 240_000;
  const credentials = { ...session, expiresAt: stated, issuedAt: stated - 43_200_000 + 1 };
  await world.resources.change(resource, { secrets: { credentials } });
  return session;
}

async function rotated(): Promise<string> {
  const before = (await world.resources.secret(resource, 'credentials'))?.accessKeyId;
  const answer = await fetch(`${world.url}/v1/credentials/rotate`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` } });
  expect(answer.status).toBe(202);
  return await until('other credentials', async () => {
    const now = (await world.resources.secret(resource, 'credentials'))?.accessKeyId;
    return now === before ? undefined : now;
  });
}

describe.each([
  ['@aws-sdk v3', process.execPath, join(import.meta.dirname, 'refresh', 'put-lines.mjs')],
  ['boto3', PYTHON, join(import.meta.dirname, 'refresh', 'put_lines.py')],
])('an unmodified %s that is never restarted', (name, command, script) => {
  it('goes on with new credentials after a rotation, and the old ones are dead past their end', async () => {
    const old = await nearTheEnd();
    const client = startClient(command, [script]);
    expect(await client.put(`${name}/before`)).toBe(`saved ${name}/before by ${old.accessKeyId}`);
    const next = await rotated();
    expect(next).not.toBe(old.accessKeyId);
    // past the end of the old ones, as far as a client's clock may be off
    world.store.clock.offsetMs = 800_000;
    try {
      expect(await client.put(`${name}/after`)).toBe(`saved ${name}/after by ${next}`);
      const late = world.store.s3(old).send(new ListObjectsV2Command({ Bucket: bucket }));
      await expect(late).rejects.toMatchObject({ name: 'ExpiredToken' });
    } finally {
      world.store.clock.offsetMs = 0;
    }
    expect(await client.end()).toBe(0);
  });
});

describe('an unmodified aws CLI', () => {
  it('gets its credentials by `credential_process = autofiles credentials`', async () => {
    const home = await mkdtemp(join(tmpdir(), 'autofiles-aws-'));
    try {
      const main = join(import.meta.dirname, '../../src/cli/main.ts');
      await writeFile(
        join(home, 'config'),
        `[profile files]\nregion = us-east-1\ncredential_process = "${process.execPath}" "${main}" credentials\n`,
      );
      const child = spawn(
        'aws',
        ['--profile', 'files', '--endpoint-url', world.store.endpoint, 's3', 'cp', '-', `s3://${bucket}/by/the-cli`],
        {
          env: {
            PATH: `/usr/bin:/bin:${process.env['PATH']}`,
            AWS_CONFIG_FILE: join(home, 'config'),
            AWS_EC2_METADATA_DISABLED: 'true',
            AUTOFILES_URL: world.url,
            AUTOFILES_TOKEN: TOKEN,
          },
          stdio: ['pipe', 'inherit', 'inherit'],
        },
      );
      children.push(child);
      child.stdin.end('text');
      expect((await once(child, 'exit'))[0]).toBe(0);
      const { Contents: found } = await world.store.s3().send(new ListObjectsV2Command({ Bucket: bucket, Prefix: 'by/' }));
      expect(found?.map(({ Key }) => Key)).toEqual(['by/the-cli']);
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  });
});
