// What goes over the wire between the engine and its store, as far as the tap reads or changes it.
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { ObjectId } from './checker/evidence.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface SqsMessage {
  readonly MessageId: string;
  readonly ReceiptHandle: string;
  readonly Body: string;
  readonly Attributes?: { readonly ApproximateReceiveCount?: string };
}

/** The object versions of an event message; none of what is no event. */
export function recordsOf(body: string): readonly ObjectId[] {
  try {
    const { Records = [] } = JSON.parse(body) as {
      Records?: { s3: { bucket: { name: string }; object: { key: string; versionId?: string } } }[];
    };
    return Records.map(({ s3 }) => ({
      bucket: s3.bucket.name,
      key: decodeURIComponent(s3.object.key.replaceAll('+', ' ')),
      version: s3.object.versionId ?? '',
    }));
  } catch {
    return [];
  }
}

/** The object that a path names (path style); undefined for a bucket, the queue and the switch. */
export function objectOf(url: string): ObjectId | undefined {
  const { pathname, searchParams } = new URL(url, 'http://store');
  const [, bucket, ...rest] = pathname.split('/');
  const key = decodeURIComponent(rest.join('/'));
  if (bucket === undefined || bucket === '' || bucket.startsWith('_') || key === '') return undefined;
  return { bucket, key, version: searchParams.get('versionId') ?? '' };
}

/** Where events are lost, of every version. */
export const placeOf = ({ bucket, key }: { bucket: string; key: string }) => JSON.stringify([bucket, key]);

/** One text per object version. */
export const versionOf = ({ bucket, key, version }: ObjectId) => JSON.stringify([bucket, key, version]);

/** The same answer with the first entry refused: what was deleted will be deleted again. */
export function oneFailed(answer: Answer): Answer {
  const parsed = JSON.parse(answer.body.toString()) as { Successful?: { Id: string }[]; Failed?: unknown[] };
  const [first, ...others] = parsed.Successful ?? [];
  if (first === undefined) return answer;
  const failed = { Id: first.Id, Code: 'InternalError', SenderFault: false, Message: 'planted' };
  return { ...answer, body: Buffer.from(JSON.stringify({ Successful: others, Failed: [...(parsed.Failed ?? []), failed] })) };
}

/** Every entry of a batch of deletes refused, and nothing deleted. */
export function answerExpired(response: ServerResponse, body: Buffer): void {
  const { Entries = [] } = JSON.parse(body.toString()) as { Entries?: { Id: string }[] };
  const Failed = Entries.map(({ Id }) => ({ Id, Code: 'ReceiptHandleIsInvalid', SenderFault: true, Message: 'planted: it has expired' }));
  response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' });
  response.end(JSON.stringify({ Successful: [], Failed }));
}

export function fail(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>planted</Message></Error>`);
}

export function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

export async function collect(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
