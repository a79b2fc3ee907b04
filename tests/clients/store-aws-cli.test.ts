import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { CreateBucketCommand, PutBucketVersioningCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeEndpointRules } from '../../src/local/store/endpoint-rules.ts';
import { openSession, runStore, type TestStore, tenantPolicy } from '../store/running-store.ts';

// Debian's awscli, unmodified and redirected by AWS_DATA_PATH alone.
const AWS = process.env['AUTOFILES_TEST_AWS'] ?? '/usr/bin/aws';
const BUCKET = 'ld-private-cli';

let test: TestStore;
let folder: string;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  test = await runStore();
  folder = await mkdtemp(join(tmpdir(), 'autofiles-cli-'));
  await writeEndpointRules(join(folder, 'rules'), test.endpoint);
  await test.s3().send(new CreateBucketCommand({ Bucket: BUCKET }));
  await test.s3().send(new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration: { Status: 'Enabled' } }));
  const keys = await openSession(test.sts(), tenantPolicy(BUCKET));
  environment = {
    PATH: process.env['PATH'],
    HOME: folder,
    AWS_DATA_PATH: join(folder, 'rules'),
    AWS_ACCESS_KEY_ID: keys.accessKeyId,
    AWS_SECRET_ACCESS_KEY: keys.secretAccessKey,
    AWS_SESSION_TOKEN: keys.sessionToken,
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
});

afterAll(async () => {
  await test.close();
  await rm(folder, { recursive: true, force: true });
  expect(test.faults).toEqual([]);
});

describe('cp', () => {
  it('carries 50 MB there and back, and copies it inside the store', async () => {
    const body = randomBytes(50 * 1024 * 1024);
    await writeFile(join(folder, 'large'), body);
    await aws('s3', 'cp', join(folder, 'large'), `s3://${BUCKET}/large`, '--no-progress');
    await aws('s3', 'cp', `s3://${BUCKET}/large`, `s3://${BUCKET}/large-copy`, '--no-progress');
    await aws('s3', 'cp', `s3://${BUCKET}/large-copy`, join(folder, 'large-back'), '--no-progress');
    expect((await readFile(join(folder, 'large-back'))).equals(body)).toBe(true);
    const head = JSON.parse(await aws('s3api', 'head-object', '--bucket', BUCKET, '--key', 'large-copy'));
    expect(head).toMatchObject({ ContentLength: body.length, ETag: expect.stringMatching(/^"[0-9a-f]{32}-7"$/) });
  });

  it('carries an empty file', async () => {
    await writeFile(join(folder, 'empty'), '');
    await aws('s3', 'cp', join(folder, 'empty'), `s3://${BUCKET}/empty`, '--no-progress');
    await aws('s3', 'cp', `s3://${BUCKET}/empty`, join(folder, 'empty-back'), '--no-progress');
    expect(await readFile(join(folder, 'empty-back'), 'utf8')).toBe('');
  });

  it('takes its body from standard input and gives it to standard output', async () => {
    await aws({ input: 'from a pipe' }, 's3', 'cp', '-', `s3://${BUCKET}/piped`);
    expect(await aws('s3', 'cp', `s3://${BUCKET}/piped`, '-')).toBe('from a pipe');
  });

  it('keeps metadata and guesses the content type', async () => {
    await writeFile(join(folder, 'page.html'), '<p>');
    await aws(
      's3',
      'cp',
      join(folder, 'page.html'),
      `s3://${BUCKET}/page.html`,
      '--metadata',
      'ld_run=true',
      '--cache-control',
      'no-store',
    );
    const head = JSON.parse(await aws('s3api', 'head-object', '--bucket', BUCKET, '--key', 'page.html'));
    expect(head).toMatchObject({ ContentType: 'text/html', CacheControl: 'no-store', Metadata: { ld_run: 'true' } });
  });

  it('attaches a workflow with the words of the README', async () => {
    const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
    const metadata = /aws s3 cp .* --metadata '(.*)'/.exec(readme)?.[1] ?? '';
    await aws({ input: 'x' }, 's3', 'cp', '-', `s3://${BUCKET}/pinned`, '--metadata', metadata);
    const head = JSON.parse(await aws('s3api', 'head-object', '--bucket', BUCKET, '--key', 'pinned'));
    expect(JSON.parse(head.Metadata.ld_code)).toEqual({ run: [{ cmd: 'process_image' }] });
  });
});

