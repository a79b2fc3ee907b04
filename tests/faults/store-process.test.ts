import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sendSigned, sign } from '../store/raw-request.ts';
import { end, forkStore, type StoreProcess, storeEnvironment } from '../store/store-process.ts';

const MAIN = join(import.meta.dirname, '../../src/local/store/main.ts');
let dir: string;
const running: StoreProcess[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'autofiles-store-process-'));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map(({ child }) => end(child, 'SIGKILL')));
  await rm(dir, { recursive: true, force: true });
});

async function start(port = 0, extra: NodeJS.ProcessEnv = {}): Promise<StoreProcess> {
  const store = await forkStore(dir, port, extra);
  running.push(store);
  return store;
}

const sqs = async (endpoint: string, operation: string, input: object) => {
  const answer = await sendSigned(endpoint, {
    method: 'POST',
    path: '/',
    service: 'sqs',
    headers: { 'x-amz-target': `AmazonSQS.${operation}`, 'content-type': 'application/x-amz-json-1.0' },
    body: JSON.stringify(input),
  });
  return JSON.parse(answer.text);
};
const queueUrl = (endpoint: string) => `${endpoint}/000000000000/events`;
const NOTIFY =
  '<NotificationConfiguration><QueueConfiguration><Queue>arn:aws:sqs:us-east-1:000000000000:events</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>';

async function prepare(endpoint: string): Promise<void> {
  await sqs(endpoint, 'CreateQueue', { QueueName: 'events' });
  await sendSigned(endpoint, { method: 'PUT', path: '/bucket' });
  await sendSigned(endpoint, {
    method: 'PUT',
    path: '/bucket',
    query: 'versioning=',
    body: '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>',
  });
  const answer = await sendSigned(endpoint, { method: 'PUT', path: '/bucket', query: 'notification=', body: NOTIFY });
  expect(answer.status).toBe(200);
}

/** Every object version of the bucket, as `key versionId`. */
async function versions(endpoint: string): Promise<string[]> {
  const found: string[] = [];
  let query = 'versions=';
  for (;;) {
    const { text } = await sendSigned(endpoint, { path: '/bucket', query });
    for (const [, key, version] of text.matchAll(/<Version><Key>(.*?)<\/Key><VersionId>(.*?)<\/VersionId>/g))
      found.push(`${key} ${version}`);
    const next = /<NextKeyMarker>(.*?)<\/NextKeyMarker><NextVersionIdMarker>(.*?)<\/NextVersionIdMarker>/.exec(text);
    if (!next) return found;
    query = `key-marker=${encodeURIComponent(next[1] ?? '')}&version-id-marker=${next[2]}&versions=`;
  }
}

/** Every event in the queue, as `key versionId`. */
async function events(endpoint: string): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const { Messages = [] } = await sqs(endpoint, 'ReceiveMessage', {
      QueueUrl: queueUrl(endpoint),
      MaxNumberOfMessages: 10,
      VisibilityTimeout: 600,
    });
    if (Messages.length === 0) return found;
    for (const message of Messages) {
      for (const { s3 } of JSON.parse(message.Body).Records ?? [])
        found.push(`${decodeURIComponent(s3.object.key)} ${s3.object.versionId}`);
    }
  }
}

describe('kill -9', () => {
  it('loses no answered write and no event, and leaves no event without its write', async () => {
    let store = await start();
    await prepare(store.endpoint);
    const answered: string[] = [];
    let next = 0;
    for (let round = 0; round < 3; round += 1) {
      const { endpoint, child } = store;
      const enough = Promise.withResolvers<void>();
      const before = answered.length;
      const writers = Array.from({ length: 8 }, async () => {
        for (;;) {
          next += 1;
          const key = `k${next}`;
          // Every fifth body is large enough for a file of its own.
          const body = key.endsWith('5') ? Buffer.alloc(100_000, key) : key;
          const answer = await sendSigned(endpoint, { method: 'PUT', path: `/bucket/${key}`, body }).catch(() => undefined);
          if (!answer) return;
          answered.push(`${key} ${answer.headers['x-amz-version-id']}`);
          if (answered.length - before >= 100) enough.resolve();
        }
      });
      await enough.promise;
      await end(child, 'SIGKILL');
      await Promise.all(writers);
      store = await start(store.port);
    }
    const kept = await versions(store.endpoint);
    expect(answered.filter((entry) => !kept.includes(entry))).toEqual([]);
    expect((await events(store.endpoint)).sort()).toEqual([...kept].sort());
    for (const entry of kept.filter((one) => /5 /.test(one))) {
      const [key] = entry.split(' ');
      const { body } = await sendSigned(store.endpoint, { path: `/bucket/${key}` });
      expect([key, body.equals(Buffer.alloc(100_000, key))]).toEqual([key, true]);
    }
  });

  it('leaves files of unfinished writes, which the next start removes', async () => {
    const first = await start();
    await prepare(first.endpoint);
    await sendSigned(first.endpoint, { method: 'PUT', path: '/bucket/kept', body: Buffer.alloc(100_000, 'k') });
    await end(first.child, 'SIGKILL');
    const [folder = ''] = await readdir(join(dir, 'blobs'));
    await writeFile(join(dir, 'blobs', folder, 'unnamed'), 'x');
    await mkdir(join(dir, 'tmp'), { recursive: true });
    await writeFile(join(dir, 'tmp', 'half-written'), 'x');
    const second = await start();
    expect(await readdir(join(dir, 'tmp'))).toEqual([]);
    expect((await readdir(join(dir, 'blobs', folder))).includes('unnamed')).toBe(false);
    expect((await sendSigned(second.endpoint, { path: '/bucket/kept' })).body.length).toBe(100_000);
  });

  it('keeps events that the chaos switch holds back', async () => {
    const first = await start(0, { AUTOFILES_CHAOS: '{"delay_ms": 600000}' });
    await prepare(first.endpoint);
    await sendSigned(first.endpoint, { method: 'PUT', path: '/bucket/delayed', body: 'x' });
    await end(first.child, 'SIGKILL');
    const second = await start(first.port);
    const { Attributes } = await sqs(second.endpoint, 'GetQueueAttributes', {
      QueueUrl: queueUrl(second.endpoint),
      AttributeNames: ['All'],
    });
    expect([Attributes.ApproximateNumberOfMessages, Attributes.ApproximateNumberOfMessagesDelayed]).toEqual(['1', '1']);
  });
});

