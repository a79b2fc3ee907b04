import { CreateBucketCommand, DeleteBucketCommand, DeleteObjectsCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import { fails, PLAIN, put, remove, s3, setVersioning, test, text, VERSIONED } from './object-client.ts';
import { sendSigned } from './raw-request.ts';

describe('versions', () => {
  it('gives every write its own version, readable for ever', async () => {
    const first = await put('kept', 'one');
    const second = await put('kept', 'two');
    expect([await text('kept'), await text('kept', first.VersionId), await text('kept', second.VersionId)]).toEqual(['two', 'one', 'two']);
    const head = await s3.send(new HeadObjectCommand({ Bucket: VERSIONED, Key: 'kept', VersionId: first.VersionId }));
    expect([head.VersionId, head.ContentLength]).toEqual([first.VersionId, 3]);
  });

  it('answers 404 for a version that is not there and 400 for what is no version id', async () => {
    const { VersionId: version = '' } = await put('other', 'x');
    await put('asked', 'y');
    expect(await fails(text('asked', version))).toBe('404 NoSuchVersion');
    expect(await fails(text('asked', 'null'))).toBe('404 NoSuchVersion');
    expect(await fails(text('asked', 'nonsense'))).toBe('400 InvalidArgument');
  });

  it('deletes by a marker that hides the object, and brings it back when the marker goes', async () => {
    await put('hidden', 'alive');
    const marker = await remove('hidden');
    expect(marker.DeleteMarker).toBe(true);
    const gone = await sendSigned(test.endpoint, { path: `/${VERSIONED}/hidden` });
    expect([gone.status, gone.code, gone.headers['x-amz-delete-marker'], gone.headers['x-amz-version-id']]).toEqual([
      404,
      'NoSuchKey',
      'true',
      marker.VersionId,
    ]);
    expect(await fails(text('hidden', marker.VersionId))).toBe('405 MethodNotAllowed');
    const again = await remove('hidden', marker.VersionId);
    expect([again.DeleteMarker, again.VersionId]).toEqual([true, marker.VersionId]);
    expect(await text('hidden')).toBe('alive');
  });

  it('makes the version before current when the current one is deleted for good', async () => {
    await put('back', 'old');
    const { VersionId: newest } = await put('back', 'new');
    await remove('back', newest);
    expect(await text('back')).toBe('old');
  });

  it('keeps one null version while versioning is suspended, beside the older ones', async () => {
    const { VersionId: kept } = await put('suspended', 'kept');
    await setVersioning('Suspended');
    expect((await put('suspended', 'null one')).VersionId).toBe('null');
    await put('suspended', 'null two');
    expect([await text('suspended'), await text('suspended', 'null'), await text('suspended', kept)]).toEqual([
      'null two',
      'null two',
      'kept',
    ]);
    const marker = await remove('suspended');
    expect([marker.DeleteMarker, marker.VersionId]).toEqual([true, 'null']);
    expect(await text('suspended', kept)).toBe('kept');
    await setVersioning('Enabled');
  });

  it('shows no version ids in a bucket that never had versions', async () => {
    expect((await put('plain', 'one', {}, PLAIN)).VersionId).toBeUndefined();
    await put('plain', 'two', {}, PLAIN);
    expect([await text('plain', undefined, PLAIN), await text('plain', 'null', PLAIN)]).toEqual(['two', 'two']);
    expect((await remove('plain', undefined, PLAIN)).DeleteMarker).toBeUndefined();
    expect(await fails(text('plain', undefined, PLAIN))).toBe('404 NoSuchKey');
    await remove('plain', undefined, PLAIN);
  });
});

describe('conditional writes', () => {
  it('writes only where nothing is, with If-None-Match: *', async () => {
    await put('once', 'first', { IfNoneMatch: '*' });
    expect(await fails(put('once', 'second', { IfNoneMatch: '*' }))).toBe('412 PreconditionFailed');
    await remove('once');
    await put('once', 'third', { IfNoneMatch: '*' });
    expect(await text('once')).toBe('third');
  });

  it('lets exactly one of many racing writers win', async () => {
    const results = await Promise.all(Array.from({ length: 20 }, (_, n) => fails(put('race', `${n}`, { IfNoneMatch: '*' }))));
    expect(results.filter((result) => result === 'succeeded').length).toBe(1);
  });

  it('replaces only the expected content, with If-Match', async () => {
    const { ETag: etag } = await put('match', 'one');
    await put('match', 'two', { IfMatch: etag });
    expect(await fails(put('match', 'three', { IfMatch: etag }))).toBe('412 PreconditionFailed');
    expect(await fails(put('never was', 'x', { IfMatch: etag }))).toBe('404 NoSuchKey');
    expect(await fails(put('match', 'x', { IfNoneMatch: etag }))).toBe('501 NotImplemented');
  });
});

describe('keys', () => {
  it('of any characters come back as they went', async () => {
    const keys = [
      'a//b',
      './a',
      '../a',
      'a/..',
      '.',
      ' lead',
      'trail ',
      'tab\there',
      'new\nline',
      '\u0001',
      '😀',
      '%41',
      'a+b',
      'q?x=1',
      'h#x',
      'é',
      'e\u0301',
      '/',
    ];
    for (const key of keys) await put(key, key);
    for (const key of keys) expect([key, await text(key)]).toEqual([key, key]);
  });

  it('have at most 1,024 bytes, whatever their characters', async () => {
    await put('é'.repeat(512));
    expect(await fails(put(`${'é'.repeat(512)}x`))).toBe('400 KeyTooLongError');
  });

  it('must be percent-encoded UTF-8', async () => {
    const answer = await sendSigned(test.endpoint, { path: `/${VERSIONED}/%FF` });
    expect([answer.status, answer.code]).toEqual([400, 'InvalidURI']);
  });
});

describe('buckets', () => {
  it('are made by names that S3 allows', async () => {
    for (const name of ['ab', 'UPPER', 'a..b', '-lead', '192.168.0.1', 'x'.repeat(64), 'under_score']) {
      const answer = await sendSigned(test.endpoint, { method: 'PUT', path: `/${name}` });
      expect([name, answer.status, answer.code]).toEqual([name, 400, 'InvalidBucketName']);
    }
  });

  it('are deleted only when not even an old version is left', async () => {
    await s3.send(new CreateBucketCommand({ Bucket: 'short-lived' }));
    await setVersioning('Enabled', 'short-lived');
    const { VersionId: version } = await put('x', 'x', {}, 'short-lived');
    const marker = await remove('x', undefined, 'short-lived');
    expect(await fails(s3.send(new DeleteBucketCommand({ Bucket: 'short-lived' })))).toBe('409 BucketNotEmpty');
    await s3.send(
      new DeleteObjectsCommand({
        Bucket: 'short-lived',
        Delete: {
          Objects: [
            { Key: 'x', VersionId: version },
            { Key: 'x', VersionId: marker.VersionId },
          ],
        },
      }),
    );
    await s3.send(new DeleteBucketCommand({ Bucket: 'short-lived' }));
    expect(await fails(put('x', 'x', {}, 'short-lived'))).toBe('404 NoSuchBucket');
  });
});
