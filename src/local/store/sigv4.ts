import { createHash, createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto';
import { createScope, getCanonicalHeaders, getCanonicalQuery, getSigningKey } from '@smithy/signature-v4';
import { type Credential, type Credentials, sameText } from './credentials.ts';
import { decodePercent, encodePercent, type ParsedRequest } from './http-request.ts';
import { S3Error } from './s3-error.ts';
import { readAuthorization, type SignedClaim } from './sigv4-claim.ts';

/** What signs the pieces of a `STREAMING-AWS4-HMAC-SHA256-PAYLOAD` body: each signature covers the one before it. */
export type ChunkSigning = { key: KeyObject; date: string; scope: string; seed: string };

/** How a body is protected, as its `x-amz-content-sha256` says. */
export type PayloadProtection =
  | { kind: 'unsigned' }
  | { kind: 'hash'; sha256: string }
  | { kind: 'chunks'; trailer: boolean; signing: ChunkSigning | undefined };

/** A request whose signature is right. */
type Authenticated = { credential: Credential; payload: PayloadProtection; presigned: boolean };

/** Verifies the signatures of requests. */
export type Verifier = {
  /**
   * Verifies one request. For a service other than S3 the hash of the body must be given, since its clients do not send it.
   * Throws S3Error: AccessDenied without a signature, InvalidAccessKeyId, InvalidToken, ExpiredToken, RequestTimeTooSkewed,
   * AuthorizationHeaderMalformed, SignatureDoesNotMatch, InvalidRequest for Signature Version 2.
   */
  verify(request: ParsedRequest, expected: { service: 's3' | 'sqs' | 'sts'; bodySha256?: string }): Promise<Authenticated>;
  /** Verifies the signature of a form's policy and says whose it is. What the policy allows is not looked at. Throws S3Error. */
  verifyForm(form: SignedForm): Promise<Credential>;
};

/** The fields of a form that sign it; `policy` in base64, as it came. */
type SignedForm = {
  algorithm: string;
  credential: string;
  date: string;
  sessionToken: string | undefined;
  policy: string;
  signature: string;
};

// AWS refuses requests whose time is further off than this (S3 API reference, RequestTimeTooSkewed).
const MAX_SKEW_MS = 15 * 60 * 1000;
const CACHED_KEYS = 1000;

/** Makes the verifier for one region. Signing keys are cached for the day that they are good for. */
export function createVerifier(deps: { credentials: Credentials; now: () => number; region: string }): Verifier {
  const { credentials, now, region } = deps;
  const keys = new Map<string, KeyObject>();

  async function signingKey(credential: Credential, claim: Pick<SignedClaim, 'day' | 'region' | 'service'>): Promise<KeyObject> {
    const name = `${credential.accessKeyId}/${claim.day}/${claim.region}/${claim.service}`;
    const held = keys.get(name);
    if (held) return held;
    const key = createSecretKey(await getSigningKey(HmacSha256, credential, claim.day, claim.region, claim.service));
    if (keys.size >= CACHED_KEYS) keys.clear();
    keys.set(name, key);
    return key;
  }

  function checkScope(claim: Pick<SignedClaim, 'presigned' | 'region' | 'service'>, service: string): void {
    // STS may be signed for its global endpoint's region whatever the store's own region is.
    const regionFits = claim.region === region || (service === 'sts' && claim.region === 'us-east-1');
    if (regionFits && claim.service === service) return;
    const what = regionFits ? 'service' : 'region';
    const [found, wanted] = regionFits ? [claim.service, service] : [claim.region, region];
    throw new S3Error(
      claim.presigned ? 'AuthorizationQueryParametersError' : 'AuthorizationHeaderMalformed',
      `The authorization ${claim.presigned ? 'query' : 'header'} is malformed; the ${what} '${found}' is wrong; expecting '${wanted}'`,
      { details: regionFits ? {} : { Region: region } },
    );
  }

  function checkTime(claim: SignedClaim): void {
    const clock = now();
    if (claim.presigned) {
      if (clock > claim.time + claim.expiresSeconds * 1000) {
        throw new S3Error('AccessDenied', 'Request has expired', {
          details: { Expires: iso(claim.time + claim.expiresSeconds * 1000), ServerTime: iso(clock) },
        });
      }
      if (claim.time > clock + MAX_SKEW_MS) throw new S3Error('AccessDenied', 'Request is not valid yet');
    } else if (Math.abs(clock - claim.time) > MAX_SKEW_MS) {
      throw new S3Error('RequestTimeTooSkewed', undefined, {
        details: { RequestTime: claim.date, ServerTime: iso(clock), MaxAllowedSkewMilliseconds: String(MAX_SKEW_MS) },
      });
    }
  }

  return {
    async verify(request, { service, bodySha256 }) {
      const claim = readAuthorization(request);
      const credential = credentials.find(claim.accessKeyId, claim.sessionToken);
      checkScope(claim, service);
      checkTime(claim);
      const payloadHash = payloadHashOf(request, claim, bodySha256);
      const key = await signingKey(credential, claim);
      const scope = createScope(claim.day, claim.region, claim.service);
      const canonical = canonicalRequest(request, claim, payloadHash);
      const text = `AWS4-HMAC-SHA256\n${claim.date}\n${scope}\n${hash('sha256', canonical, 'hex')}`;
      const signature = createHmac('sha256', key).update(text).digest('hex');
      if (!sameText(signature, claim.signature)) {
        throw new S3Error('SignatureDoesNotMatch', undefined, {
          details: {
            AWSAccessKeyId: claim.accessKeyId,
            StringToSign: text,
            SignatureProvided: claim.signature,
            CanonicalRequest: canonical,
          },
        });
      }
      refuseUnsignedHeaders(request, claim);
      const signing = { key, date: claim.date, scope, seed: signature };
      return { credential, payload: protectionOf(payloadHash, signing), presigned: claim.presigned };
    },

    async verifyForm({ algorithm, credential: named, date, sessionToken, policy, signature }) {
      if (policy === '')
        throw new S3Error('AccessDenied', 'Access Denied: the form carries no policy, and this store serves nobody anonymously.');
      if (algorithm !== 'AWS4-HMAC-SHA256')
        throw new S3Error(
          'InvalidArgument',
          'The field x-amz-algorithm must be AWS4-HMAC-SHA256: this store takes Signature Version 4 only.',
        );
      const [accessKeyId = '', day = '', scopeRegion = '', service = '', terminator] = named.split('/');
      if (terminator !== 'aws4_request' || !/^\d{8}$/.test(day) || !date.startsWith(day))
        throw new S3Error(
          'InvalidArgument',
          'The field x-amz-credential must be <key>/<day>/<region>/s3/aws4_request, with the day of x-amz-date.',
        );
      const credential = credentials.find(accessKeyId, sessionToken);
      const scope = { presigned: false, accessKeyId, day, region: scopeRegion, service };
      checkScope(scope, 's3');
      const key = await signingKey(credential, scope);
      if (!sameText(createHmac('sha256', key).update(policy).digest('hex'), signature))
        throw new S3Error('SignatureDoesNotMatch', undefined, { details: { AWSAccessKeyId: accessKeyId, StringToSign: policy } });
      return credential;
    },
  };
}

function payloadHashOf(request: ParsedRequest, claim: SignedClaim, bodySha256: string | undefined): string {
  const sent = request.headers['x-amz-content-sha256'];
  if (bodySha256 !== undefined) {
    if (sent !== undefined && sent !== bodySha256) throw new S3Error('XAmzContentSHA256Mismatch');
    return bodySha256;
  }
  if (claim.presigned) {
    const signed = claim.signedHeaders.includes('x-amz-content-sha256') ? sent : undefined;
    return claim.contentSha256 ?? signed ?? 'UNSIGNED-PAYLOAD';
  }
  if (sent !== undefined) return sent;
  throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256');
}

function protectionOf(payloadHash: string, signing: ChunkSigning): PayloadProtection {
  switch (payloadHash) {
    case 'UNSIGNED-PAYLOAD':
      return { kind: 'unsigned' };
    case 'STREAMING-UNSIGNED-PAYLOAD-TRAILER':
      return { kind: 'chunks', trailer: true, signing: undefined };
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD':
      return { kind: 'chunks', trailer: false, signing };
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER':
      return { kind: 'chunks', trailer: true, signing };
    default:
      if (/^[0-9a-f]{64}$/i.test(payloadHash)) return { kind: 'hash', sha256: payloadHash.toLowerCase() };
      throw new S3Error(
        'InvalidArgument',
        'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.',
        { details: { ArgumentName: 'x-amz-content-sha256', ArgumentValue: payloadHash.slice(0, 100) } },
      );
  }
}

function canonicalRequest(request: ParsedRequest, claim: SignedClaim, payloadHash: string): string {
  const signed: Record<string, string> = {};
  for (const name of claim.signedHeaders) {
    const value = request.headers[name];
    // A signed header that did not arrive counts as empty: the signature then tells.
    signed[name] = value ?? '';
  }
  const httpRequest = { method: request.method, protocol: 'http:', hostname: '', path: '', headers: signed, query: request.query };
  const headers = getCanonicalHeaders(httpRequest, undefined, new Set(claim.signedHeaders));
  const names = Object.keys(headers).sort();
  return `${request.method}
${canonicalPath(request.rawPath)}
${getCanonicalQuery(httpRequest)}
${names.map((name) => `${name}:${headers[name]}`).join('\n')}

${names.join(';')}
${payloadHash}`;
}

function canonicalPath(rawPath: string): string {
  // S3 neither encodes twice nor normalises: `//` and `./` are parts of legal keys. Clients differ in what they leave unencoded.
  if (/^[\w\-.~/]*$/.test(rawPath)) return rawPath;
  return rawPath
    .split('/')
    .map((segment) => encodePercent(decodePercent(segment)))
    .join('/');
}

function refuseUnsignedHeaders(request: ParsedRequest, claim: SignedClaim): void {
  const loose = Object.keys(request.headers).filter((name) => name.startsWith('x-amz-') && !claim.signedHeaders.includes(name));
  // A presigned request may say again what its hash is; nothing else of x-amz may be added by whoever holds the address.
  const refused = loose.filter((name) => !(claim.presigned && name === 'x-amz-content-sha256'));
  if (refused.length === 0) return;
  throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed', {
    details: { HeadersNotSigned: refused.join(', ') },
  });
}

function iso(time: number): string {
  return new Date(time).toISOString();
}

/** The hash in the form that @smithy/signature-v4 asks for. */
class HmacSha256 {
  readonly #hash: { update(data: Uint8Array): unknown; digest(): Buffer };

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytes(secret));
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {
    throw new Error('a SigV4 hash is used once; it is never reset');
  }
}

function bytes(secret: string | ArrayBuffer | ArrayBufferView): string | Uint8Array {
  if (typeof secret === 'string') return secret;
  return ArrayBuffer.isView(secret) ? new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength) : new Uint8Array(secret);
}
