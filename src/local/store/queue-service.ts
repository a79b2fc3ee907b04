import { hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Credential } from './credentials.ts';
import type { ParsedRequest } from './http-request.ts';
import { parseQuery } from './http-request.ts';
import type { Messages } from './queue/messages.ts';
import { findOperation } from './queue/operations.ts';
import type { Queues } from './queue/queues.ts';
import { SqsError } from './queue/sqs-error.ts';
import { receiveText } from './receive-body.ts';
import type { RequestIds } from './respond.ts';
import type { Answer } from './s3/context.ts';
import { S3Error } from './s3-error.ts';
import type { Verifier } from './sigv4.ts';
import { renderStsError, runSts, StsError } from './sts.ts';

// A batch of 1 MiB, escaped in JSON at worst sixfold.
const MAX_SQS_BODY = 8 * 1024 * 1024;
const MAX_STS_BODY = 64 * 1024;

type Call = { ids: RequestIds; baseUrl: string; goneSignal: () => AbortSignal };

/** Verifies and does one request of the SQS JSON protocol (`X-Amz-Target: AmazonSQS.NAME`). Only the root credential may. */
export async function serveSqs(
  deps: { queues: Queues; messages: Messages; verifier: Verifier },
  req: IncomingMessage,
  request: ParsedRequest,
  call: Call,
): Promise<Answer> {
  try {
    const { text } = await receiveText({ req, headers: request.headers, payload: { kind: 'unsigned' } }, MAX_SQS_BODY);
    const credential = await verifyBody(deps.verifier, request, text, 'sqs');
    const name = (request.headers['x-amz-target'] ?? '').replace(/^AmazonSQS\./, '');
    if (!credential.root) {
      throw new SqsError(
        'AccessDeniedException',
        `User: ${credential.arn} is not authorized to perform: sqs:${name}; queues are the engine's alone.`,
      );
    }
    const { queues, messages } = deps;
    const result = await findOperation(name)(
      { queues, messages, baseUrl: call.baseUrl, sender: credential.userId, goneSignal: call.goneSignal },
      parseJson(text),
    );
    return json(200, result);
  } catch (error) {
    if (error instanceof SqsError) return sqsError(error.status, error.code, error.queryCode, error.message);
    if (error instanceof S3Error) return sqsError(error.status, error.code, error.code, error.message);
    throw error;
  }
}

/** Verifies and does one request of the STS query protocol. */
export async function serveSts(
  deps: { verifier: Verifier; sts: Parameters<typeof runSts>[0] },
  req: IncomingMessage,
  request: ParsedRequest,
  call: Call,
): Promise<Answer> {
  const { requestId } = call.ids;
  try {
    const { text } = await receiveText({ req, headers: request.headers, payload: { kind: 'unsigned' } }, MAX_STS_BODY);
    const credential = await verifyBody(deps.verifier, request, text, 'sts');
    return xml(200, runSts(deps.sts, parseQuery(text), credential, requestId));
  } catch (error) {
    if (error instanceof StsError) return xml(error.status, renderStsError(error.code, error.message, requestId));
    if (error instanceof S3Error) return xml(error.status, renderStsError(stsCode(error), error.message, requestId));
    throw error;
  }
}

async function verifyBody(verifier: Verifier, request: ParsedRequest, text: string, service: 'sqs' | 'sts'): Promise<Credential> {
  const { credential } = await verifier.verify(request, { service, bodySha256: hash('sha256', text, 'hex') });
  return credential;
}

// STS' own names for the same refusals (STS API reference, "Common errors").
function stsCode(error: S3Error): string {
  switch (error.code) {
    case 'InvalidAccessKeyId':
    case 'InvalidToken':
      return 'InvalidClientTokenId';
    case 'AuthorizationHeaderMalformed':
      return 'SignatureDoesNotMatch';
    default:
      return error.code;
  }
}

function parseJson(text: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new SqsError('SerializationException', 'The request body is not JSON.');
  }
}

function json(status: number, body: object, headers: Record<string, string> = {}): Answer {
  return { status, headers: { 'content-type': 'application/x-amz-json-1.0', ...headers }, body: Buffer.from(JSON.stringify(body)) };
}

function sqsError(status: number, code: string, queryCode: string, message: string): Answer {
  return json(status, { __type: `com.amazonaws.sqs#${code}`, message }, { 'x-amzn-query-error': `${queryCode};Sender` });
}

function xml(status: number, body: string): Answer {
  return { status, headers: { 'content-type': 'text/xml' }, body };
}
