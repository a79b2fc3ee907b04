// What comes back of an object: its body, its metadata, ranges of it, and only under the conditions that were named.
import { createHash, randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CopyObjectCommand, GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import { PLAIN, put, remove, restart, s3, test, VERSIONED } from './object-client.ts';
import { sendSigned } from './raw-request.ts';

describe('metadata', () => {
  const head = async (key: string) => await s3.send(new HeadObjectCommand({ Bucket: VERSIONED, Key: key }));

  it('keeps underscores, lower-cases names, trims values', async () => {
    await put('names', 'x', { Metadata: { ld_run: ' true ', LD_Task_Id: 'a.1.0', __proto__x: 'y' } });
    expect((await head('names')).Metadata).toEqual({ ld_run: 'true', ld_task_id: 'a.1.0', __proto__x: 'y' });
  });

  it('takes 2,048 bytes and refuses 2,049', async () => {
    const put2k = (bytes: number) =>
      sendSigned(test.endpoint, { method: 'PUT', path: `/${VERSIONED}/2k`, headers: { 'x-amz-meta-ld_code': 'x'.repeat(bytes - 7) } });
    expect((await put2k(2048)).status).toBe(200);
    const refused = await put2k(2049);
    expect([refused.status, refused.code]).toEqual([400, 'MetadataTooLarge']);
  });

  it('gives values beyond ASCII back in the encoding of RFC 2047', async () => {
    const value = Buffer.from('Grüße 日本').toString('latin1');
    // The signature covers the UTF-8 bytes; Node writes header text as latin1, so those bytes are given as latin1 text.
    await sendSigned(test.endpoint, {
      method: 'PUT',
      path: `/${VERSIONED}/unicode`,
      headers: { 'x-amz-meta-title': 'Grüße 日本' },
      tamper: (sent) => (sent.headers['x-amz-meta-title'] = value),
    });
    const answer = await sendSigned(test.endpoint, { method: 'HEAD', path: `/${VERSIONED}/unicode` });
    expect(answer.headers['x-amz-meta-title']).toBe(`=?UTF-8?B?${Buffer.from('Grüße 日本').toString('base64')}?=`);
  });

  it('gives the other headers back byte by byte, those beyond Latin-1 too', async () => {
    const sent = { 'content-disposition': 'attachment; filename="Grüße 日本.pdf"', 'cache-control': 'no-cache, x="é"' };
    const raw = (text: string) => Buffer.from(text).toString('latin1');
    const stored = await sendSigned(test.endpoint, {
      method: 'PUT',
      path: `/${VERSIONED}/disposition`,
      // Node's own client re-codes this one header where there is a body
      body: '',
      headers: sent,
      tamper: ({ headers }) => {
        for (const [name, value] of Object.entries(sent)) headers[name] = raw(value);
      },
    });
    expect(stored.status).toBe(200);
    for (const method of ['GET', 'HEAD']) {
      const answer = await sendSigned(test.endpoint, { method, path: `/${VERSIONED}/disposition` });
      expect(answer.status).toBe(200);
      for (const [name, value] of Object.entries(sent)) expect(answer.headers[name]).toBe(raw(value));
    }
  });

  it('refuses what the store does not have rather than ignoring it', async () => {
    const headers: Record<string, string>[] = [
      { 'x-amz-tagging': 'a=b' },
      { 'x-amz-server-side-encryption': 'aws:kms' },
      { 'x-amz-server-side-encryption-customer-algorithm': 'AES256' },
      { 'x-amz-object-lock-mode': 'GOVERNANCE' },
      { 'x-amz-grant-read': 'id=1' },
    ];
    for (const header of headers) {
      const answer = await sendSigned(test.endpoint, { method: 'PUT', path: `/${VERSIONED}/refused`, headers: header });
      expect([header, answer.status, answer.code]).toEqual([header, 501, 'NotImplemented']);
    }
    const acl = await sendSigned(test.endpoint, { method: 'PUT', path: `/${VERSIONED}/refused`, headers: { 'x-amz-acl': 'public-read' } });
    expect(acl.code).toBe('AccessControlListNotSupported');
  });
});

describe('bodies', () => {
  it('are the same after a restart, small ones and large ones', async () => {
    const bodies = [0, 1, 65_536, 65_537, 5_000_000].map((size) => randomBytes(size));
    for (const [index, body] of bodies.entries()) {
      const { ETag: etag } = await put(`body-${index}`, body);
      expect(etag).toBe(`"${createHash('md5').update(body).digest('hex')}"`);
    }
    await restart();
    for (const [index, body] of bodies.entries()) {
      const got = await s3.send(new GetObjectCommand({ Bucket: VERSIONED, Key: `body-${index}` }));
      expect(Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(body)).toBe(true);
    }
  });

  it('leave no file behind when their last user is gone', async () => {
    const files = async () =>
      (await readdir(join(test.dir, 'blobs'), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).length;
    const before = await files();
    await put('large', randomBytes(200_000), {}, PLAIN);
    await s3.send(new CopyObjectCommand({ Bucket: PLAIN, Key: 'large-copy', CopySource: `${PLAIN}/large` }));
    expect(await files()).toBe(before + 1);
    await put('large', 'small now', {}, PLAIN);
    expect(await files()).toBe(before + 1);
    await remove('large-copy', undefined, PLAIN);
    expect(await files()).toBe(before);
  });

  it('can be read to the end although they are deleted meanwhile', async () => {
    const body = randomBytes(20_000_000);
    await put('doomed', body, {}, PLAIN);
    const got = await s3.send(new GetObjectCommand({ Bucket: PLAIN, Key: 'doomed' }));
    await remove('doomed', undefined, PLAIN);
    expect(Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(body)).toBe(true);
  });

  it('need their length, and are refused beyond 5 GiB before a byte is read', async () => {
    const large = await sendSigned(test.endpoint, {
      method: 'PUT',
      path: `/${VERSIONED}/huge`,
      contentSha256: 'UNSIGNED-PAYLOAD',
      tamper: (sent) => (sent.headers['content-length'] = String(5 * 1024 ** 3 + 1)),
      headers: { connection: 'close' },
    }).catch((error: Error) => error.message);
    expect(large).toMatchObject({ status: 400, code: 'EntityTooLarge' });
    const chunked = await sendSigned(test.endpoint, {
      method: 'PUT',
      path: `/${VERSIONED}/unsized`,
      tamper: (sent) => {
        delete sent.headers['content-length'];
        sent.headers['transfer-encoding'] = 'chunked';
      },
    });
    expect([chunked.status, chunked.code]).toEqual([501, 'NotImplemented']);
  });
});

describe('reading', () => {
  it('answers ranges as S3 does', async () => {
    await put('range', '0123456789');
    const range = async (header: string) => {
      const answer = await sendSigned(test.endpoint, { path: `/${VERSIONED}/range`, headers: { range: header } });
      return [answer.status, answer.status < 300 ? answer.text : answer.code, answer.headers['content-range']];
    };
    expect(await range('bytes=2-4')).toEqual([206, '234', 'bytes 2-4/10']);
    expect(await range('bytes=8-')).toEqual([206, '89', 'bytes 8-9/10']);
    expect(await range('bytes=-3')).toEqual([206, '789', 'bytes 7-9/10']);
    expect(await range('bytes=-99')).toEqual([206, '0123456789', 'bytes 0-9/10']);
    expect(await range('bytes=10-')).toEqual([416, 'InvalidRange', 'bytes */10']);
    expect(await range('bytes=-0')).toEqual([416, 'InvalidRange', 'bytes */10']);
    for (const ignored of ['bytes=4-2', 'bytes=0-1,3-4', 'items=0-1', 'bytes=x']) expect((await range(ignored))[0]).toBe(200);
  });

  it('judges conditions in the order of the standard', async () => {
    const { ETag: etag = '' } = await put('conditions', 'x');
    const status = async (headers: Record<string, string>) =>
      (await sendSigned(test.endpoint, { path: `/${VERSIONED}/conditions`, headers })).status;
    const [past, future] = [new Date(0).toUTCString(), new Date(Date.now() + 60_000).toUTCString()];
    expect(await status({ 'if-match': etag, 'if-unmodified-since': past })).toBe(200);
    expect(await status({ 'if-match': '"x"' })).toBe(412);
    expect(await status({ 'if-unmodified-since': past })).toBe(412);
    expect(await status({ 'if-none-match': etag })).toBe(304);
    expect(await status({ 'if-none-match': '"x"', 'if-modified-since': future })).toBe(200);
    expect(await status({ 'if-modified-since': future })).toBe(304);
    expect(await status({ 'if-match': `"x", ${etag}` })).toBe(200);
    expect(await status({ 'if-modified-since': 'not a date' })).toBe(200);
  });
});
