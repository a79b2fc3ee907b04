import {
  CreateBucketCommand,
  DeleteObjectCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sendSigned } from './raw-request.ts';
import { runStore, type TestStore } from './running-store.ts';

let test: TestStore;
let s3: S3Client;
let made = 0;

beforeAll(async () => {
  test = await runStore();
  s3 = test.s3();
});
afterAll(async () => {
  await test.close();
  expect(test.faults).toEqual([]);
});

async function bucketWith(keys: string[]): Promise<string> {
  made += 1;
  const bucket = `listed-${made}`;
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  for (const key of keys) await s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: key }));
  return bucket;
}

const bytewise = (left: string, right: string) => Buffer.compare(Buffer.from(left), Buffer.from(right));

type Options = { prefix: string; delimiter: string; max: number };

/** All pages of both list operations, entries and prefixes in the order they came. */
async function listAll(bucket: string, { prefix, delimiter, max }: Options) {
  const common = { Bucket: bucket, Prefix: prefix, Delimiter: delimiter || undefined, MaxKeys: max };
  const newer: string[] = [];
  let token: string | undefined;
  do {
    const page = await s3.send(new ListObjectsV2Command({ ...common, ContinuationToken: token }));
    const names = [...(page.Contents ?? []), ...(page.CommonPrefixes ?? [])].map(
      (entry) => ('Key' in entry ? entry.Key : 'Prefix' in entry ? entry.Prefix : '') ?? '',
    );
    expect(names.length).toBeLessThanOrEqual(max);
    expect(page.KeyCount).toBe(names.length);
    newer.push(...names.sort(bytewise));
    token = page.NextContinuationToken;
    expect(page.IsTruncated).toBe(token !== undefined);
  } while (token !== undefined);
  const older: string[] = [];
  let marker: string | undefined;
  for (;;) {
    const page = await s3.send(new ListObjectsCommand({ ...common, Marker: marker }));
    const names = [...(page.Contents ?? []), ...(page.CommonPrefixes ?? [])]
      .map((entry) => ('Key' in entry ? entry.Key : 'Prefix' in entry ? entry.Prefix : '') ?? '')
      .sort(bytewise);
    older.push(...names);
    if (!page.IsTruncated) break;
    marker = page.NextMarker ?? names.at(-1);
  }
  return { newer, older };
}

/** What S3 lists, said in the simplest way. */
function model(keys: string[], { prefix, delimiter }: Options): string[] {
  const shown = keys
    .filter((key) => key.startsWith(prefix))
    .map((key) => {
      const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
      return cut < 0 ? key : key.slice(0, cut + delimiter.length);
    });
  return [...new Set(shown)].sort(bytewise);
}

