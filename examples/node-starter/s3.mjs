// The app's bucket with two calls, put and get, signed by hand (AWS Signature Version 4): nothing to install.
// Where that is no concern, @aws-sdk/client-s3 does the same; see examples/thumbnails.
import { createHash, createHmac } from 'node:crypto';

const DEADLINE_MS = 30_000;

/**
 * The bucket that the config vars name: LD_S3_BUCKET, LD_REGION and the LD_AWS_* credentials; AWS_ENDPOINT_URL_S3
 * points to another store than Amazon's. They are read at every call: the credentials are temporary.
 */
export function bucketOf(env) {
  return {
    /** Saves an object; the metadata are its x-amz-meta-* headers, ASCII only. Returns the version's id. */
    put: async (key, body, metadata = {}) => {
      const headers = Object.entries(metadata).map(([name, value]) => [`x-amz-meta-${name}`, value]);
      const response = await send(env, 'PUT', key, { headers: Object.fromEntries(headers), body: Buffer.from(body) });
      return response.headers.get('x-amz-version-id');
    },
    /** Reads an object, the newest version or the one named. */
    get: async (key, versionId) => {
      const response = await send(env, 'GET', key, { query: versionId ? { versionId } : {} });
      return Buffer.from(await response.arrayBuffer());
    },
  };
}

/** JSON in ASCII, as metadata must be: Grün becomes Gr\u00fcn, the same text to every JSON parser. */
export function asciiJson(value) {
  return JSON.stringify(value).replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

async function send(env, method, key, { query = {}, headers = {}, body = Buffer.alloc(0) }) {
  const region = env.LD_REGION || 'us-east-1';
  const bucket = need(env, 'LD_S3_BUCKET');
  const base = env.AWS_ENDPOINT_URL_S3
    ? `${env.AWS_ENDPOINT_URL_S3.replace(/\/$/, '')}/${bucket}`
    : `https://${bucket}.s3.${region}.amazonaws.com`;
  const url = new URL(`${base}/${key.split('/').map(encode).join('/')}`);
  if (!url.pathname.endsWith(`/${key.split('/').map(encode).join('/')}`))
    throw new Error(
      `fetch cannot send the key ${JSON.stringify(key)}: it takes the . and .. in it for folders. Use an AWS SDK for such keys.`,
    );
  const pairs = Object.entries(query).map(([name, value]) => `${encode(name)}=${encode(value)}`);
  url.search = pairs.sort().join('&');

  const signed = sign(env, region, { method, url, headers, body });
  const response = await fetch(url, {
    method,
    headers: signed,
    ...(method === 'PUT' ? { body } : {}),
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  if (!response.ok) throw new Error(`${method} ${bucket}/${key}: status ${response.status} ${await response.text()}`);
  return response;
}

/** The headers with the signature (AWS General Reference, "Create a signed AWS API request"). */
function sign(env, region, { method, url, headers, body }) {
  const time = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '');
  const token = env.LD_AWS_SESSION_TOKEN;
  const all = {
    ...headers,
    'x-amz-content-sha256': sha256(body),
    'x-amz-date': time,
    ...(token ? { 'x-amz-security-token': token } : {}),
  };
  const canonical = Object.entries({ ...all, host: url.host }).map(([name, value]) => [
    name.toLowerCase(),
    value.trim().replace(/ +/g, ' '),
  ]);
  canonical.sort(([a], [b]) => (a < b ? -1 : 1));
  const names = canonical.map(([name]) => name).join(';');
  const lines = canonical.map(([name, value]) => `${name}:${value}\n`).join('');
  const request = [method, url.pathname, url.search.slice(1), lines, names, sha256(body)].join('\n');
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', time, scope, sha256(request)].join('\n');
  const secret = `AWS4${need(env, 'LD_AWS_SECRET_ACCESS_KEY')}`;
  const key = scope.split('/').reduce((parent, part) => createHmac('sha256', parent).update(part).digest(), secret);
  const signature = createHmac('sha256', key).update(toSign).digest('hex');
  const credential = `${need(env, 'LD_AWS_ACCESS_KEY_ID')}/${scope}`;
  return { ...all, authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}` };
}

const sha256 = (data) => createHash('sha256').update(data).digest('hex');
/** Percent-encodes all but A-Z a-z 0-9 - . _ ~, as the signature wants it. */
const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

function need(env, name) {
  if (env[name]) return env[name];
  throw new Error(`${name} is not set. Load the app's config vars first, locally by: set -a; . .autofiles/env`);
}
