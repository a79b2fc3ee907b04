// The same clients against the local cloud, which speaks the real protocols.
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateMultipartUploadCommand, DeleteObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterEach, describe, expect, it } from 'vitest';
import { createDynoPlatform } from '../../src/clients/heroku.ts';
import type { MessageVerdict, ObjectVersion, QueueMessage } from '../../src/clients/ports.ts';
import { createObjectStore } from '../../src/clients/s3.ts';
import { createBucketAdmin } from '../../src/clients/s3-bucket-admin.ts';
import { createEventQueue } from '../../src/clients/sqs.ts';
import { createCredentialIssuer } from '../../src/clients/sts.ts';
import { startDynos } from '../../src/local/dynos/start-dynos.ts';
import { startStore } from '../../src/local/store/start-store.ts';

const ROOT = { accessKeyId: 'AKROOT', secretAccessKey: 'secret' };
const REGION = 'us-east-1';

const closers: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function temporary(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'autofiles-clients-'));
  closers.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function setupStore() {
  const faults: unknown[] = [];
  const store = await startStore({
    dir: await temporary(),
    port: 0,
    region: REGION,
    root: ROOT,
    now: Date.now,
    random: Math.random,
    randomBytes,
    id: randomUUID,
    onError: (error) => faults.push(error),
  });
  const access = { endpoint: store.endpoint, region: REGION, credentials: ROOT };
  const objects = createObjectStore(access);
  const queue = createEventQueue({ ...access, now: Date.now });
  const issuer = createCredentialIssuer(access);
  closers.push(async () => {
    for (const client of [objects, queue, issuer]) client.close();
    await store.close(1_000);
  });
  const bucketOf = async (name: string) => {
    await objects.createBucket(name);
    await objects.setVersioned(name);
    return name;
  };
  return { access, objects, queue, issuer, faults, bucketOf };
}

describe('the object store', () => {
  it('is emptied of whatever keys it holds, those that XML cannot carry and unfinished uploads of them, too', async () => {
    const { access, objects, bucketOf } = await setupStore();
    const bucket = await bucketOf('emptied');
    const admin = createBucketAdmin(access);
    const client = new S3Client({ ...access, forcePathStyle: true });
    try {
      const keys = ['plain', 'a\u0001b', 'ä + & <b>', 'line\nbreak', '\u{1F600}/x', 'no\uFFFEchar'];
      for (const key of keys) for (const body of ['1', '2']) await objects.put(bucket, key, body);
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'a\u0001b' }));
      await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: 'c\u0002d' }));
      let removed = 0;
      for (let page = await admin.emptyPage(bucket); page > 0; page = await admin.emptyPage(bucket)) removed += page;
      expect(removed).toBeGreaterThanOrEqual(2 * keys.length + 1);
      expect((await objects.versions(bucket)).versions).toEqual([]);
      await admin.remove(bucket);
    } finally {
      client.destroy();
      admin.dispose();
    }
  });

  it('sets a bucket up, twice without harm', async () => {
    const { objects } = await setupStore();
    await objects.createBucket('ld-private-a');
    await objects.createBucket('ld-private-a');
    expect(await objects.versioned('ld-private-a')).toBe(false);
    await objects.setVersioned('ld-private-a');
    expect(await objects.versioned('ld-private-a')).toBe(true);
    await expect(objects.versioned('ld-private-b')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('reads back each version that it wrote: head, metadata and text', async () => {
    const { objects, bucketOf } = await setupStore();
    const bucket = await bucketOf('ld-private-a');
    const key = "in/a b+c//ü(1)*!'~&=?#.json";
    const began = Math.floor(Date.now() / 1000) * 1000;
    const first = await objects.put(bucket, key, 'erstes ü', { contentType: 'text/plain', metadata: { ld_run: '1' } });
    const second = await objects.put(bucket, key, new Uint8Array());
    expect(second.versionId).not.toBe(first.versionId);
    const modifiedAt = expect.any(Number);
    const head = await objects.head(bucket, key, first.versionId);
    expect(head).toEqual({ ...first, size: 9, metadata: { ld_run: '1' }, modifiedAt });
    expect(head?.modifiedAt).toBeGreaterThanOrEqual(began);
    expect(head?.modifiedAt).toBeLessThanOrEqual(Date.now());
    expect(await objects.head(bucket, key)).toEqual({ ...second, size: 0, metadata: {}, modifiedAt });
    expect(await objects.text(bucket, key, first.versionId, 100)).toBe('erstes ü');
    expect(await objects.text(bucket, key, second.versionId, 100)).toBe('');
    await expect(objects.text(bucket, key, first.versionId, 8)).rejects.toMatchObject({ code: 'workflow_too_large' });
  });

  it('lists all versions page by page, in key order, without delete markers, and the keys that stand', async () => {
    const { objects, bucketOf, access } = await setupStore();
    const bucket = await bucketOf('ld-private-a');
    const written = [];
    for (const key of ['in/a b+c&', 'in/a b+c&', 'in/b', 'out/c', 'in/\u0001ü'])
      written.push({ key, ...(await objects.put(bucket, key, key)) });
    const sdk = new S3Client({ ...access, forcePathStyle: true });
    closers.push(async () => sdk.destroy());
    const { VersionId: marker } = await sdk.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'in/b' }));

    const listed: ObjectVersion[] = [];
    let next: string | undefined;
    do {
      const page = await objects.versions(bucket, { prefix: 'in/', limit: 2, ...(next === undefined ? {} : { next }) });
      listed.push(...page.versions);
      next = page.next;
    } while (next !== undefined);
    expect(listed.map(({ key }) => key)).toEqual(['in/\u0001ü', 'in/a b+c&', 'in/a b+c&', 'in/b']);
    expect(listed.map(({ latest }) => latest)).toEqual([true, true, false, false]);
    for (const { key, versionId, etag, size } of listed) {
      expect(written).toContainEqual({ key, versionId, etag });
      expect(size).toBe(Buffer.byteLength(key));
    }
    const keys: string[] = [];
    do {
      const page = await objects.keys(bucket, { prefix: 'in/', limit: 1, ...(next === undefined ? {} : { next }) });
      keys.push(...page.keys);
      next = page.next;
    } while (next !== undefined);
    expect(keys).toEqual(['in/\u0001ü', 'in/a b+c&']);
    expect(await objects.head(bucket, 'in/b')).toBeUndefined();
    expect(await objects.head(bucket, 'in/b', marker)).toBeUndefined();
    expect(await objects.text(bucket, 'in/b', marker, 10)).toBeUndefined();
    expect(await objects.head(bucket, 'in/b', written[2]?.versionId)).toMatchObject({ size: 4 });
  });

  it('knows nothing of keys and versions that are not there', async () => {
    const { objects, bucketOf } = await setupStore();
    const bucket = await bucketOf('ld-private-a');
    const { versionId } = await objects.put(bucket, 'k', 'x');
    expect(await objects.head(bucket, 'other')).toBeUndefined();
    expect(await objects.head(bucket, 'other', versionId)).toBeUndefined();
    expect(await objects.text(bucket, 'other', undefined, 10)).toBeUndefined();
    expect(await objects.head('ld-private-zzz', 'k')).toBeUndefined();
  });
});