describe('sync', () => {
  it('sends both ways what differs, and nothing the second time', async () => {
    const files = ['a.txt', 'B.txt', 'a-b/c', 'a/b.txt', 'a/b/c d.txt', 'ä/ü.txt', 'z+%&=.bin', 'empty', 'a b/ c'];
    const source = join(folder, 'source');
    for (const [index, file] of files.entries()) {
      await mkdir(dirname(join(source, file)), { recursive: true });
      await writeFile(join(source, file), file === 'empty' ? '' : `content ${index}`);
    }
    const address = `s3://${BUCKET}/synced`;
    expect(transfers(await aws('s3', 'sync', source, address))).toBe(files.length);
    expect(transfers(await aws('s3', 'sync', source, address))).toBe(0);
    const target = join(folder, 'target');
    expect(transfers(await aws('s3', 'sync', address, target))).toBe(files.length);
    expect(transfers(await aws('s3', 'sync', address, target))).toBe(0);
    for (const file of files) expect(await readFile(join(target, file))).toEqual(await readFile(join(source, file)));
    expect(transfers(await aws('s3', 'sync', address, `s3://${BUCKET}/again`))).toBe(files.length);
    expect(transfers(await aws('s3', 'sync', address, `s3://${BUCKET}/again`))).toBe(0);
    await rm(join(source, 'a.txt'));
    expect(await aws('s3', 'sync', source, address, '--delete')).toContain(`delete: ${address}/a.txt`);
  });

  it('pages through more keys than one list holds', async () => {
    const s3 = test.s3();
    const keys = Array.from({ length: 1100 }, (_, index) => `many/${index}`);
    const writers = Array.from({ length: 20 }, async (_, first) => {
      for (let index = first; index < keys.length; index += 20) {
        await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: keys[index], Body: 'x', ContentLength: 1 }));
      }
    });
    await Promise.all(writers);
    const listed = await aws('s3', 'ls', `s3://${BUCKET}/many/`);
    expect(listed.trimEnd().split('\n').length).toBe(keys.length);
    await aws('s3', 'rm', `s3://${BUCKET}/many`, '--recursive', '--quiet');
    await expect(aws('s3', 'ls', `s3://${BUCKET}/many/`)).rejects.toThrow('exit code 1');
  });
});

describe('the other commands', () => {
  it('lists, moves and removes', async () => {
    await aws({ input: 'x' }, 's3', 'cp', '-', `s3://${BUCKET}/moved/from here`);
    await aws('s3', 'mv', `s3://${BUCKET}/moved/from here`, `s3://${BUCKET}/moved/to there`);
    expect(await aws('s3', 'ls', `s3://${BUCKET}/moved/`)).toMatch(/^\S+ \S+ +1 to there\n$/);
    expect(await aws('s3', 'ls')).toContain(BUCKET);
    await aws('s3', 'rm', `s3://${BUCKET}/moved/to there`);
    await expect(aws('s3', 'ls', `s3://${BUCKET}/moved/`)).rejects.toThrow('exit code 1');
  });

  it('presigns an address that serves', async () => {
    await aws({ input: 'shared' }, 's3', 'cp', '-', `s3://${BUCKET}/shared file`);
    const url = (await aws('s3', 'presign', `s3://${BUCKET}/shared file`, '--expires-in', '60')).trim();
    const answer = await fetch(url);
    expect([answer.status, await answer.text()]).toEqual([200, 'shared']);
  });

  it('is told in plain words what is refused', async () => {
    await expect(aws('s3', 'ls', 's3://somebody-elses')).rejects.toThrow(/AccessDenied/);
    await expect(aws('s3', 'mb', 's3://new-bucket')).rejects.toThrow(/AccessDenied/);
    await expect(aws('s3api', 'put-object-acl', '--bucket', BUCKET, '--key', 'piped', '--acl', 'private')).rejects.toThrow(
      /NotImplemented/,
    );
    await expect(aws('s3api', 'get-object', '--bucket', BUCKET, '--key', 'nothing', join(folder, 'x'))).rejects.toThrow(/NoSuchKey/);
  });
});

function transfers(output: string): number {
  return output.split(/[\r\n]/).filter((line) => /(^|remaining)\s*(upload|download|copy): /.test(line)).length;
}

async function aws(first: string | { input: string }, ...rest: string[]): Promise<string> {
  const args = typeof first === 'string' ? [first, ...rest] : rest;
  const child = spawn(AWS, args, { env: environment, cwd: folder, stdio: 'pipe', timeout: 120_000 });
  child.stdin.end(typeof first === 'string' ? '' : first.input);
  const [output, errors]: Buffer[][] = [[], []];
  child.stdout.on('data', (bytes: Buffer) => output?.push(bytes));
  child.stderr.on('data', (bytes: Buffer) => errors?.push(bytes));
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  if (code !== 0) throw new Error(`aws ${args.join(' ')}: exit code ${code}: ${Buffer.concat(errors ?? []).toString()}`);
  return Buffer.concat(output ?? []).toString();
}
