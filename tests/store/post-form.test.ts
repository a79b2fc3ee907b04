// Uploads by forms, as browsers send them: multipart/form-data with a signed policy.

import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import {
  type CORSRule,
  CreateBucketCommand,
  DeleteBucketCorsCommand,
  GetBucketCorsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutBucketCorsCommand,
  PutBucketVersioningCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFileAccess } from '../../src/clients/s3-files.ts';
import { until } from '../support/until.ts';
import { root, runStore, type TestStore } from './running-store.ts';

const BUCKET = 'forms';

let store: TestStore;
let files: ReturnType<typeof createFileAccess>;

beforeAll(async () => {
  store = await runStore();
  files = createFileAccess({
    endpoint: store.endpoint,
    region: 'us-east-1',
    credentials: root,
    now: () => Date.now() + store.clock.offsetMs,
  });
  await store.s3().send(new CreateBucketCommand({ Bucket: BUCKET }));
  await store.s3().send(new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration: { Status: 'Enabled' } }));
});

afterAll(async () => {
  files?.close();
  expect(store?.faults).toEqual([]);
  await store?.close();
});

const makeForm = (
  key: string,
  more: { metadata?: Record<string, string>; maxBytes?: number; contentType?: string; seconds?: number } = {},
) => files.form(BUCKET, key, { metadata: {}, maxBytes: 1_000_000, seconds: 60, ...more });