describe('events', () => {
  it('every object put is announced by one message, and one that is done is gone', async () => {
    const { objects, queue, bucketOf, faults } = await setupStore();
    const { url, arn } = await queue.create('events');
    expect(await queue.create('events')).toEqual({ url, arn });
    expect(arn).toBe('arn:aws:sqs:us-east-1:000000000000:events');
    const bucket = await bucketOf('ld-private-a');
    await objects.notify(bucket, arn);
    const { versionId } = await objects.put(bucket, 'in/a b.json', '{}');

    const { promise: announced, resolve, reject } = Promise.withResolvers<QueueMessage>();
    const consumer = queue.consume(url, {
      consumers: 2,
      onBatch: async (messages) => {
        const object = messages.find(({ body }) => body.includes(versionId));
        if (object !== undefined) resolve(object);
        return messages.map((): MessageVerdict => ({ done: true }));
      },
      onError: reject,
    });
    const message = await announced;
    expect(JSON.parse(message.body).Records[0].s3.object.key).toBe('in/a+b.json');
    expect(message.receiveCount).toBe(1);
    await consumer.stop(10_000);
    expect(await queue.drained(url)).toBe(true);
    expect(faults).toEqual([]);
  });

  it('a message that is not done comes again after its time, and counts', async () => {
    const { objects, queue, bucketOf } = await setupStore();
    const { url, arn } = await queue.create('events');
    const bucket = await bucketOf('ld-private-a');
    await objects.notify(bucket, arn);
    await objects.put(bucket, 'k', 'x');
    const { promise: again, resolve, reject } = Promise.withResolvers<number>();
    const consumer = queue.consume(url, {
      consumers: 1,
      onBatch: async (messages) =>
        messages.map(({ receiveCount }): MessageVerdict => {
          if (receiveCount === 1) return { done: false, againIn: 0 };
          resolve(receiveCount);
          return { done: true };
        }),
      onError: reject,
    });
    closers.push(() => consumer.stop(10_000));
    expect(await again).toBe(2);
  });
});