describe('a graceful stop', () => {
  it('answers the long polls, lets the running upload end, and takes no new request', async () => {
    const store = await start();
    await prepare(store.endpoint);
    await sqs(store.endpoint, 'PurgeQueue', { QueueUrl: queueUrl(store.endpoint) });
    const poll = sqs(store.endpoint, 'ReceiveMessage', { QueueUrl: queueUrl(store.endpoint), WaitTimeSeconds: 20 });
    const body = Buffer.alloc(200_000, 'x');
    const { headers } = sign(store.endpoint, { method: 'PUT', path: '/bucket/slow', body });
    const upload = request(`${store.endpoint}/bucket/slow`, {
      method: 'PUT',
      headers: { ...headers, expect: '100-continue', 'content-length': String(body.length) },
    });
    upload.flushHeaders();
    // The store has verified the headers and asks for the body: the request is running.
    await once(upload, 'continue');
    upload.write(body.subarray(0, 100_000));
    const gone = once(store.child, 'exit');
    // one stop may come as several signals: from the system, and from those who started it
    store.child.kill('SIGTERM');
    store.child.kill('SIGINT');
    store.child.kill('SIGTERM');
    expect(await poll).toEqual({});
    await expect(sendSigned(store.endpoint, { path: '/' })).rejects.toThrow('ECONNREFUSED');
    upload.end(body.subarray(100_000));
    const [answer] = await once(upload, 'response');
    expect(answer.statusCode).toBe(200);
    answer.resume();
    expect(await gone).toEqual([0, null]);
    const again = await start();
    expect((await sendSigned(again.endpoint, { path: '/bucket/slow' })).body.length).toBe(200_000);
  });

  it('happens by itself when the parent is gone', async () => {
    const parent = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { fork } from 'node:child_process';
         const child = fork(${JSON.stringify(MAIN)}, { execArgv: ['--disable-warning=ExperimentalWarning'], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
         child.once('message', () => console.log(child.pid));`,
      ],
      { env: storeEnvironment(dir), stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [bytes] = await once(parent.stdout, 'data');
    const pid = Number(String(bytes));
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    // The store holds its folder exclusively: that another can open it shows that the orphan is gone.
    await start();
    expect(await alive(pid)).toBe(false);
  });
});

async function alive(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return status !== '' && !status.includes('State:\tZ');
}

describe('a start', () => {
  const fails = async (environment: NodeJS.ProcessEnv): Promise<string> => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN], {
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let output = '';
    child.stderr.on('data', (bytes) => (output += bytes));
    const [code] = await once(child, 'close');
    expect(code).toBe(1);
    return output;
  };

  it('says on one line where it listens', async () => {
    const store = await start();
    expect(store.output()).toBe(`store ready on ${store.endpoint}\n`);
  });

  it('is refused with NODE_ENV=production', async () => {
    expect(await fails({ ...storeEnvironment(dir), NODE_ENV: 'production' })).toContain('refuses to run with NODE_ENV=production');
  });

  it('is refused without its variables, or with wrong ones, and says which', async () => {
    const { AUTOFILES_STORE_DIR: _, ...without } = storeEnvironment(dir);
    expect(await fails(without)).toContain('AUTOFILES_STORE_DIR is missing');
    expect(await fails({ ...storeEnvironment(dir), AUTOFILES_STORE_PORT: 'x' })).toContain('AUTOFILES_STORE_PORT is "x"');
    expect(await fails({ ...storeEnvironment(dir), AUTOFILES_CHAOS: '{"delay": 1}' })).toContain('chaos settings are wrong');
  });

  it('is refused while another store holds the folder', async () => {
    await start();
    expect(await fails(storeEnvironment(dir))).toContain('If another store runs on this folder, stop it first');
  });
});
