import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from './s3/context.ts';
import type { S3Error } from './s3-error.ts';
import { renderXml } from './xml.ts';

/** Who a request is, for its answer, its events and the log; when it came (milliseconds since 1970). */
export type RequestIds = { requestId: string; hostId: string; time: number };

/** Writes an answer. A HEAD gets the headers only; a streamed body is sent as fast as the client takes it. */
export async function respond(req: IncomingMessage, res: ServerResponse, ids: RequestIds, answer: Answer): Promise<void> {
  const { status, headers = {}, body = '' } = answer;
  const content = typeof body === 'string' ? Buffer.from(body) : body;
  const bodyless = req.method === 'HEAD' || status === 304 || status === 204;
  res.writeHead(status, {
    // Ours, not Node's: clients set their clocks by it, and must meet the clock that judges their signatures.
    date: new Date(ids.time).toUTCString(),
    'x-amz-request-id': ids.requestId,
    'x-amz-id-2': ids.hostId,
    ...(typeof body === 'string' && body !== '' && { 'content-type': 'application/xml' }),
    ...(!bodyless && { 'content-length': content.length }),
    ...headers,
  });
  if (!Buffer.isBuffer(content)) await sendChunks(res, content.chunks, bodyless);
  else if (bodyless || content.length === 0) res.end();
  else res.end(content);
}

async function sendChunks(res: ServerResponse, chunks: AsyncGenerator<Buffer, void, void>, bodyless: boolean): Promise<void> {
  const gone = new AbortController();
  const stop = (): void => gone.abort();
  res.once('close', stop);
  try {
    for (;;) {
      if (bodyless || res.destroyed) break;
      const { value, done } = await chunks.next();
      if (done) break;
      // A client that went away ends the wait for the drain by the abort.
      if (!res.write(value)) await once(res, 'drain', { signal: gone.signal });
    }
    res.end();
  } catch (error) {
    // The headers are out: the only way left to say that the body is not whole is to end the connection.
    res.destroy();
    if (!gone.signal.aborted) throw error;
  } finally {
    res.off('close', stop);
    await chunks.return();
  }
}

/** The answer to a refused request: the error document of S3. */
export function errorAnswer(error: S3Error, resource: string, ids: RequestIds): Answer {
  const document = {
    Code: error.code,
    Message: error.message,
    ...error.details,
    Resource: resource,
    RequestId: ids.requestId,
    HostId: ids.hostId,
  };
  return { status: error.status, headers: error.headers, body: renderXml('Error', document) };
}
