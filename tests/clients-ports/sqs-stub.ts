// An SQS of one queue for tests: the JSON protocol, with every request recorded and every answer open to interference.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

interface SqsRequest {
  /** `ReceiveMessage`, `DeleteMessageBatch` … */
  readonly action: string;
  // the stub's tests know what they sent
  readonly body: Record<string, unknown>;
  /** When it arrived, ms of a monotonic clock. */
  readonly at: number;
}

/** What the test does instead of the stub's own answer; undefined leaves it to the stub. */
export type Interference = (request: SqsRequest, response: ServerResponse) => boolean | undefined;

export async function startSqsStub(interfere: Interference = () => undefined) {
  const requests: SqsRequest[] = [];
  const waiting: Array<{ id: string; body: string; received: number }> = [];
  const pollers: Array<() => void> = [];
  let watchers: Array<() => void> = [];
  let next = 0;

  const take = () =>
    waiting.splice(0, 10).map(({ id, body, received }) => ({
      MessageId: id,
      ReceiptHandle: `handle-of-${id}`,
      Body: body,
      MD5OfBody: createHash('md5').update(body).digest('hex'),
      Attributes: { ApproximateReceiveCount: String(received + 1) },
    }));

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const action = String(request.headers['x-amz-target']).replace('AmazonSQS.', '');
    const one: SqsRequest = { action, body: JSON.parse(Buffer.concat(chunks).toString('utf8')), at: performance.now() };
    requests.push(one);
    for (const watch of watchers) watch();
    if (interfere(one, response)) return;
    const entries = Array.isArray(one.body['Entries']) ? one.body['Entries'] : [];
    if (action === 'ReceiveMessage') {
      const answer = () => {
        if (waiting.length === 0) pollers.push(answer);
        else if (!response.destroyed) sendJson(response, 200, { Messages: take() });
      };
      answer();
    } else if (action.endsWith('Batch')) {
      sendJson(response, 200, { Successful: entries.map((entry: { Id: string }) => ({ Id: entry.Id })), Failed: [] });
    } else sendJson(response, 200, {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // an AddressInfo for a TCP server
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  return {
    endpoint,
    url: `${endpoint}/000000000000/events`,
    requests,
    of: (action: string) => requests.filter((request) => request.action === action),
    /** Puts messages into the queue. */
    send(bodies: readonly string[], received = 0) {
      for (const body of bodies) {
        next += 1;
        waiting.push({ id: `m${next}`, body, received });
      }
      for (const answer of pollers.splice(0)) answer();
    },
    /** Resolves when `condition` holds, looked at after every request. */
    async until(condition: () => boolean): Promise<void> {
      while (!condition()) {
        await new Promise<void>((resolve) => {
          const watch = () => {
            watchers = watchers.filter((other) => other !== watch);
            setImmediate(resolve);
          };
          watchers.push(watch);
        });
      }
    },
    async close() {
      server.closeAllConnections();
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' });
  response.end(JSON.stringify(body));
}
