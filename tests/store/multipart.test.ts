import { createHash, randomBytes } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  type ChecksumAlgorithm,
  type ChecksumType,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startChecksum } from '../../src/local/store/checksums.ts';
import { sendSigned } from './raw-request.ts';
import { runStore, type TestStore } from './running-store.ts';

const BUCKET = 'parts-bucket';
const MIB = 1024 * 1024;
let test: TestStore;
let s3: S3Client;

beforeAll(async () => {
  test = await runStore();
  s3 = test.s3();
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  await s3.send(new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration: { Status: 'Enabled' } }));
});
afterAll(async () => {
  await test.close();
  expect(test.faults).toEqual([]);
});

const create = async (key: string, more: { ChecksumAlgorithm?: ChecksumAlgorithm; ChecksumType?: ChecksumType } = {}) =>
  (await s3.send(new CreateMultipartUploadCommand({ Bucket: BUCKET, Key: key, Metadata: { ld_run: 'true' }, ...more }))).UploadId ?? '';
const part = (key: string, id: string, number: number, body: Buffer | string, more: { ChecksumAlgorithm?: ChecksumAlgorithm } = {}) =>
  s3.send(new UploadPartCommand({ Bucket: BUCKET, Key: key, UploadId: id, PartNumber: number, Body: body, ...more }));
const complete = (key: string, id: string, parts: { PartNumber: number; ETag?: string | undefined }[], more: object = {}) =>
  s3.send(new CompleteMultipartUploadCommand({ Bucket: BUCKET, Key: key, UploadId: id, MultipartUpload: { Parts: parts }, ...more }));
const fails = (call: Promise<unknown>) =>
  call.then(
    () => 'succeeded',
    (error: { name: string }) => error.name,
  );

describe('a multipart upload', () => {
  it('becomes an object made of its parts, in their order, with S3’s ETag', async () => {
    const bodies = [randomBytes(5 * MIB), randomBytes(6 * MIB), randomBytes(1000)];
    const id = await create('whole');
    const etags = await Promise.all([3, 1, 2].map(async (n) => [n, (await part('whole', id, n, bodies[n - 1] ?? '')).ETag] as const));
    const sorted = etags.sort(([a], [b]) => a - b).map(([PartNumber, ETag]) => ({ PartNumber, ETag }));
    const done = await complete('whole', id, sorted);
    const digest = createHash('md5')
      .update(Buffer.concat(bodies.map((body) => createHash('md5').update(body).digest())))
      .digest('hex');
    expect([done.ETag, done.VersionId?.length]).toEqual([`"${digest}-3"`, 32]);
    const whole = Buffer.concat(bodies);
    const got = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'whole' }));
    expect([got.Metadata, Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(whole)]).toEqual([{ ld_run: 'true' }, true]);
    const across = await sendSigned(test.endpoint, {
      path: `/${BUCKET}/whole`,
      headers: { range: `bytes=${5 * MIB - 10}-${11 * MIB + 9}` },
    });
    expect(across.body.equals(whole.subarray(5 * MIB - 10, 11 * MIB + 10))).toBe(true);
    const second = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'whole', PartNumber: 2 }));
    expect([second.PartsCount, Buffer.from((await second.Body?.transformToByteArray()) ?? []).equals(bodies[1] ?? Buffer.of())]).toEqual([
      3,
      true,
    ]);
  });

  it('is complete once, also when its client asks again', async () => {
    const id = await create('again');
    const { ETag } = await part('again', id, 1, 'x');
    const first = await complete('again', id, [{ PartNumber: 1, ETag }]);
    const second = await complete('again', id, [{ PartNumber: 1, ETag }]);
    expect(second.ETag).toBe(first.ETag);
    const head = await s3.send(new HeadObjectCommand({ Bucket: BUCKET, Key: 'again' }));
    expect(head.VersionId).toBe(first.VersionId);
  });

  it('takes a part sent twice once, the later one', async () => {
    const id = await create('twice');
    await part('twice', id, 1, 'early');
    const { ETag } = await part('twice', id, 1, 'late');
    await complete('twice', id, [{ PartNumber: 1, ETag }]);
    expect(await (await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'twice' }))).Body?.transformToString()).toBe('late');
  });

  it('refuses parts that are too small, out of order, unknown, or another’s', async () => {
    const id = await create('refused');
    const [one, two] = [await part('refused', id, 1, 'x'), await part('refused', id, 2, 'y')];
    const parts = [
      { PartNumber: 1, ETag: one.ETag },
      { PartNumber: 2, ETag: two.ETag },
    ];
    expect(await fails(complete('refused', id, parts))).toBe('EntityTooSmall');
    expect(await fails(complete('refused', id, parts.toReversed()))).toBe('InvalidPartOrder');
    expect(await fails(complete('refused', id, [{ PartNumber: 3, ETag: one.ETag }]))).toBe('InvalidPart');
    expect(await fails(complete('refused', id, [{ PartNumber: 1, ETag: two.ETag }]))).toBe('InvalidPart');
    expect(await fails(complete('refused', id, []))).toBe('MalformedXML');
    expect(await fails(part('refused', id, 10_001, 'x'))).toBe('InvalidArgument');
    expect(await fails(part('other key', id, 1, 'x'))).toBe('NoSuchUpload');
    await s3.send(new AbortMultipartUploadCommand({ Bucket: BUCKET, Key: 'refused', UploadId: id }));
    expect(await fails(part('refused', id, 1, 'x'))).toBe('NoSuchUpload');
  });

  it('takes no part with another checksum algorithm than its own', async () => {
    const id = await create('sums', { ChecksumAlgorithm: 'CRC64NVME' });
    await expect(part('sums', id, 1, 'x', { ChecksumAlgorithm: 'CRC32' })).rejects.toThrow(
      'expected checksum Type: crc64nvme, actual checksum Type: crc32',
    );
  });

  it('can be complete under a condition', async () => {
    await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'taken', Body: 'x' }));
    const id = await create('taken');
    const { ETag } = await part('taken', id, 1, 'y');
    expect(await fails(complete('taken', id, [{ PartNumber: 1, ETag }], { IfNoneMatch: '*' }))).toBe('PreconditionFailed');
    await complete('taken', id, [{ PartNumber: 1, ETag }]);
  });

  it('survives a restart', async () => {
    const id = await create('restarted');
    const body = randomBytes(5 * MIB);
    const one = await part('restarted', id, 1, body);
    await test.restart();
    s3 = test.s3();
    const two = await part('restarted', id, 2, 'tail');
    await complete('restarted', id, [
      { PartNumber: 1, ETag: one.ETag },
      { PartNumber: 2, ETag: two.ETag },
    ]);
    const head = await s3.send(new HeadObjectCommand({ Bucket: BUCKET, Key: 'restarted' }));
    expect(head.ContentLength).toBe(5 * MIB + 4);
  });
});

