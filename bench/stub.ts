// S3 and Heroku as the bench needs them: a process of its own that answers at once over HTTP. An object's key tells
// what its metadata is, so nothing is stored: `out/<task>` is that task's output, any other
// key carries the workflow that its first part names.
import { createServer, type ServerResponse } from 'node:http';
import { WORKFLOWS } from './workflows.ts';

const texts = new Map(Object.entries(WORKFLOWS).map(([name, workflow]) => [name, JSON.stringify(workflow)]));
let dynos = 0;

function answer(response: ServerResponse, status: number, headers: Record<string, string>, body = ''): void {
  response.writeHead(status, { 'content-length': String(Buffer.byteLength(body)), ...headers });
  response.end(body);
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
  request.resume();
  request.on('end', () => {
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
