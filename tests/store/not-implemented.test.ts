import { hash } from 'node:crypto';
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sendSigned } from './raw-request.ts';
import { runStore, type TestStore } from './running-store.ts';

const BUCKET = 'narrow-bucket';
let test: TestStore;

beforeAll(async () => {
  test = await runStore();
  await test.s3().send(new CreateBucketCommand({ Bucket: BUCKET }));
  await test.s3().send(new PutObjectCommand({ Bucket: BUCKET, Key: 'file', Body: 'precious' }));
});
afterAll(async () => {
  await test.close();
  expect(test.faults).toEqual([]);
});

const BUCKET_SUBRESOURCES = [
  'accelerate',
  'acl',
  'analytics',
  'encryption',
  'intelligent-tiering',
  'inventory',
  'logging',
  'metadataTable',
  'metrics',
  'object-lock',
  'ownershipControls',
  'policyStatus',
  'replication',
  'requestPayment',
  'session',
  'tagging',
  'website',
  'made-up',
];
const OBJECT_SUBRESOURCES = [
  'acl',
  'attributes',
  'legal-hold',
  'restore',
  'retention',
  'select',
  'torrent',
  'renameObject',
  'append',
  'made-up',
];

describe('a subresource that the store does not have', () => {
  it('is answered 501 for every method, and never reaches the bucket or object itself', async () => {
    for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'HEAD']) {
      for (const name of BUCKET_SUBRESOURCES) {
        const answer = await sendSigned(test.endpoint, {
          method,
          path: `/${BUCKET}`,
          query: `${name}=`,
          body: method === 'PUT' ? '<X/>' : '',
        });
        expect([method, name, answer.status]).toEqual([method, name, 501]);
        if (method !== 'HEAD') expect(answer.code).toBe('NotImplemented');
      }
      for (const name of OBJECT_SUBRESOURCES) {
        const answer = await sendSigned(test.endpoint, {
          method,
          path: `/${BUCKET}/file`,
          query: `${name}=`,
          body: method === 'PUT' ? 'overwritten' : '',
        });
        expect([method, name, answer.status]).toEqual([method, name, 501]);
      }
    }
    expect((await sendSigned(test.endpoint, { path: `/${BUCKET}/file` })).text).toBe('precious');
  });

  it('is answered 501 also beside one that it has', async () => {
    for (const query of ['acl=&versionId=null', 'partNumber=1&retention=', 'legal-hold=&tagging=']) {
      expect((await sendSigned(test.endpoint, { path: `/${BUCKET}/file`, query })).status).toBe(501);
    }
  });

  it('holds for methods too', async () => {
    expect((await sendSigned(test.endpoint, { method: 'PATCH', path: `/${BUCKET}/file` })).status).toBe(501);
    expect(
      (await sendSigned(test.endpoint, { method: 'PUT', path: `/${BUCKET}/file`, query: 'tagging=', body: '<Tagging/>' })).status,
    ).toBe(501);
  });
});

describe('settings of a bucket', () => {
  const settings = {
    lifecycle: ['NoSuchLifecycleConfiguration', '<LifecycleConfiguration><Rule><ID>x</ID></Rule></LifecycleConfiguration>', 200],
    publicAccessBlock: [
      'NoSuchPublicAccessBlockConfiguration',
      '<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>',
      200,
    ],
    policy: ['NoSuchBucketPolicy', '{"Version":"2012-10-17","Statement":[]}', 204],
  } as const;

  it('are kept, given back as they were put, and removed', async () => {
    for (const [name, [missing, document, putStatus]] of Object.entries(settings)) {
      const call = (method: string, body = '') =>
        sendSigned(test.endpoint, {
          method,
          path: `/${BUCKET}`,
          query: `${name}=`,
          body,
          headers: { 'content-md5': hash('md5', body, 'base64') },
        });
      expect((await call('GET')).code).toBe(missing);
      expect((await call('PUT', 'nonsense')).status).toBe(400);
      expect((await call('PUT', document)).status).toBe(putStatus);
      await test.restart();
      expect((await call('GET')).text).toBe(document);
      expect((await call('DELETE')).status).toBe(204);
      expect((await call('GET')).code).toBe(missing);
    }
  });
});

describe('XML from clients', () => {
  const remove = (body: string) =>
    sendSigned(test.endpoint, {
      method: 'POST',
      path: `/${BUCKET}`,
      query: 'delete=',
      body,
      headers: { 'content-md5': hash('md5', body, 'base64') },
    });

  it('is never expanded beyond the five entities of XML', async () => {
    const bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>';
    for (const body of [bomb, '<!DOCTYPE x SYSTEM "file:///etc/passwd"><Delete/>', '<Delete><Object>', 'x', '', '<Delete/>']) {
      const answer = await remove(body);
      expect([body, answer.status, answer.code]).toEqual([body, 400, 'MalformedXML']);
    }
    const answer = await remove(
      '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a&amp;b&#x20;&lt;&#233;&unknown;</Key></Object></Delete>',
    );
    expect(answer.text).toContain('<Key>a&amp;b &lt;é&amp;unknown;</Key>');
  });

  it('needs a checksum where S3 asks for one', async () => {
    const answer = await sendSigned(test.endpoint, { method: 'POST', path: `/${BUCKET}`, query: 'delete=', body: '<Delete/>' });
    expect([answer.status, answer.code]).toEqual([400, 'InvalidRequest']);
  });

  it('is taken up to 1,000 deletions', async () => {
    const list = (count: number) => `<Delete><Quiet>true</Quiet>${'<Object><Key>none</Key></Object>'.repeat(count)}</Delete>`;
    expect((await remove(list(1000))).status).toBe(200);
    expect((await remove(list(1001))).code).toBe('MalformedXML');
  });
});
