// S3 and Heroku as the bench needs them: a process of its own that answers at once over HTTP. An object's key tells
// what its metadata is, so nothing is stored: `out/<task>` is that task's output, any other
// key carries the workflow that its first part names.
import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import { WORKFLOWS } from './workflows.ts';

const texts = new Map(Object.entries(WORKFLOWS).map(([name, workflow]) => [name, JSON.stringify(workflow)]));
let dynos = 0;
/** Events that SQS still has to hand out, and those that were not deleted yet: what `PUT /fill/<bucket>/<count>` asked for. */
const queue = { bucket: '', next: 0, last: 0, open: 0 };

function answer(response: ServerResponse, status: number, headers: Record<string, string>, body = ''): void {
  response.writeHead(status, { 'content-length': String(Buffer.byteLength(body)), ...headers });
  response.end(body);
}

/** SQS' JSON protocol, as far as a consumer of one queue needs it. */
function answerQueue(target: string, text: string): unknown {
  const body = JSON.parse(text) as { Entries?: { Id: string }[]; MaxNumberOfMessages?: number };
  if (target.endsWith('.ReceiveMessage')) {
    const most = Math.min(body.MaxNumberOfMessages ?? 1, queue.last - queue.next);
    return { Messages: Array.from({ length: most }, nextMessage) };
  }
  const done = (body.Entries ?? []).map(({ Id }) => ({ Id }));
  if (target.endsWith('.DeleteMessageBatch')) queue.open -= done.length;
  return { Successful: done, Failed: [] };
}

function nextMessage() {
  queue.next += 1;
  const object = { key: `single/http-${queue.next}`, versionId: `v-${queue.next}`, eTag: 'e', size: 1 };
  const record = {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    eventName: 'ObjectCreated:Put',
    s3: { bucket: { name: queue.bucket }, object },
  };
  const Body = JSON.stringify({ Records: [record] });
  const id = String(queue.next);
  return {
    MessageId: id,
    ReceiptHandle: id,
    Body,
    MD5OfBody: createHash('md5').update(Body).digest('hex'),
    Attributes: { ApproximateReceiveCount: '1' },
  };
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://stub');
  if (request.method === 'HEAD') {
    const key = decodeURIComponent(url.pathname.split('/').slice(2).join('/'));
    const metadata: Record<string, string> = key.startsWith('out/')
      ? { 'x-amz-meta-ld_task_id': key.slice('out/'.length) }
      : { 'x-amz-meta-ld_code': texts.get(key.split('/', 1)[0] ?? '') ?? '' };
    answer(response, 200, {
      etag: '"e"',
      'x-amz-version-id': url.searchParams.get('versionId') ?? 'v',
      'content-type': 'text/plain',
      ...metadata,
    });
    return;
  }
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    const target = request.headers['x-amz-target'];
    if (typeof target === 'string') {
      answer(
        response,
        200,
        { 'content-type': 'application/x-amz-json-1.0' },
        JSON.stringify(answerQueue(target, Buffer.concat(parts).toString())),
      );
      return;
    }
    const [, what, bucket = '', count] = url.pathname.split('/');
    if (what === 'fill') {
      if (request.method === 'PUT') Object.assign(queue, { bucket, next: 0, last: Number(count), open: Number(count) });
      answer(response, 200, { 'content-type': 'application/json' }, JSON.stringify(queue));
      return;
    }
    if (request.method === 'POST' && url.pathname.endsWith('/dynos')) {
      dynos += 1;
      const now = new Date().toISOString();
      const body = {
        id: `00000000-0000-4000-8000-${String(dynos).padStart(12, '0')}`,
        name: `run.${dynos}`,
        type: 'run',
        command: 'x',
        size: 'Basic',
        state: 'starting',
        attach_url: null,
        app: { id: 'a', name: 'a' },
        release: { id: 'r', version: 1 },
        created_at: now,
        updated_at: now,
      };
      answer(response, 201, { 'content-type': 'application/json' }, JSON.stringify(body));
      return;
    }
    answer(response, 200, { 'content-type': 'application/json' }, '[]');
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ port: typeof address === 'object' && address !== null ? address.port : 0 });
});
process.on('disconnect', () => process.exit(0));