describe('checksums', () => {
  const bodies = [randomBytes(5 * MIB), randomBytes(777)];

  async function upload(key: string, algorithm: ChecksumAlgorithm, type: ChecksumType): Promise<string | undefined> {
    const id = await create(key, { ChecksumAlgorithm: algorithm, ChecksumType: type });
    const parts = [];
    for (const [index, body] of bodies.entries()) {
      const { ETag } = await part(key, id, index + 1, body, { ChecksumAlgorithm: algorithm });
      parts.push({ PartNumber: index + 1, ETag });
    }
    await complete(key, id, parts, { ChecksumType: type });
    const answer = await sendSigned(test.endpoint, {
      method: 'HEAD',
      path: `/${BUCKET}/${key}`,
      headers: { 'x-amz-checksum-mode': 'ENABLED' },
    });
    expect(answer.headers['x-amz-checksum-type']).toBe(type);
    return answer.headers[`x-amz-checksum-${algorithm.toLowerCase()}`];
  }

  const whole = (algorithm: 'CRC32' | 'CRC32C' | 'CRC64NVME' | 'SHA1' | 'SHA256', pieces: Buffer[]) => {
    const stream = startChecksum(algorithm);
    for (const piece of pieces) stream.update(piece);
    return stream.value();
  };

  it('of the whole object are worked out from those of the parts', async () => {
    for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
      // The JavaScript SDK computes CRC64NVME only with a native module: the parts then carry no checksum and the store computes it.
      const sent = algorithm === 'CRC64NVME' ? await uploadRaw(algorithm) : await upload(`full-${algorithm}`, algorithm, 'FULL_OBJECT');
      expect([algorithm, sent]).toEqual([algorithm, whole(algorithm, bodies)]);
    }
  });

  async function uploadRaw(algorithm: string): Promise<string | undefined> {
    const path = `/${BUCKET}/raw-${algorithm}`;
    const begun = await sendSigned(test.endpoint, {
      method: 'POST',
      path,
      query: 'uploads=',
      headers: { 'x-amz-checksum-algorithm': algorithm },
    });
    const id = /<UploadId>(.*)<\/UploadId>/.exec(begun.text)?.[1];
    const parts = [];
    for (const [index, body] of bodies.entries()) {
      const sent = await sendSigned(test.endpoint, { method: 'PUT', path, query: `partNumber=${index + 1}&uploadId=${id}`, body });
      parts.push(`<Part><PartNumber>${index + 1}</PartNumber><ETag>${sent.headers['etag']}</ETag></Part>`);
    }
    const body = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
    await sendSigned(test.endpoint, { method: 'POST', path, query: `uploadId=${id}`, body });
    const head = await sendSigned(test.endpoint, { method: 'HEAD', path, headers: { 'x-amz-checksum-mode': 'ENABLED' } });
    return head.headers[`x-amz-checksum-${algorithm.toLowerCase()}`];
  }

  it('of the parts make a composite one', async () => {
    for (const algorithm of ['CRC32', 'SHA1', 'SHA256'] as const) {
      const digests = bodies.map((body) => Buffer.from(whole(algorithm, [body]), 'base64'));
      expect(await upload(`composite-${algorithm}`, algorithm, 'COMPOSITE')).toBe(`${whole(algorithm, digests)}-2`);
    }
  });

  it('refuse a wrong whole', async () => {
    const id = await create('wrong', { ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' });
    const { ETag } = await part('wrong', id, 1, 'x', { ChecksumAlgorithm: 'CRC32' });
    expect(await fails(complete('wrong', id, [{ PartNumber: 1, ETag }], { ChecksumCRC32: 'AAAAAA==', ChecksumType: 'FULL_OBJECT' }))).toBe(
      'BadDigest',
    );
  });
});

describe('copied parts', () => {
  it('share the bytes of their source and outlive it', async () => {
    const body = randomBytes(6 * MIB);
    const { VersionId } = await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'source ü', Body: body }));
    const id = await create('copied');
    const copy = async (number: number, range?: string) => {
      const answer = await s3.send(
        new UploadPartCopyCommand({
          Bucket: BUCKET,
          Key: 'copied',
          UploadId: id,
          PartNumber: number,
          CopySource: `${BUCKET}/${encodeURIComponent('source ü')}?versionId=${VersionId}`,
          CopySourceRange: range,
        }),
      );
      expect(answer.CopySourceVersionId).toBe(VersionId);
      return { PartNumber: number, ETag: answer.CopyPartResult?.ETag };
    };
    const parts = [await copy(1), await copy(2, `bytes=100-${5 * MIB + 99}`), await copy(3, 'bytes=0-9')];
    expect(await fails(copy(4, `bytes=0-${6 * MIB}`))).toBe('InvalidRange');
    expect(await fails(copy(4, 'bytes=9-'))).toBe('InvalidArgument');
    await complete('copied', id, parts);
    await sendSigned(test.endpoint, { method: 'DELETE', path: `/${BUCKET}/source%20%C3%BC`, query: `versionId=${VersionId}` });
    const got = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'copied' }));
    const expected = Buffer.concat([body, body.subarray(100, 5 * MIB + 100), body.subarray(0, 10)]);
    expect(Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(expected)).toBe(true);
  });
});

