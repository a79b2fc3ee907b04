import { hash } from 'node:crypto';
import { CreateBucketCommand, ListBucketsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { GetCallerIdentityCommand, GetFederationTokenCommand } from '@aws-sdk/client-sts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RawRequest, sendSigned } from './raw-request.ts';
import { type Keys, openSession, root, runStore, type TestStore, tenantPolicy } from './running-store.ts';

const MINE = 'ld-private-mine';
const THEIRS = 'ld-private-theirs';
let test: TestStore;
let tenant: Required<Keys>;

beforeAll(async () => {
  test = await runStore();
  for (const bucket of [MINE, THEIRS]) {
    await test.s3().send(new CreateBucketCommand({ Bucket: bucket }));
    await test.s3().send(new PutObjectCommand({ Bucket: bucket, Key: 'file', Body: bucket }));
  }
  tenant = await openSession(test.sts(), tenantPolicy(MINE));
});
afterAll(async () => {
  await test.close();
  expect(test.faults).toEqual([]);
});

const as = async (keys: Keys, request: RawRequest) => {
  const { status, code } = await sendSigned(test.endpoint, { keys, ...request });
  return [status, code];
};

describe('a tenant', () => {
  it('reaches its own bucket', async () => {
    expect(await as(tenant, { path: `/${MINE}/file` })).toEqual([200, undefined]);
    expect(await as(tenant, { method: 'PUT', path: `/${MINE}/new`, body: 'x' })).toEqual([200, undefined]);
    expect(await as(tenant, { path: `/${MINE}`, query: 'list-type=2' })).toEqual([200, undefined]);
    const { Buckets } = await test.s3(tenant).send(new ListBucketsCommand({}));
    expect(Buckets?.map((bucket) => bucket.Name)).toEqual([MINE]);
  });

  it('is refused at every door of another bucket, and learns nothing of what is there', async () => {
    const doors: RawRequest[] = [];
    for (const bucket of [THEIRS, 'no-such-bucket']) {
      for (const method of ['GET', 'PUT', 'DELETE']) doors.push({ method, path: `/${bucket}/file` });
      for (const method of ['GET', 'PUT', 'DELETE']) doors.push({ method, path: `/${bucket}` });
      for (const query of [
        'versions=',
        'uploads=',
        'location=',
        'versioning=',
        'notification=',
        'lifecycle=',
        'policy=',
        'publicAccessBlock=',
      ])
        doors.push({ path: `/${bucket}`, query });
      for (const query of ['versioning=', 'notification=', 'lifecycle=', 'policy=', 'publicAccessBlock='])
        doors.push({ method: 'PUT', path: `/${bucket}`, query });
      doors.push(
        { method: 'POST', path: `/${bucket}/file`, query: 'uploads=' },
        { method: 'PUT', path: `/${bucket}/file`, query: 'partNumber=1&uploadId=x' },
        { method: 'POST', path: `/${bucket}/file`, query: 'uploadId=x' },
        { method: 'GET', path: `/${bucket}/file`, query: 'uploadId=x' },
        { method: 'DELETE', path: `/${bucket}/file`, query: 'uploadId=x' },
        { path: `/${bucket}/file`, query: 'tagging=' },
        { path: `/${bucket}/file`, query: 'versionId=null' },
        { method: 'PUT', path: `/${MINE}/stolen`, headers: { 'x-amz-copy-source': `/${bucket}/file` } },
        { method: 'PUT', path: `/${MINE}/stolen`, headers: { 'x-amz-copy-source': `${bucket}%2Ffile` } },
        { method: 'PUT', path: `/${MINE}/stolen`, headers: { 'x-amz-copy-source': `${bucket}/file?versionId=null` } },
        { method: 'PUT', path: `/${bucket}/planted`, headers: { 'x-amz-copy-source': `${MINE}/file` } },
      );
    }
    for (const door of doors) {
      const [status, code] = await as(tenant, door);
      expect([door, status, code]).toEqual([door, 403, 'AccessDenied']);
    }
  });

  it('does not get out of its bucket by odd paths', async () => {
    for (const path of [`/${MINE}/../${THEIRS}/file`, `/${MINE}/..%2F${THEIRS}%2Ffile`, `/${MINE}//${THEIRS}/file`, `//${THEIRS}/file`]) {
      const [status] = await as(tenant, { path });
      expect([path, status]).toEqual([path, path.startsWith('//') ? 400 : 404]);
    }
  });

  it('may do with its bucket only what its policy lists', async () => {
    for (const query of ['versioning=', 'notification=', 'lifecycle=', 'policy=']) {
      expect([query, ...(await as(tenant, { method: 'PUT', path: `/${MINE}`, query }))]).toEqual([query, 403, 'AccessDenied']);
    }
    expect(await as(tenant, { method: 'DELETE', path: `/${MINE}` })).toEqual([403, 'AccessDenied']);
    const reader = await openSession(
      test.sts(),
      JSON.stringify({ Statement: { Effect: 'Allow', Action: 's3:GetObject', Resource: `arn:aws:s3:::${MINE}/file` } }),
    );
    expect(await as(reader, { path: `/${MINE}/file` })).toEqual([200, undefined]);
    expect(await as(reader, { path: `/${MINE}/new` })).toEqual([403, 'AccessDenied']);
    // Who may not list does not learn whether a key exists.
    expect(await as(reader, { path: `/${MINE}/nothing` })).toEqual([403, 'AccessDenied']);
    expect(await as(reader, { method: 'PUT', path: `/${MINE}/file`, body: 'x' })).toEqual([403, 'AccessDenied']);
    expect(await as(reader, { path: `/${MINE}/file`, query: 'versionId=null' })).toEqual([403, 'AccessDenied']);
  });

  it('gets per-key refusals in a bulk delete', async () => {
    const body = '<Delete><Object><Key>file</Key></Object></Delete>';
    const bulk: RawRequest = { method: 'POST', path: `/${THEIRS}`, query: 'delete=', body };
    expect(await as(tenant, { ...bulk, headers: { 'content-md5': hash('md5', body, 'base64') } })).toEqual([200, 'AccessDenied']);
    expect(await as(root, { path: `/${THEIRS}/file` })).toEqual([200, undefined]);
  });

  it('reaches neither queues nor the switch, and makes no sessions', async () => {
    const queue = await sendSigned(test.endpoint, {
      keys: tenant,
      service: 'sqs',
      method: 'POST',
      path: '/',
      body: '{"QueueName":"x"}',
      headers: { 'x-amz-target': 'AmazonSQS.CreateQueue', 'content-type': 'application/x-amz-json-1.0' },
    });
    expect([queue.status, JSON.parse(queue.text).__type]).toEqual([403, 'com.amazonaws.sqs#AccessDeniedException']);
    expect(await as(tenant, { path: '/_autofiles/chaos' })).toEqual([403, 'AccessDenied']);
    const call = test.sts(tenant).send(new GetFederationTokenCommand({ Name: 'more', Policy: tenantPolicy(THEIRS) }));
    await expect(call).rejects.toMatchObject({ name: 'AccessDenied' });
    const identity = await test.sts(tenant).send(new GetCallerIdentityCommand({}));
    expect(identity.Arn).toBe('arn:aws:sts::000000000000:assumed-role/tenant/test');
  });
});