/** Sends the form's fields, those of `changes` over them (undefined: left out), then the file. */
async function send(
  form: { url: string; fields: Readonly<Record<string, string>> },
  body: string | Uint8Array<ArrayBuffer>,
  changes: Record<string, string | undefined> = {},
  headers = {},
) {
  const data = new FormData();
  for (const [name, value] of Object.entries({ ...form.fields, ...changes })) if (value !== undefined) data.append(name, value);
  data.append('file', new Blob([body]), 'photo.jpg');
  const response = await fetch(form.url, { method: 'POST', body: data, headers, redirect: 'manual' });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

it('stores the file with what the form pins', async () => {
  const code = JSON.stringify({ title: 'pinned', run: [{ cmd: 'work' }] });
  const form = await makeForm('in/a b/ü.jpg', { metadata: { ld_code: code }, contentType: 'image/jpeg' });
  const { status, headers } = await send(form, 'hello');
  expect(status).toBe(204);
  const object = await store.s3().send(new GetObjectCommand({ Bucket: BUCKET, Key: 'in/a b/ü.jpg' }));
  expect(await object.Body?.transformToString()).toBe('hello');
  expect(object.ContentType).toBe('image/jpeg');
  expect(object.Metadata?.['ld_code']).toBe(code);
  expect(headers.get('etag')).toBe(object.ETag);
  expect(headers.get('x-amz-version-id')).toBe(object.VersionId);
});

it('stores a large file without holding it, and refuses one that is too large or too small, keeping nothing', async () => {
  const large = new Uint8Array(2_000_000).fill(7);
  expect((await send(await makeForm('large', { maxBytes: 2_000_000 }), large)).status).toBe(204);
  expect((await store.s3().send(new HeadObjectCommand({ Bucket: BUCKET, Key: 'large' }))).ContentLength).toBe(2_000_000);
  const refused = await send(await makeForm('over', { maxBytes: 1_999_999 }), large);
  expect(refused.status).toBe(400);
  expect(refused.text).toContain('<Code>EntityTooLarge</Code>');
  await expect(store.s3().send(new HeadObjectCommand({ Bucket: BUCKET, Key: 'over' }))).rejects.toMatchObject({ name: 'NotFound' });
});

it('refuses whatever the policy does not name or names otherwise', async () => {
  const form = await makeForm('in/pinned', { metadata: { ld_code: '{"run":[{"cmd":"a"}]}' } });
  const wrong: Record<string, string | undefined>[] = [
    { 'x-amz-meta-ld_run': 'true' },
    { 'x-amz-meta-ld_task_id': 'x' },
    { 'X-Amz-Meta-LD_RUN': 'true' },
    { 'x-amz-meta-ld_code': '{"run":[{"cmd":"evil"}]}' },
    { 'x-amz-meta-ld_code': undefined },
    { key: 'in/other' },
    { 'Content-Type': 'text/html' },
    { success_action_status: '201' },
  ];
  for (const changes of wrong) {
    const { status, text } = await send(form, 'x', changes);
    expect(status, JSON.stringify(changes)).toBe(403);
    expect(text).toContain('Invalid according to Policy');
  }
  expect((await send(form, 'x', { 'x-ignore-me': 'yes' })).status).toBe(204);
});

it('refuses a form that is forged, late, unsigned or for another bucket', async () => {
  const form = await makeForm('in/forged');
  const policy = Buffer.from(JSON.stringify({ expiration: '2100-01-01T00:00:00Z', conditions: [] })).toString('base64');
  expect((await send(form, 'x', { policy })).text).toContain('<Code>SignatureDoesNotMatch</Code>');
  expect((await send(form, 'x', { 'x-amz-signature': '0'.repeat(64) })).status).toBe(403);
  expect((await send(form, 'x', { policy: undefined })).text).toContain('<Code>AccessDenied</Code>');
  expect((await send(form, 'x', { 'x-amz-credential': 'nobody/20260101/us-east-1/s3/aws4_request' })).status).toBeGreaterThanOrEqual(400);
  await store.s3().send(new CreateBucketCommand({ Bucket: 'other-forms' }));
  expect((await send({ ...form, url: `${store.endpoint}/other-forms` }, 'x')).text).toContain('Policy Condition failed');
  const late = await makeForm('in/late', { seconds: 60 });
  store.clock.offsetMs = 61_000;
  const refused = await send(late, 'x');
  store.clock.offsetMs = 0;
  expect(refused.text).toContain('Policy expired');
});

it('refuses what no header could give back', async () => {
  const typed = await send(await makeForm('typed', { contentType: 'text/\u0001' }), 'x');
  expect([typed.status, typed.text]).toEqual([400, expect.stringContaining('content-type')]);
  const named = await send(await makeForm('named', { metadata: { 'two words': 'x' } }), 'x');
  expect([named.status, named.text]).toEqual([400, expect.stringContaining('two words')]);
});

it('takes no key beyond 1,024 bytes, whatever its characters, the name of the file in it included', async () => {
  const key = 'é'.repeat(512);
  expect((await send(await makeForm(key), 'x')).status).toBe(204);
  for (const long of [`${key}x`, `${'é'.repeat(510)}\${filename}`]) {
    const { status, text } = await send(await makeForm(long), 'x');
    expect([status, text]).toEqual([400, expect.stringContaining('<Code>KeyTooLongError</Code>')]);
  }
  const held = await store.s3().send(new ListObjectVersionsCommand({ Bucket: BUCKET, Prefix: 'é' }));
  expect(held.Versions?.map(({ Key }) => Key)).toEqual([key]);
});

it('takes no form without a file, without a key or that is none', async () => {
  const form = await makeForm('in/none');
  const data = new FormData();
  for (const [name, value] of Object.entries(form.fields)) data.append(name, value);
  const none = await fetch(form.url, { method: 'POST', body: data });
  expect(await none.text()).toContain('exactly one file');
  const broken = await fetch(form.url, { method: 'POST', body: 'no form', headers: { 'content-type': 'multipart/form-data; boundary=x' } });
  expect(broken.status).toBe(400);
  const long = await send(form, 'x', { 'x-ignore-long': 'y'.repeat(30_000) });
  expect(long.text).toContain('<Code>MaxMessageLengthExceeded</Code>');
});

describe('a page', () => {
  const ORIGIN = 'http://127.0.0.1:8080';
  const ask = (headers: Record<string, string>, bucket = BUCKET) => fetch(`${store.endpoint}/${bucket}`, { method: 'OPTIONS', headers });
  const wish = { origin: ORIGIN, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-one, X-Two' };
  const rules = (...CORSRules: CORSRule[]) =>
    store.s3().send(new PutBucketCorsCommand({ Bucket: BUCKET, CORSConfiguration: { CORSRules } }));
  const uploads = {
    AllowedOrigins: ['*'],
    AllowedMethods: ['POST'],
    AllowedHeaders: ['*'],
    ExposeHeaders: ['x-amz-version-id'],
    MaxAgeSeconds: 60,
  };

  it('may send nothing and read nothing while the bucket has no CORS rules, or none for it', async () => {
    await expect(store.s3().send(new GetBucketCorsCommand({ Bucket: BUCKET }))).rejects.toMatchObject({ name: 'NoSuchCORSConfiguration' });
    expect((await ask(wish)).status).toBe(403);
    expect((await send(await makeForm('in/page'), 'x', {}, { origin: ORIGIN })).headers.get('access-control-allow-origin')).toBeNull();
    await rules({ ...uploads, AllowedOrigins: ['https://app.example', 'http://127.0.0.1:1*'] });
    expect((await ask(wish)).status).toBe(403);
    await rules({ ...uploads, AllowedHeaders: ['x-one'] });
    expect((await ask(wish)).status).toBe(403);
    await rules({ ...uploads, AllowedMethods: ['GET'] });
    expect(await (await ask(wish)).text()).toContain('<Code>AccessForbidden</Code>');
    expect((await ask({ origin: ORIGIN })).status).toBe(400);
  });

  it('may upload and read what came of it, a refusal too, as the rules say', async () => {
    await rules(uploads);
    const allowed = await ask(wish);
    expect(allowed.status).toBe(200);
    expect(Object.fromEntries(allowed.headers)).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'x-one, x-two',
      'access-control-max-age': '60',
      'access-control-expose-headers': 'x-amz-version-id',
    });
    const sent = await send(await makeForm('in/page'), 'x', {}, { origin: ORIGIN });
    expect([sent.status, sent.headers.get('access-control-allow-origin')]).toEqual([204, '*']);
    expect(sent.headers.get('x-amz-version-id')).not.toBeNull();
    const refused = await send(await makeForm('in/page', { maxBytes: 1 }), 'xx', {}, { origin: ORIGIN });
    expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([400, '*']);
    await rules({ ...uploads, AllowedOrigins: ['http://*:8080'] });
    const named = await send(await makeForm('in/page'), 'x', {}, { origin: ORIGIN });
    expect(named.headers.get('access-control-allow-origin')).toBe(ORIGIN);
    const { CORSRules } = await store.s3().send(new GetBucketCorsCommand({ Bucket: BUCKET }));
    expect(CORSRules?.[0]).toMatchObject({ AllowedOrigins: ['http://*:8080'] });
    await store.s3().send(new DeleteBucketCorsCommand({ Bucket: BUCKET }));
    expect((await ask(wish)).status).toBe(403);
  });

  it('of another machine is refused, whatever the rules say', async () => {
    await rules(uploads);
    expect((await send(await makeForm('in/page'), 'x', {}, { origin: 'https://evil.example' })).status).toBe(403);
    expect((await ask({ ...wish, origin: 'https://evil.example' })).status).toBe(403);
  });

  it('gets no rules that are none', async () => {
    await expect(rules({ ...uploads, AllowedMethods: ['PATCH'] })).rejects.toMatchObject({ name: 'MalformedXML' });
  });
});

