import type { IncomingMessage } from 'node:http';
import { preflight, readableByPage, readCorsRules } from './cors.ts';
import { ACCOUNT_ID } from './credentials.ts';
import { decodePercent, type ParsedRequest } from './http-request.ts';
import type { RequestIds } from './respond.ts';
import { type Answer, refuseLongKey, type S3Services } from './s3/context.ts';
import { postForm } from './s3/post-form.ts';
import { runS3 } from './s3/routes.ts';
import { S3Error } from './s3-error.ts';
import type { Verifier } from './sigv4.ts';

/** What the S3 side of the server works with. */
export type S3Service = { services: S3Services; verifier: Verifier };

/** Verifies and does one S3 request. `hostBucket`: the bucket that the Host header names. Throws S3Error. */
export async function serveS3(
  { services, verifier }: S3Service,
  req: IncomingMessage,
  request: ParsedRequest,
  call: { ids: RequestIds; hostBucket: string | undefined; welcomeBody: () => void },
): Promise<Answer> {
  const { bucketName, key } = target(request.rawPath, call.hostBucket);
  if (request.method === 'OPTIONS') return preflight(corsRulesOf(services, bucketName), request.headers);
  if (isPostForm(request)) {
    const { requestId, hostId } = call.ids;
    const sourceAddress = req.socket.remoteAddress ?? '127.0.0.1';
    return await postForm({
      services,
      verifier,
      req,
      bucketName,
      headers: request.headers,
      requester: { sourceAddress, requestId, hostId },
      welcomeBody: call.welcomeBody,
    });
  }
  const { credential, payload, presigned } = await verifier.verify(request, { service: 's3' });
  refuseLongKey(key);
  refuseForeignOwner(request.headers);
  return await runS3({
    services,
    req,
    method: request.method,
    bucketName,
    key,
    query: request.query,
    headers: presigned ? withHoistedHeaders(request) : request.headers,
    credential,
    payload,
    requester: {
      principalId: credential.userId,
      sourceAddress: req.socket.remoteAddress ?? '127.0.0.1',
      requestId: call.ids.requestId,
      hostId: call.ids.hostId,
    },
    welcomeBody: call.welcomeBody,
  });
}

// A browser form is signed by the policy inside it, not by a header: it needs a way of its own, before the signature is looked for.
function isPostForm({ method, headers }: ParsedRequest): boolean {
  return method === 'POST' && (headers['content-type']?.toLowerCase().startsWith('multipart/form-data') ?? false);
}

/** The answer of an S3 request, a refusal too, with what the bucket's CORS rules let a page read of it. */
export function forPages({ services }: S3Service, request: ParsedRequest, hostBucket: string | undefined, answer: Answer): Answer {
  if (request.headers['origin'] === undefined) return answer;
  return readableByPage(corsRulesOf(services, target(request.rawPath, hostBucket).bucketName), request, answer);
}

function corsRulesOf({ buckets }: S3Services, name: string) {
  const bucket = buckets.find(name);
  const text = bucket === undefined ? undefined : buckets.setting(bucket, 'cors');
  return text === undefined ? undefined : readCorsRules(text);
}

function target(rawPath: string, hostBucket: string | undefined): { bucketName: string; key: string } {
  const path = rawPath.slice(1);
  if (hostBucket !== undefined) return { bucketName: hostBucket, key: decodePercent(path) };
  const slash = path.indexOf('/');
  if (slash < 0) return { bucketName: decodePercent(path), key: '' };
  if (slash === 0) throw new S3Error('InvalidURI', "Couldn't parse the specified URI: it begins with two slashes and so names no bucket.");
  return { bucketName: decodePercent(path.slice(0, slash)), key: decodePercent(path.slice(slash + 1)) };
}

// A presigned address may carry `x-amz-…` headers in its query (they are signed there); S3 reads them as headers. It ignores
// checksums there: the JavaScript SDK signs that of an empty body into every address for a PUT (localstack issue 12169).
function withHoistedHeaders({ headers, query }: ParsedRequest): Record<string, string> {
  const merged = { ...headers };
  for (const [name, value] of Object.entries(query)) {
    const lower = name.toLowerCase();
    if (/^x-amz-(sdk-checksum-algorithm|checksum-(?!mode))/.test(lower)) continue;
    if (lower.startsWith('x-amz-') && merged[lower] === undefined) merged[lower] = Array.isArray(value) ? value.join(',') : value;
  }
  return merged;
}

function refuseForeignOwner(headers: Record<string, string>): void {
  const owner = headers['x-amz-expected-bucket-owner'];
  if (owner !== undefined && owner !== ACCOUNT_ID) throw new S3Error('AccessDenied');
}