describe('lists of objects', () => {
  it('show every key once, in byte order, whatever the prefix, delimiter and page size', async () => {
    const part = fc.constantFrom('a', 'b', 'B', 'ä', '日', '😀', '\uffee', '-', '.', '0', '~', ' ');
    const key = fc.array(fc.oneof(part, fc.constant('/')), { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(key, { maxLength: 25 }),
        fc.record({
          prefix: fc.constantFrom('', 'a', 'a/', '/', 'ä', '日'),
          delimiter: fc.constantFrom('', '/', 'b'),
          max: fc.integer({ min: 1, max: 8 }),
        }),
        async (keys, options) => {
          const bucket = await bucketWith(keys);
          const expected = model(keys, options);
          expect(await listAll(bucket, options)).toEqual({ newer: expected, older: expected });
        },
      ),
      { numRuns: 25 },
    );
  });

  it('begin behind start-after, and hold nothing with max-keys 0', async () => {
    const bucket = await bucketWith(['a', 'b', 'c/1', 'c/2', 'd']);
    const after = await s3.send(new ListObjectsV2Command({ Bucket: bucket, StartAfter: 'b', Delimiter: '/' }));
    expect([after.CommonPrefixes, after.Contents?.map((entry) => entry.Key)]).toEqual([[{ Prefix: 'c/' }], ['d']]);
    const inside = await s3.send(new ListObjectsV2Command({ Bucket: bucket, StartAfter: 'c/1', Delimiter: '/' }));
    expect(inside.CommonPrefixes).toEqual([{ Prefix: 'c/' }]);
    const none = await s3.send(new ListObjectsV2Command({ Bucket: bucket, MaxKeys: 0 }));
    expect([none.KeyCount, none.IsTruncated]).toEqual([0, false]);
  });

  it('hide deleted objects', async () => {
    const bucket = await bucketWith(['a', 'b', 'c']);
    await s3.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }));
    await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'b' }));
    const page = await s3.send(new ListObjectsV2Command({ Bucket: bucket }));
    expect(page.Contents?.map((entry) => entry.Key)).toEqual(['a', 'c']);
  });

  it('encode keys on demand, and write control characters as XML allows', async () => {
    const bucket = await bucketWith(['a b+c/ü&<>"\r\n\u0001']);
    const encoded = await sendSigned(test.endpoint, { path: `/${bucket}`, query: 'encoding-type=url&list-type=2' });
    expect(encoded.text).toContain('<Key>a%20b%2Bc/%C3%BC%26%3C%3E%22%0D%0A%01</Key>');
    const plain = await sendSigned(test.endpoint, { path: `/${bucket}`, query: 'list-type=2' });
    expect(plain.text).toContain('<Key>a b+c/ü&amp;&lt;&gt;&quot;&#xD;&#xA;&#x1;</Key>');
  });

  it('refuse parameters that make no sense', async () => {
    const bucket = await bucketWith([]);
    for (const query of ['list-type=3', 'list-type=2&max-keys=x', 'encoding-type=base64', 'continuation-token=x&list-type=2']) {
      const answer = await sendSigned(test.endpoint, { path: `/${bucket}`, query: query.includes('encoding') ? query : query });
      expect([query, answer.status, answer.code]).toEqual([query, 400, 'InvalidArgument']);
    }
  });
});

describe('lists of versions', () => {
  it('page through all versions and markers, newest first within a key', async () => {
    made += 1;
    const bucket = `listed-${made}`;
    await s3.send(new CreateBucketCommand({ Bucket: bucket }));
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key: 'b', Body: 'null version' }));
    await s3.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }));
    const expected: string[] = [];
    for (const key of ['a', 'b', 'c/1', 'c/2']) {
      const ids = key === 'b' ? ['null'] : [];
      for (let n = 0; n < 3; n += 1)
        ids.unshift((await s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: `${n}` }))).VersionId ?? '');
      if (key === 'a') ids.unshift((await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))).VersionId ?? '');
      expected.push(...ids.map((id) => `${key} ${id}`));
    }
    for (const max of [1, 2, 3, 5, 1000]) {
      const found: string[] = [];
      let marker: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } = {};
      for (;;) {
        const page = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket, MaxKeys: max, ...marker }));
        const entries = [...(page.DeleteMarkers ?? []), ...(page.Versions ?? [])];
        expect(entries.length).toBeLessThanOrEqual(max);
        found.push(
          ...entries
            .map((entry) => `${entry.Key} ${entry.VersionId}`)
            .sort((left, right) => expected.indexOf(left) - expected.indexOf(right)),
        );
        if (!page.IsTruncated) break;
        marker = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
      }
      expect([max, found]).toEqual([max, expected]);
    }
    const rolled = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket, Delimiter: '/', KeyMarker: 'a' }));
    expect([rolled.CommonPrefixes, rolled.Versions?.length]).toEqual([[{ Prefix: 'c/' }], 4]);
    const latest = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: 'a' }));
    expect([latest.DeleteMarkers?.[0]?.IsLatest, latest.Versions?.map((entry) => entry.IsLatest)]).toEqual([true, [false, false, false]]);
  });
});
