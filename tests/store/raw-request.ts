import { createHmac, hash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { type Keys, root } from './running-store.ts';

/** A request as it goes over the wire; `path` and `query` are sent exactly as given. */
export type RawRequest = {
  method?: string;
  path: string;
  query?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** What `x-amz-content-sha256` says; the body's own hash by default. */
  contentSha256?: string;
  keys?: Keys;
  service?: string;
  region?: string;
  time?: number;
  /** Headers sent but not signed. */
  unsigned?: Record<string, string>;
  /** Changes the signed request before it is sent. */
  tamper?: ((sent: { path: string; headers: Record<string, string>; body: Buffer }) => void) | undefined;
};

export type RawAnswer = { status: number; headers: Record<string, string>; body: Buffer; text: string; code: string | undefined };

/** What signed a request: the seed of its chunk signatures. */
export type Signed = { signature: string; key: Buffer; date: string; scope: string };

/** Signs by hand (a second implementation, so that the store's verifier is not tested against itself) and sends. */
export async function sendSigned(endpoint: string, request: RawRequest): Promise<RawAnswer> {
  const { method = 'GET', query = '', body = '' } = request;
  const bytes = Buffer.from(body);
  const { headers } = sign(endpoint, request);
  const sent = { path: request.path, headers: { ...headers, 'content-length': String(bytes.length), ...request.unsigned }, body: bytes };
  request.tamper?.(sent);
  return await sendRaw(endpoint, method, sent.path + (query === '' ? '' : `?${query}`), sent.headers, sent.body);
}

/** The headers of a signed request, and what its chunks are to be signed with. */
export function sign(endpoint: string, request: RawRequest): Signed & { headers: Record<string, string> } {
  const { method = 'GET', path, query = '', body = '', keys = root, service = 's3', region = 'us-east-1', time = Date.now() } = request;
  const date = `${new Date(time).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
  const payload = request.contentSha256 ?? hash('sha256', Buffer.from(body), 'hex');
  const headers: Record<string, string> = {
    host: new URL(endpoint).host,
    'x-amz-date': date,
    ...(service === 's3' && { 'x-amz-content-sha256': payload }),
    ...(keys.sessionToken && { 'x-amz-security-token': keys.sessionToken }),
    ...request.headers,
  };
  const names = Object.keys(headers).sort();
  const lines = names.map((name) => `${name}:${headers[name]?.trim().replace(/ +/g, ' ')}`);
  const canonical = [method, path, query, ...lines, '', names.join(';'), payload].join('\n');
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`;
  const key = scope.split('/').reduce<Buffer>((previous, part) => hmac(previous, part), Buffer.from(`AWS4${keys.secretAccessKey}`));
  const signature = hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${hash('sha256', canonical, 'hex')}`).toString('hex');
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${keys.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return { headers, signature, key, date, scope };
}

/** The address of a presigned request (path and query). */
export function presign(endpoint: string, request: RawRequest & { expires: number }): string {
  const { method = 'GET', path, keys = root, time = Date.now(), expires, headers = {} } = request;
  const date = `${new Date(time).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
  const scope = `${date.slice(0, 8)}/${request.region ?? 'us-east-1'}/s3/aws4_request`;
  const signed: Record<string, string> = { host: new URL(endpoint).host, ...headers };
  const names = Object.keys(signed).sort();
  const query = [
    ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
    ['X-Amz-Credential', `${keys.accessKeyId}/${scope}`],
    ['X-Amz-Date', date],
    ['X-Amz-Expires', String(expires)],
    ...(keys.sessionToken ? [['X-Amz-Security-Token', keys.sessionToken]] : []),
    ['X-Amz-SignedHeaders', names.join(';')],
  ]
    .map(([name = '', value = '']) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
  const lines = names.map((name) => `${name}:${signed[name]}`);
  const canonical = [method, path, query, ...lines, '', names.join(';'), 'UNSIGNED-PAYLOAD'].join('\n');
  const key = scope.split('/').reduce<Buffer>((previous, part) => hmac(previous, part), Buffer.from(`AWS4${keys.secretAccessKey}`));
  const signature = hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${hash('sha256', canonical, 'hex')}`).toString('hex');
  return `${path}?${query}&X-Amz-Signature=${signature}`;
}

/** Frames a body in signed chunks, as `STREAMING-AWS4-HMAC-SHA256-PAYLOAD` (with trailers: `-TRAILER`) wants it. */
export function signedChunks({ signature, key, date, scope }: Signed, chunks: Buffer[], trailers?: Record<string, string>): Buffer {
  const pieces: Buffer[] = [];
  let previous = signature;
  for (const chunk of [...chunks, Buffer.alloc(0)]) {
    const text = `AWS4-HMAC-SHA256-PAYLOAD\n${date}\n${scope}\n${previous}\n${hash('sha256', '', 'hex')}\n${hash('sha256', chunk, 'hex')}`;
    previous = hmac(key, text).toString('hex');
    pieces.push(Buffer.from(`${chunk.length.toString(16)};chunk-signature=${previous}\r\n`), chunk);
    if (chunk.length > 0) pieces.push(Buffer.from('\r\n'));
  }
  if (trailers) {
    const lines = Object.entries(trailers).map(([name, value]) => `${name}:${value}\n`);
    const text = `AWS4-HMAC-SHA256-TRAILER\n${date}\n${scope}\n${previous}\n${hash('sha256', lines.join(''), 'hex')}`;
    for (const line of lines) pieces.push(Buffer.from(line.replace('\n', '\r\n')));
    pieces.push(Buffer.from(`x-amz-trailer-signature:${hmac(key, text).toString('hex')}\r\n`));
  }
  pieces.push(Buffer.from('\r\n'));
  return Buffer.concat(pieces);
}

/** Frames a body in unsigned chunks with trailing headers, as `STREAMING-UNSIGNED-PAYLOAD-TRAILER` wants it. */
export function unsignedChunks(chunks: Buffer[], trailers: Record<string, string>): Buffer {
  const framed = chunks.flatMap((chunk) => [Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]);
  const lines = Object.entries(trailers).map(([name, value]) => `${name}:${value}\r\n`);
  return Buffer.concat([...framed, Buffer.from(`0\r\n${lines.join('')}\r\n`)]);
}

/** Sends a request as it is. */
export function sendRaw(
  endpoint: string,
  method: string,
  target: string,
  headers: Record<string, string>,
  body: Buffer = Buffer.alloc(0),
): Promise<RawAnswer> {
  const { hostname, port } = new URL(endpoint);
  return new Promise((resolve, reject) => {
    const request = httpRequest({ hostname, port, method, path: target, headers, agent: false }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (bytes: Buffer) => pieces.push(bytes));
      answer.on('error', reject);
      answer.on('end', () => {
        const whole = Buffer.concat(pieces);
        const text = whole.toString('utf8');
        const named = Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)]));
        resolve({ status: answer.statusCode ?? 0, headers: named, body: whole, text, code: /<Code>(\w+)<\/Code>/.exec(text)?.[1] });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
