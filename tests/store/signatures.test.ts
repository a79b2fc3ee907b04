import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { presign, type RawRequest, sendRaw, sendSigned, sign, signedChunks, unsignedChunks } from './raw-request.ts';
import { openSession, root, runStore, type TestStore, tenantPolicy } from './running-store.ts';

const BUCKET = 'signed-bucket';
let test: TestStore;

beforeAll(async () => {
  test = await runStore();
  await test.s3().send(new CreateBucketCommand({ Bucket: BUCKET }));
});
afterAll(async () => {
  await test.close();
  expect(test.faults).toEqual([]);
});

const put = (key: string, more: Partial<RawRequest> = {}) =>
  sendSigned(test.endpoint, { method: 'PUT', path: `/${BUCKET}/${key}`, body: 'body', ...more });
const read = async (key: string) => (await sendSigned(test.endpoint, { path: `/${BUCKET}/${key}` })).text;

describe('header signatures', () => {
  it('accepts a signed request and refuses it once a byte of it is changed', async () => {
    expect((await put('plain')).status).toBe(200);
    const tampered: [string, RawRequest['tamper']][] = [
      ['path', (sent) => (sent.path = `/${BUCKET}/other`)],
      ['header', (sent) => (sent.headers['x-amz-date'] = sent.headers['x-amz-date']?.replace(/.Z$/, '0Z') ?? '')],
      ['host', (sent) => (sent.headers['host'] = `localhost:${new URL(test.endpoint).port}`)],
      ['signature', (sent) => (sent.headers['authorization'] = sent.headers['authorization']?.replace(/.$/, '_') ?? '')],
    ];
    for (const [what, tamper] of tampered) {
      const time = Math.floor(Date.now() / 10_000) * 10_000 + 5000;
      const answer = await put('tampered', { tamper, time });
      expect([what, answer.status, answer.code]).toEqual([what, 403, 'SignatureDoesNotMatch']);
    }
  });

  it('refuses a body other than the signed one, and keeps nothing of it', async () => {
    const answer = await put('swapped', { tamper: (sent) => sent.body.write('evil') });
    expect([answer.status, answer.code]).toEqual([400, 'XAmzContentSHA256Mismatch']);
    expect((await sendSigned(test.endpoint, { path: `/${BUCKET}/swapped` })).code).toBe('NoSuchKey');
  });

  it('takes an unsigned body when the signature says so', async () => {
    expect((await put('unsigned', { contentSha256: 'UNSIGNED-PAYLOAD' })).status).toBe(200);
    expect(await read('unsigned')).toBe('body');
  });

  it('refuses x-amz headers that nobody signed', async () => {
    const answer = await put('smuggled', { unsigned: { 'x-amz-meta-ld_run': 'true' } });
    expect([answer.status, answer.code]).toEqual([403, 'AccessDenied']);
    expect(answer.text).toContain('x-amz-meta-ld_run');
  });

  it('refuses a clock that is off by more than fifteen minutes, either way', async () => {
    // a minute beyond: the machine may be slow
    for (const offset of [-960_000, 960_000]) {
      const answer = await put('skewed', { time: Date.now() + offset });
      expect([answer.status, answer.code]).toEqual([403, 'RequestTimeTooSkewed']);
    }
    expect((await put('nearly', { time: Date.now() - 840_000 })).status).toBe(200);
  });

  it('tells the right region, as AWS does', async () => {
    const answer = await put('elsewhere', { region: 'eu-west-1' });
    expect([answer.status, answer.code]).toEqual([400, 'AuthorizationHeaderMalformed']);
    expect(answer.text).toContain('<Region>us-east-1</Region>');
  });

  it('refuses a signature made for another service', async () => {
    const answer = await put('service', {
      service: 'sqs',
      headers: { 'x-amz-content-sha256': createHash('sha256').update('body').digest('hex') },
    });
    expect(answer.code).toBe('AuthorizationHeaderMalformed');
  });

  it('reads the paths that clients send: encoded or not, doubled slashes, dots', async () => {
    for (const path of ['a//b', './c', 'x/../y', 'sp%20ace', 'plus%2B', '%C3%BC', "quote'()*!", '%7Etilde']) {
      // The canonical path encodes what a client left plain, and leaves ~ plain whatever the client did.
      const canonical = path.replace(/['()*!]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`).replace('%7E', '~');
      const answer = await put(canonical, { tamper: (sent) => (sent.path = `/${BUCKET}/${path}`) });
      expect([path, answer.status]).toEqual([path, 200]);
    }
  });
});

describe('who signs', () => {
  it('serves nobody anonymously', async () => {
    const answer = await sendRaw(test.endpoint, 'GET', `/${BUCKET}/plain`, {});
    expect([answer.status, answer.code]).toEqual([403, 'AccessDenied']);
  });

  it('refuses unknown keys, wrong secrets, and tokens that are missing, wrong or needless', async () => {
    const session = await openSession(test.sts(), tenantPolicy(BUCKET));
    const refused = async (keys: RawRequest['keys']) => {
      const { status, code } = await put('who', keys ? { keys } : {});
      return [status, code];
    };
    expect(await refused({ ...root, accessKeyId: 'AKIANOBODY' })).toEqual([403, 'InvalidAccessKeyId']);
    expect(await refused({ ...root, secretAccessKey: 'wrong' })).toEqual([403, 'SignatureDoesNotMatch']);
    expect(await refused({ ...session, sessionToken: `${session.sessionToken.slice(0, -1)}_` })).toEqual([400, 'InvalidToken']);
    expect(await refused({ accessKeyId: session.accessKeyId, secretAccessKey: session.secretAccessKey })).toEqual([
      403,
      'InvalidAccessKeyId',
    ]);
    expect(await refused({ ...root, sessionToken: 'needless' })).toEqual([400, 'InvalidToken']);
    expect(await refused(session)).toEqual([200, undefined]);
  });

  it('refuses a session once its time is over', async () => {
    const session = await openSession(test.sts(), tenantPolicy(BUCKET), 900);
    // a minute before: the machine may be slow
    test.clock.offsetMs = 840_000;
    expect((await put('late', { keys: session, time: Date.now() + 840_000 })).status).toBe(200);
    test.clock.offsetMs = 901_000;
    const answer = await put('late', { keys: session, time: Date.now() + 901_000 });
    test.clock.offsetMs = 0;
    expect([answer.status, answer.code]).toEqual([400, 'ExpiredToken']);
  });

  it('advises a client of Signature Version 2', async () => {
    const header = await sendRaw(test.endpoint, 'GET', `/${BUCKET}/plain`, { authorization: `AWS ${root.accessKeyId}:c2lnbmF0dXJl` });
    const query = await sendRaw(test.endpoint, 'GET', `/${BUCKET}/plain?AWSAccessKeyId=${root.accessKeyId}&Signature=x&Expires=1`, {});
    for (const answer of [header, query]) {
      expect([answer.status, answer.code]).toEqual([400, 'InvalidRequest']);
      expect(answer.text).toContain("signature_version='s3v4'");
    }
  });
});

describe('presigned addresses', () => {
  const get = (target: string, headers: Record<string, string> = {}) => sendRaw(test.endpoint, 'GET', target, headers);

  it('serve until they expire, for their own method, key and headers only', async () => {
    await put('shared');
    const target = presign(test.endpoint, { path: `/${BUCKET}/shared`, expires: 60 });
    expect((await get(target)).text).toBe('body');
    expect((await get(target.replace('Expires=60', 'Expires=61'))).code).toBe('SignatureDoesNotMatch');
    expect((await get(target.replace('/shared?', '/plain?'))).code).toBe('SignatureDoesNotMatch');
    expect((await sendRaw(test.endpoint, 'DELETE', target, {})).code).toBe('SignatureDoesNotMatch');
    expect((await get(target, { 'x-amz-checksum-mode': 'ENABLED' })).code).toBe('AccessDenied');
    const expired = await get(presign(test.endpoint, { path: `/${BUCKET}/shared`, expires: 60, time: Date.now() - 61_000 }));
    expect([expired.status, expired.code, expired.text.includes('Request has expired')]).toEqual([403, 'AccessDenied', true]);
    const early = await get(presign(test.endpoint, { path: `/${BUCKET}/shared`, expires: 60, time: Date.now() + 1_000_000 }));
    expect(early.code).toBe('AccessDenied');
    const long = await get(presign(test.endpoint, { path: `/${BUCKET}/shared`, expires: 604_801 }));
    expect(long.code).toBe('AuthorizationQueryParametersError');
  });

  it('carry signed metadata, and none besides', async () => {
    const target = presign(test.endpoint, {
      method: 'PUT',
      path: `/${BUCKET}/pinned`,
      expires: 60,
      headers: { 'x-amz-meta-ld_run': 'true' },
    });
    const send = (headers: Record<string, string>) => sendRaw(test.endpoint, 'PUT', target, headers, Buffer.from('x'));
    expect((await send({ 'x-amz-meta-ld_run': 'true' })).status).toBe(200);
    expect((await send({ 'x-amz-meta-ld_run': 'false' })).code).toBe('SignatureDoesNotMatch');
    expect((await send({})).code).toBe('SignatureDoesNotMatch');
    expect((await send({ 'x-amz-meta-ld_run': 'true', 'x-amz-meta-ld_code': '{}' })).code).toBe('AccessDenied');
  });

  it('made by the JavaScript SDK put and get, metadata in the query included', async () => {
    const s3 = test.s3();
    const url = await getSignedUrl(s3, new PutObjectCommand({ Bucket: BUCKET, Key: 'by sdk', Metadata: { ld_run: 'true' } }), {
      expiresIn: 60,
    });
    const answer = await fetch(url, { method: 'PUT', body: 'from fetch' });
    expect([answer.status, await answer.text()]).toEqual([200, '']);
    const got = await fetch(await getSignedUrl(s3, new GetObjectCommand({ Bucket: BUCKET, Key: 'by sdk' }), { expiresIn: 60 }));
    expect([await got.text(), got.headers.get('x-amz-meta-ld_run')]).toEqual(['from fetch', 'true']);
  });
});

describe('streamed bodies', () => {
  const chunks = [Buffer.alloc(70_000, 'a'), Buffer.alloc(8192, 'b'), Buffer.from('tail')];
  const whole = Buffer.concat(chunks);
  const checksum = (): string => {
    const value = Buffer.alloc(4);
    value.writeUInt32BE(crc32(whole));
    return value.toString('base64');
  };
  const base = { 'x-amz-decoded-content-length': String(whole.length), 'content-encoding': 'aws-chunked' };

  function request(key: string, contentSha256: string, headers: Record<string, string> = {}): RawRequest {
    return { method: 'PUT', path: `/${BUCKET}/${key}`, headers: { ...base, ...headers }, contentSha256 };
  }

  async function send(raw: RawRequest, body: (signed: ReturnType<typeof sign>) => Buffer) {
    const signed = sign(test.endpoint, raw);
    const bytes = body(signed);
    return await sendRaw(test.endpoint, 'PUT', raw.path, { ...signed.headers, 'content-length': String(bytes.length) }, bytes);
  }

  it('are taken with every chunk signed', async () => {
    const raw = request('chunks', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD');
    expect((await send(raw, (signed) => signedChunks(signed, chunks))).status).toBe(200);
    const got = await sendSigned(test.endpoint, { path: `/${BUCKET}/chunks` });
    expect(got.body.equals(whole)).toBe(true);
    expect(got.headers['content-encoding']).toBeUndefined();
  });

  it('are refused when any chunk was changed, moved or left out', async () => {
    const raw = request('forged', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD');
    const changed = await send(raw, (signed) => {
      const body = signedChunks(signed, chunks);
      body.write('evil', 70_200);
      return body;
    });
    const cut = await send(raw, (signed) => {
      const body = signedChunks(signed, chunks);
      return body.subarray(0, 70_000 + 87);
    });
    const unsigned = await send(raw, () => unsignedChunks(chunks, {}));
    expect([changed.code, cut.code, unsigned.code]).toEqual(['SignatureDoesNotMatch', 'IncompleteBody', 'SignatureDoesNotMatch']);
    expect((await sendSigned(test.endpoint, { path: `/${BUCKET}/forged` })).code).toBe('NoSuchKey');
  });

  it('are taken with a signed trailer that holds the checksum, and refused when the trailer is forged', async () => {
    const raw = request('trailer', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', { 'x-amz-trailer': 'x-amz-checksum-crc32' });
    const answer = await send(raw, (signed) => signedChunks(signed, chunks, { 'x-amz-checksum-crc32': checksum() }));
    expect([answer.status, answer.headers['x-amz-checksum-crc32']]).toEqual([200, checksum()]);
    const forged = await send(raw, (signed) => {
      const text = signedChunks(signed, chunks, { 'x-amz-checksum-crc32': checksum() }).toString('latin1');
      return Buffer.from(text.replace(checksum(), 'AAAAAA=='), 'latin1');
    });
    expect(forged.code).toBe('SignatureDoesNotMatch');
  });

  it('are taken unsigned with a trailer, and refused when its checksum is wrong or missing', async () => {
    const raw = request('loose', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', { 'x-amz-trailer': 'x-amz-checksum-crc32' });
    expect((await send(raw, () => unsignedChunks(chunks, { 'x-amz-checksum-crc32': checksum() }))).status).toBe(200);
    expect((await send(raw, () => unsignedChunks(chunks, { 'x-amz-checksum-crc32': 'AAAAAA==' }))).code).toBe('BadDigest');
    expect((await send(raw, () => unsignedChunks(chunks, {}))).code).toBe('InvalidRequest');
    expect((await send(raw, () => unsignedChunks(chunks.slice(1), { 'x-amz-checksum-crc32': checksum() }))).code).toBe('IncompleteBody');
  });

  it('are taken from the JavaScript SDK reading a stream', async () => {
    const s3 = test.s3();
    await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'sdk-stream', Body: Readable.from(chunks), ContentLength: whole.length }));
    const got = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'sdk-stream' }));
    expect(Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(whole)).toBe(true);
  });
});