describe('lists', () => {
  it('show parts in pages', async () => {
    const id = await create('pages');
    for (const number of [5, 1, 9]) await part('pages', id, number, `${number}`);
    const first = await s3.send(new ListPartsCommand({ Bucket: BUCKET, Key: 'pages', UploadId: id, MaxParts: 2 }));
    expect([first.Parts?.map((entry) => entry.PartNumber), first.IsTruncated, first.NextPartNumberMarker]).toEqual([[1, 5], true, '5']);
    const rest = await s3.send(
      new ListPartsCommand({ Bucket: BUCKET, Key: 'pages', UploadId: id, PartNumberMarker: first.NextPartNumberMarker }),
    );
    expect([rest.Parts?.map((entry) => [entry.PartNumber, entry.Size]), rest.IsTruncated]).toEqual([[[9, 1]], false]);
  });

  it('show uploads in pages and rolled up', async () => {
    const ids = [];
    for (const key of ['up/a', 'up/a', 'up/b/1', 'up/b/2', 'up/c']) ids.push(await create(key));
    const found: (string | undefined)[] = [];
    let marker: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {};
    for (;;) {
      const page = await s3.send(new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix: 'up/', MaxUploads: 2, ...marker }));
      found.push(...(page.Uploads ?? []).map((upload) => upload.UploadId));
      if (!page.IsTruncated) break;
      marker = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
    }
    expect(found).toEqual(ids);
    const rolled = await s3.send(new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix: 'up/', Delimiter: '/' }));
    expect([rolled.CommonPrefixes, rolled.Uploads?.map((upload) => upload.Key)]).toEqual([[{ Prefix: 'up/b/' }], ['up/a', 'up/a', 'up/c']]);
  });
});