describe('issued credentials', () => {
  it.each([
    ['GetFederationToken', undefined],
    ['AssumeRole', 'arn:aws:iam::000000000000:role/tenant'],
  ])('%s: they reach their bucket and no other', async (_, roleArn) => {
    const { objects, access, bucketOf } = await setupStore();
    const issuer = createCredentialIssuer(roleArn === undefined ? access : { ...access, roleArn });
    const mine = await bucketOf('ld-private-mine');
    const theirs = await bucketOf('ld-private-theirs');
    const { versionId } = await objects.put(theirs, 'k', 'secret');
    const before = Date.now();
    const { expiresAt, ...keys } = await issuer.forBucket(mine, 'resource mine', 900);
    expect(expiresAt).toBeGreaterThan(before + 890_000);
    const tenant = createObjectStore({ ...access, credentials: keys });
    closers.push(async () => {
      tenant.close();
      issuer.close();
    });
    const written = await tenant.put(mine, 'k', 'mine');
    expect(await tenant.head(mine, 'k', written.versionId)).toMatchObject({ size: 4 });
    await expect(tenant.head(theirs, 'k')).rejects.toMatchObject({ code: 's3_unavailable', message: expect.stringContaining('403') });
    await expect(tenant.text(theirs, 'k', versionId, 100)).rejects.toMatchObject({ message: expect.stringContaining('AccessDenied') });
    await expect(tenant.put(theirs, 'k', 'x')).rejects.toMatchObject({ message: expect.stringContaining('AccessDenied') });
    await expect(tenant.setVersioned(mine)).rejects.toMatchObject({ message: expect.stringContaining('AccessDenied') });
  });
});

describe('the dyno platform', () => {
  async function setupDynos() {
    const dir = await temporary();
    const appDir = join(dir, 'app');
    await mkdir(appDir);
    await writeFile(join(appDir, 'Procfile'), 'sleepy: sleep 300\n');
    const dynos = await startDynos({
      dir: join(dir, 'state'),
      appDir,
      appName: 'shop',
      token: 'the-token',
      userPath: process.env['PATH'] ?? '',
      now: Date.now,
      id: randomUUID,
      report: () => undefined,
      port: 0,
      rateLimit: 1_000_000,
    });
    const access = { baseUrl: `http://127.0.0.1:${dynos.port}`, userAgent: 'autofiles/test', now: Date.now };
    closers.push(() => dynos.close(0));
    const platform = createDynoPlatform({ ...access, token: 'the-token' });
    const launch = (command: string, size = 'basic') =>
      platform.launch('shop', { command, env: { GREETING: 'hallo' }, size, timeToLive: 60 }, { deadline: 10_000 });
    /** Looks until the dyno has left the list. */
    const gone = async (name: string) => {
      while ((await platform.list('shop')).some((dyno) => dyno.name === name));
    };
    return { platform, access, launch, gone };
  }

  it('launches a command whose end the log tells', async () => {
    const { platform, launch, gone } = await setupDynos();
    const outcome = await launch('echo "$GREETING"; exit 3 # r1.0.0/1');
    if (outcome.outcome !== 'accepted') throw new Error(JSON.stringify(outcome));
    const { dyno } = outcome;
    expect(dyno.command).toBe('echo "$GREETING"; exit 3 # r1.0.0/1');
    await gone(dyno.name);
    expect(await platform.endOf('shop', dyno.name, { after: dyno.createdAt })).toEqual({ status: 3, up: true });
    const lines = await platform.log('shop', dyno.name, 100);
    expect(lines.some((line) => line.includes(`app[${dyno.name}]: hallo`))).toBe(true);
    expect(await platform.endOf('shop', dyno.name, { after: Date.now() + 60_000 })).toEqual({ status: undefined, up: false });
  });

  it('lists what runs and stops it, also when it is gone', async () => {
    const { platform, launch, gone } = await setupDynos();
    const outcome = await launch('sleepy');
    if (outcome.outcome !== 'accepted') throw new Error(JSON.stringify(outcome));
    expect(await platform.list('shop')).toMatchObject([{ id: outcome.dyno.id, name: outcome.dyno.name, command: 'sleepy', type: 'run' }]);
    await platform.stop('shop', outcome.dyno.name);
    await gone(outcome.dyno.name);
    await platform.stop('shop', outcome.dyno.name);
    await platform.stop('shop', outcome.dyno.id);
  });

  it('refuses for good what it does not have, and a wrong token for a while', async () => {
    const { platform, access, launch } = await setupDynos();
    expect(await launch('true', 'gigantic-9x')).toMatchObject({ outcome: 'refused', heal: false, status: 422 });
    const order = { command: 'true', env: {}, size: 'basic', timeToLive: 60 };
    expect(await platform.launch('other-app', order, { deadline: 10_000 })).toMatchObject({ outcome: 'refused', heal: false, status: 404 });
    const stranger = createDynoPlatform({ ...access, token: 'guessed' });
    expect(await stranger.launch('shop', order, { deadline: 10_000 })).toMatchObject({ outcome: 'refused', heal: true, status: 401 });
    await expect(stranger.list('shop')).rejects.toMatchObject({ code: 'heroku_refused' });
    await expect(platform.list('other-app')).rejects.toMatchObject({ code: 'not_found' });
    expect(await platform.list('shop')).toEqual([]);
  });

  it('sets, reads and removes config vars', async () => {
    const { platform } = await setupDynos();
    await platform.setConfigVars('shop', { LD_REGION: 'us-east-1', OTHER: 'x' });
    expect(await platform.configVars('shop')).toMatchObject({ LD_REGION: 'us-east-1', OTHER: 'x' });
    await platform.setConfigVars('shop', { OTHER: null });
    expect(await platform.configVars('shop')).not.toHaveProperty('OTHER');
  });
});
