import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isLoopbackOrigin, readHost } from './host.ts';
import { type ParsedRequest, parseRequest } from './http-request.ts';
import { serveSqs, serveSts } from './queue-service.ts';
import { errorAnswer, type RequestIds, respond } from './respond.ts';
import type { Answer } from './s3/context.ts';
import { S3Error } from './s3-error.ts';
import { forPages, type S3Service, serveS3 } from './s3-service.ts';
import { serveSwitch } from './switch-service.ts';

/** What the store's one HTTP server works with. */
export type ServerDeps = S3Service &
  Parameters<typeof serveSqs>[0] &
  Parameters<typeof serveSts>[0] &
  Parameters<typeof serveSwitch>[0] & {
    now: () => number;
    /** Random bytes, for request ids. */
    random: (bytes: number) => Buffer;
    /** Told of every error that is the store's own fault. */
    onError: (error: unknown, request: { method: string; url: string; requestId: string }) => void;
  };

// Longer than a client's long poll (20 s), and than it keeps a connection for the next request.
const IDLE_MS = 120_000;
const MAX_HEADER_BYTES = 32 * 1024;

/** Makes the server, not yet listening. */
export function createStoreServer(deps: ServerDeps): Server {
  const server = createServer({
    keepAliveTimeout: IDLE_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    // 5 GiB over a slow disk may take longer than Node's five minutes for a whole request; an idle connection ends by the timeout below.
    requestTimeout: 0,
    noDelay: true,
  });
  server.setTimeout(IDLE_MS);
  server.on('request', (req, res) => void serve(deps, req, res));
  server.on('checkContinue', (req, res) => void serve(deps, req, res));
  return server;
}

async function serve(deps: ServerDeps, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const ids: RequestIds = {
    requestId: deps.random(8).toString('hex').toUpperCase(),
    hostId: deps.random(18).toString('base64'),
    time: deps.now(),
  };
  try {
    await respond(req, res, ids, await answerOf(deps, req, res, ids));
  } catch (error) {
    deps.onError(error, { method: req.method ?? '', url: req.url ?? '', requestId: ids.requestId });
    res.destroy();
  }
}

async function answerOf(deps: ServerDeps, req: IncomingMessage, res: ServerResponse, ids: RequestIds): Promise<Answer> {
  try {
    const request = parseRequest(req);
    const host = readHost(request.headers['host']);
    if (!host.loopback)
      throw new S3Error(
        'AccessDenied',
        `The Host header ${JSON.stringify(request.headers['host'] ?? '')} is not a name of this machine; this store answers to 127.0.0.1 and *.localhost only.`,
      );
    const origin = request.headers['origin'];
    if (origin !== undefined && !isLoopbackOrigin(origin))
      throw new S3Error('AccessDenied', `Requests from web pages of ${origin} are refused.`);
    return await dispatch(deps, req, res, request, ids, host.bucket);
  } catch (error) {
    const path = (req.url ?? '').split('?', 1)[0] ?? '';
    if (error instanceof S3Error) return errorAnswer(error, path, ids);
    deps.onError(error, { method: req.method ?? '', url: path, requestId: ids.requestId });
    return errorAnswer(new S3Error('InternalError'), path, ids);
  }
}

async function dispatch(
  deps: ServerDeps,
  req: IncomingMessage,
  res: ServerResponse,
  request: ParsedRequest,
  ids: RequestIds,
  hostBucket: string | undefined,
): Promise<Answer> {
  const welcomeBody = (): void => {
    if (request.headers['expect']?.toLowerCase() === '100-continue' && !res.headersSent) res.writeContinue();
  };
  const call = { ids, baseUrl: `http://${request.headers['host']}`, goneSignal: () => goneSignal(req, res) };
  if (request.headers['x-amz-target'] !== undefined) {
    welcomeBody();
    return await serveSqs(deps, req, request, call);
  }
  const isForm = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') ?? false;
  if (request.method === 'POST' && request.rawPath === '/' && isForm && hostBucket === undefined) {
    welcomeBody();
    return await serveSts(deps, req, request, call);
  }
  if (request.rawPath.startsWith('/_autofiles/')) return await serveSwitch(deps, req, request);
  const answer = await serveS3(deps, req, request, { ids, hostBucket, welcomeBody }).catch((error: unknown) => {
    if (error instanceof S3Error) return errorAnswer(error, request.rawPath, ids);
    throw error;
  });
  return forPages(deps, request, hostBucket, answer);
}

function goneSignal(req: IncomingMessage, res: ServerResponse): AbortSignal {
  const gone = new AbortController();
  // Also fires after a normal answer, when nobody listens any more.
  res.once('close', () => gone.abort());
  // Not req.destroyed: a request whose body was read to its end counts as destroyed too.
  if (req.socket.destroyed) gone.abort();
  return gone.signal;
}
