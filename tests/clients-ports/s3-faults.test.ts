// The object store against servers that answer oddly, badly or not at all.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createObjectStore } from '../../src/clients/s3.ts';

const closers: Array<() => Promise<void>> = [];
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
});

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

/** An S3 whose answers the test gives: `onRequest` gets the count of requests so far, this one included. */
async function setup(onRequest: (response: ServerResponse, count: number, request: Seen) => void) {
  const seen: Seen[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    request.resume();
    request.once('end', () => {
      const one = { method: request.method ?? '', url: request.url ?? '', headers: request.headers };
      seen.push(one);
      onRequest(response, seen.length, one);
    });
  });
  server.on('connection', () => {
    connections += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // an AddressInfo for a TCP server
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const store = createObjectStore({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI', sessionToken: 'the-token' },
  });
  closers.push(async () => {
    store.close();
    server.closeAllConnections();
    const closed = once(server, 'close');
    server.close();
    await closed;
  });
  return { store, seen, connections: () => connections };
}

const s3Error = (response: ServerResponse, status: number, code: string) => {
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>because of ${code}</Message></Error>`);
};
const found = (response: ServerResponse, headers: Record<string, string> = {}) => {
  response.writeHead(200, {
    etag: '"abc"',
    'content-length': '17',
    'x-amz-version-id': 'v1',
    'last-modified': 'Sat, 28 Nov 2026 20:00:00 GMT',
    ...headers,
  });
  response.end();
};

describe('head', () => {
  it('asks for exactly the version, signed, and reads version, size, etag and metadata', async () => {
    const { store, seen } = await setup((response) =>
      found(response, { 'x-amz-meta-ld_task_id': 'r1.0.0', 'x-amz-meta-ld_state': '{"n":1}', 'x-amz-missing-meta': '1' }),
    );
    expect(await store.head('ld-private-x', "in/a b+c/ü(1)*!'~//z.json", 'v1=')).toEqual({
      versionId: 'v1',
      etag: 'abc',
      size: 17,
      metadata: { ld_task_id: 'r1.0.0', ld_state: '{"n":1}' },
      modifiedAt: Date.UTC(2026, 10, 28, 20),
    });
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ method: 'HEAD', url: '/ld-private-x/in/a%20b%2Bc/%C3%BC%281%29%2A%21%27~//z.json?versionId=v1%3D' });
    expect(seen[0]?.headers.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/us-east-1\/s3\/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, /,
    );
    expect(seen[0]?.headers['x-amz-security-token']).toBe('the-token');
  });

  it('calls the version of an unversioned bucket "null", as S3 does', async () => {
    const { store } = await setup((response) => {
      response.writeHead(200, { etag: '"abc"', 'content-length': '0' });
      response.end();
    });
    expect(await store.head('ld-private-x', 'k')).toEqual({ versionId: 'null', etag: 'abc', size: 0, metadata: {} });
  });

  it.each([
    [404, 'a version that never was'],
    [405, 'a delete marker'],
    [412, 'a version replaced meanwhile'],
  ])('%d (%s) is undefined, asked once', async (status) => {
    const { store, seen } = await setup((response) => {
      response.writeHead(status, { 'x-amz-delete-marker': 'true' });
      response.end();
    });
    expect(await store.head('ld-private-x', 'k', 'v1')).toBeUndefined();
    expect(seen).toHaveLength(1);
  });

  it('keeps its connections', async () => {
    const { store, seen, connections } = await setup((response) => found(response));
    for (let i = 0; i < 20; i += 1) await store.head('ld-private-x', `k${i}`, 'v1');
    expect(seen).toHaveLength(20);
    expect(connections()).toBe(1);
  });

  it.each<[string, (response: ServerResponse) => void]>([
    ['503 SlowDown', (response) => s3Error(response, 503, 'SlowDown')],
    ['500', (response) => s3Error(response, 500, 'InternalError')],
    ['429', (response) => s3Error(response, 429, 'TooManyRequests')],
    ['a reset', (response) => response.socket?.resetAndDestroy()],
    ['a closed connection', (response) => response.socket?.destroy()],
  ])('is tried again after %s', async (_, fault) => {
    const { store, seen } = await setup((response, count) => (count <= 2 ? fault(response) : found(response)));
    expect(await store.head('ld-private-x', 'k', 'v1')).toMatchObject({ versionId: 'v1', etag: 'abc', size: 17 });
    expect(seen).toHaveLength(3);
  });

  it('reads the same from the SDK when the first answer was unclear', async () => {
    const { store } = await setup((response, count) =>
      count === 1 ? s3Error(response, 500, 'InternalError') : found(response, { 'x-amz-meta-ld_run': '1' }),
    );
    expect(await store.head('ld-private-x', 'k', 'v1')).toEqual({
      versionId: 'v1',
      etag: 'abc',
      size: 17,
      metadata: { ld_run: '1' },
      modifiedAt: Date.UTC(2026, 10, 28, 20),
    });
  });

  it('fails as s3_unavailable, with the cause, when S3 stays down', async () => {
    const { store, seen } = await setup((response) => s3Error(response, 503, 'SlowDown'));
    await expect(store.head('ld-private-x', 'in/k', 'v1')).rejects.toMatchObject({
      code: 's3_unavailable',
      message: expect.stringMatching(/HEAD "in\/k" version v1 in ld-private-x: HTTP 503/),
      cause: expect.any(Error),
    });
    expect(seen).toHaveLength(4); // the lean one and the SDK's three
  });

  it('fails as s3_unavailable when access is denied, and says what to check', async () => {
    const { store } = await setup((response) => s3Error(response, 403, 'AccessDenied'));
    await expect(store.head('ld-private-x', 'k')).rejects.toMatchObject({
      code: 's3_unavailable',
      message: expect.stringMatching(/HTTP 403.*access key/),
    });
  });

  it('fails as s3_unavailable when nobody listens', async () => {
    const { store } = await setup(() => undefined);
    await closers.pop()?.();
    await expect(store.head('ld-private-x', 'k')).rejects.toMatchObject({
      code: 's3_unavailable',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('ends at its deadline when no answer comes, and closes the connection', async () => {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const { store } = await setup((response) => response.once('close', () => resolve()));
    await expect(store.head('ld-private-x', 'k', 'v1', { deadline: 2_000 })).rejects.toMatchObject({
      code: 's3_unavailable',
      message: expect.stringContaining('no answer within 2000 ms'),
    });
    await closed;
  });

  it('ends at its deadline in the middle of retries', async () => {
    const { store } = await setup((response) => s3Error(response, 503, 'SlowDown'));
    await expect(store.head('ld-private-x', 'k', 'v1', { deadline: 50 })).rejects.toMatchObject({
      code: 's3_unavailable',
      message: expect.stringContaining('no answer within 50 ms'),
    });
  });

  it("hands the caller's abort on as it was given", async () => {
    const controller = new AbortController();
    const reason = new Error('stopping');
    const { store } = await setup(() => controller.abort(reason));
    await expect(store.head('ld-private-x', 'k', 'v1', { signal: controller.signal })).rejects.toBe(reason);
    await expect(store.head('ld-private-x', 'k', 'v1', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('text', () => {
  const body = (response: ServerResponse, content: string | Buffer, headers: Record<string, string> = {}) => {
    response.writeHead(200, { etag: '"abc"', 'x-amz-version-id': 'v1', ...headers });
    response.end(content);
  };

  it('is the UTF-8 text, empty for an empty object', async () => {
    const { store } = await setup((response, count) => body(response, count === 1 ? '{"title":"grün"}' : ''));
    expect(await store.text('ld-private-x', 'k', 'v1', 100)).toBe('{"title":"grün"}');
    expect(await store.text('ld-private-x', 'k', 'v1', 100)).toBe('');
  });

  it.each([
    [404, 'NoSuchKey'],
    [404, 'NoSuchVersion'],
    [405, 'MethodNotAllowed'],
    [412, 'PreconditionFailed'],
  ])('%d %s is undefined', async (status, code) => {
    const { store } = await setup((response) => s3Error(response, status, code));
    expect(await store.text('ld-private-x', 'k', 'v1', 100)).toBeUndefined();
  });

  it('refuses a longer object, announced or not, and takes one of exactly the size', async () => {
    const { store } = await setup((response, count) => {
      if (count === 1) body(response, 'x'.repeat(101), { 'content-length': '101' });
      else if (count === 2) body(response, 'x'.repeat(101));
      else body(response, 'x'.repeat(100));
    });
    for (let i = 0; i < 2; i += 1) {
      await expect(store.text('ld-private-x', 'big', 'v1', 100)).rejects.toMatchObject({
        code: 'workflow_too_large',
        message: expect.stringContaining('at most 100'),
      });
    }
    expect(await store.text('ld-private-x', 'k', 'v1', 100)).toHaveLength(100);
  });

  it('fails as s3_unavailable when the body breaks off', async () => {
    const { store } = await setup((response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('half', () => response.destroy());
    });
    await expect(store.text('ld-private-x', 'k', 'v1', 10_000)).rejects.toMatchObject({ code: 's3_unavailable' });
  });

  it('ends at its deadline when the body stands still', async () => {
    const { store } = await setup((response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('half');
    });
    await expect(store.text('ld-private-x', 'k', 'v1', 10_000, { deadline: 200 })).rejects.toMatchObject({ code: 's3_unavailable' });
  });
});

describe('buckets', () => {
  it('a bucket of our own is created already; one of another account is a conflict', async () => {
    const { store } = await setup((response, _, { url }) =>
      s3Error(response, 409, url.includes('mine') ? 'BucketAlreadyOwnedByYou' : 'BucketAlreadyExists'),
    );
    await expect(store.createBucket('mine')).resolves.toBeUndefined();
    await expect(store.createBucket('theirs')).rejects.toMatchObject({ code: 'conflict' });
  });

  it('a bucket that is not there is not_found', async () => {
    const { store } = await setup((response) => s3Error(response, 404, 'NoSuchBucket'));
    await expect(store.versioned('gone')).rejects.toMatchObject({ code: 'not_found', message: expect.stringContaining('gone') });
    await expect(store.put('gone', 'k', 'x')).rejects.toMatchObject({ code: 'not_found' });
    await expect(store.versions('gone')).rejects.toMatchObject({ code: 'not_found' });
    await expect(store.keys('gone', { prefix: '' })).rejects.toMatchObject({ code: 'not_found' });
    await expect(store.notify('gone', 'arn:aws:sqs:us-east-1:000000000000:q')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('a page of nothing but delete markers says up to which key it is', async () => {
    const { store } = await setup((response) =>
      response.end(
        '<?xml version="1.0"?><ListVersionsResult><Name>b</Name><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>' +
          '<NextKeyMarker>in/a+b</NextKeyMarker><NextVersionIdMarker>v1</NextVersionIdMarker>' +
          '<DeleteMarker><Key>in/a+b</Key><VersionId>v1</VersionId></DeleteMarker></ListVersionsResult>',
      ),
    );
    expect(await store.versions('b', { prefix: 'in/a' })).toEqual({ versions: [], next: '["in/a b","v1"]', upTo: 'in/a b' });
  });

  it('a cursor that is none of ours is refused', async () => {
    const { store } = await setup(() => undefined);
    for (const next of ['7', 'no JSON']) await expect(store.versions('b', { next })).rejects.toMatchObject({ code: 'request_invalid' });
  });
});

describe('an object that S3 will never give', () => {
  it('is refused and not waited for when it is in an archive class, or its key is not to be used', async () => {
    for (const code of ['InvalidObjectState', 'KMS.DisabledException']) {
      const { store } = await setup((response) => s3Error(response, 403, code));
      await expect(store.text('b', 'k', 'v1', 1_000)).rejects.toMatchObject({ code: 's3_refused', message: expect.stringContaining(code) });
    }
  });

  it('is refused when its HEAD is a bad request while its bucket answers', async () => {
    const { store } = await setup((response, _count, { method, url }) => {
      if (method === 'HEAD') return void response.writeHead(400).end();
      expect(url).toContain('versions');
      response.writeHead(200, { 'content-type': 'application/xml' });
      response.end('<?xml version="1.0"?><ListVersionsResult><Name>b</Name><IsTruncated>false</IsTruncated></ListVersionsResult>');
    });
    await expect(store.head('b', 'k', 'v1')).rejects.toMatchObject({ code: 's3_refused' });
  });

  it('is waited for when the whole bucket refuses, as with keys that have ended', async () => {
    const { store } = await setup((response, _count, { method }) =>
      method === 'HEAD' ? void response.writeHead(400).end() : s3Error(response, 400, 'ExpiredToken'),
    );
    await expect(store.head('b', 'k', 'v1')).rejects.toMatchObject({ code: 's3_unavailable' });
    await expect(store.text('b', 'k', 'v1', 1_000)).rejects.toMatchObject({ code: 's3_unavailable' });
  });
});