describe('names of this machine', () => {
  const port = () => new URL(test.endpoint).port;
  const at = (host: string, path: string) => {
    const { headers } = sign(`http://${host}`, { path });
    return sendRaw(test.endpoint, 'GET', path, headers);
  };

  it('serves a bucket named by the host', async () => {
    await put('by-host');
    for (const host of [`${BUCKET}.s3.localhost:${port()}`, `${BUCKET}.localhost:${port()}`]) {
      expect((await at(host, '/by-host')).text).toBe('body');
    }
    expect((await at(`s3.localhost:${port()}`, `/${BUCKET}/by-host`)).text).toBe('body');
  });

  it('refuses any other name, and web pages of elsewhere', async () => {
    for (const host of ['evil.example', `evil.example:${port()}`, '127.0.0.1.evil.example', '10.0.0.1', 'localhost.evil']) {
      expect([host, (await at(host, `/${BUCKET}/by-host`)).status]).toEqual([host, 403]);
    }
    const fromPage = await sendSigned(test.endpoint, { path: `/${BUCKET}/by-host`, headers: { origin: 'https://evil.example' } });
    expect([fromPage.status, fromPage.code]).toEqual([403, 'AccessDenied']);
    const local = await sendSigned(test.endpoint, { path: `/${BUCKET}/by-host`, headers: { origin: 'http://localhost:3000' } });
    expect(local.status).toBe(200);
  });
});