describe('a form that is cut off', () => {
  /** Sends bytes as they are; answers with the status of what comes back. */
  const sendRaw = async (text: string, type = 'multipart/form-data; boundary=b') => {
    const socket = connect(store.store.port, '127.0.0.1');
    socket.write(
      `POST /${BUCKET} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
    const parts: Buffer[] = [];
    for await (const part of socket) parts.push(part as Buffer);
    return Number(/^HTTP\/1.1 (\d+)/.exec(Buffer.concat(parts).toString())?.[1]);
  };
  const field = (name: string, value: string) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const fileOf = (body: string) => `--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${body}`;

  it('is refused in its file, signed or not, and the store goes on', async () => {
    const { fields } = await makeForm('in/cut');
    const signed = Object.entries(fields).map(([name, value]) => field(name, value));
    expect(await sendRaw(fileOf('abc'))).toBe(400);
    expect(await sendRaw(field('key', 'in/cut') + fileOf('abc'))).toBeGreaterThanOrEqual(400);
    expect(await sendRaw(signed.join('') + fileOf('abc'))).toBe(400);
    expect(await sendRaw(signed.join('') + fileOf('abc'), 'multipart/form-data')).toBe(400);
    expect((await send(await makeForm('in/whole'), 'hello')).status).toBe(204);
  });

  it('leaves nothing of its file when its sender goes', async () => {
    const { fields } = await makeForm('in/gone');
    const head =
      Object.entries(fields)
        .map(([name, value]) => field(name, value))
        .join('') + fileOf('');
    const socket = connect(store.store.port, '127.0.0.1');
    socket.write(
      `POST /${BUCKET} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 900000\r\n\r\n${head}${'x'.repeat(500_000)}`,
    );
    const kept = () => readdirSync(join(store.dir, 'tmp')).length;
    await until('the file that comes', () => Promise.resolve(kept() > 0));
    socket.destroy();
    await once(socket, 'close');
    await until('the end of the file', () => Promise.resolve(kept() === 0));
  });
});
