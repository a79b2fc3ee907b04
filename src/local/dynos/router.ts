import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebDyno } from './formation.ts';
import { isLoopback } from './guard-requests.ts';
import type { LogStore } from './log-store.ts';

/** The app's one front door: gives each request to a web dyno in turn. */
export interface Router {
  port: number;
  close(): Promise<void>;
}

export interface RouterDeps {
  /** The dynos that may be asked now. */
  web: () => readonly WebDyno[];
  /** Whether the app has web dynos that are not up. */
  crashed: () => boolean;
  log: LogStore;
  id: () => string;
  now: () => number;
  port: number;
}

// Heroku's router gives up on an answer that has not begun after 30 s (H12).
const answerMs = 30_000;
// Connections belong to one hop and are not passed on.
const hopHeaders = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

interface Failure {
  code: string;
  desc: string;
}

/** Starts the router on loopback. Requests are balanced in turn, web sockets too; without a web dyno that is up it answers 503 with Heroku's H codes in the log. */
export async function startRouter(deps: RouterDeps): Promise<Router> {
  let turn = 0;
  const next = (): WebDyno | undefined => {
    const dynos = deps.web();
    turn += 1;
    return dynos[turn % Math.max(1, dynos.length)];
  };
  const nobody = (): Failure => (deps.crashed() ? { code: 'H10', desc: 'App crashed' } : { code: 'H14', desc: 'No web processes running' });
  const server = createServer((incoming, answer) => {
    if (!isLoopback(`http://${incoming.headers.host ?? ''}`))
      return void answer.writeHead(403).end('The local router answers 127.0.0.1 and localhost only.\n');
    const dyno = next();
    const hop = beginHop(incoming, dyno, deps);
    if (dyno === undefined) return refuse(answer, hop, nobody());
    forward(incoming, answer, dyno, hop);
  });
  server.on('upgrade', (incoming: IncomingMessage, client: Duplex, head: Buffer) => {
    const dyno = next();
    if (dyno === undefined || !isLoopback(`http://${incoming.headers.host ?? ''}`))
      return void client.end('HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n');
    upgrade(incoming, client, head, dyno, beginHop(incoming, dyno, deps));
  });
  await listen(server, deps.port);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error(`the router listens on ${String(address)}, expected a TCP port`);
  return {
    port: address.port,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

// What is known of one request on its way, for its headers and its log line.
interface Hop {
  headers: Record<string, string | string[]>;
  log(status: number, bytes: number, failure?: Failure): void;
}

function beginHop(incoming: IncomingMessage, dyno: WebDyno | undefined, { id, now, log }: RouterDeps): Hop {
  const begun = now();
  const from = incoming.socket.remoteAddress ?? '127.0.0.1';
  const sent = incoming.headers['x-request-id'];
  const requestId = typeof sent === 'string' && /^[\w-]{20,200}$/.test(sent) ? sent : id();
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(incoming.headers)) if (value !== undefined && !hopHeaders.has(name)) headers[name] = value;
  const before = incoming.headers['x-forwarded-for'];
  headers['x-forwarded-for'] = before === undefined ? from : `${before}, ${from}`;
  headers['x-forwarded-proto'] = 'http';
  headers['x-forwarded-port'] = String(incoming.socket.localPort ?? '');
  headers['x-request-start'] = String(begun);
  headers['x-request-id'] = requestId;
  headers['via'] = '1.1 autofiles-router';
  return {
    headers,
    log(status, bytes, failure) {
      const what = failure === undefined ? 'at=info' : `at=error code=${failure.code} desc="${failure.desc}"`;
      const { method = '', url = '', headers: asked } = incoming;
      log.append(
        'heroku',
        'router',
        `${what} method=${method} path="${url.slice(0, 2_000)}" host=${asked.host ?? ''} request_id=${requestId} fwd="${from}" dyno=${dyno?.name ?? ''} service=${now() - begun}ms status=${status} bytes=${bytes} protocol=http`,
      );
    },
  };
}

function refuse(answer: ServerResponse, hop: Hop, failure: Failure): void {
  const body = `Application error (${failure.code}: ${failure.desc}). See the app's logs.\n`;
  if (!answer.headersSent) answer.writeHead(503, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' });
  answer.end(body);
  hop.log(503, body.length, failure);
}

function forward(incoming: IncomingMessage, answer: ServerResponse, dyno: WebDyno, hop: Hop): void {
  const outgoing = request({ host: '127.0.0.1', port: dyno.port, method: incoming.method, path: incoming.url, headers: hop.headers });
  let failed = false;
  const fail = (failure: Failure): void => {
    if (failed) return;
    failed = true;
    outgoing.destroy();
    if (answer.headersSent) {
      answer.destroy();
      hop.log(503, 0, failure);
    } else refuse(answer, hop, failure);
  };
  const late = setTimeout(fail, answerMs, { code: 'H12', desc: 'Request timeout' });
  outgoing.once('response', (response) => {
    clearTimeout(late);
    const headers = Object.entries(response.headers).filter(([name, value]) => value !== undefined && !hopHeaders.has(name));
    answer.writeHead(response.statusCode ?? 502, Object.fromEntries(headers));
    let bytes = 0;
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    response.once('end', () => hop.log(response.statusCode ?? 502, bytes));
    response.once('error', () => fail({ code: 'H18', desc: 'Server Request Interrupted' }));
    response.pipe(answer);
  });
  outgoing.once('error', () => {
    clearTimeout(late);
    fail({ code: 'H13', desc: 'Connection closed without response' });
  });
  answer.once('close', () => {
    clearTimeout(late);
    outgoing.destroy();
  });
  incoming.pipe(outgoing);
}

// The upgrade is passed on as it came; from then on both sides speak to each other.
function upgrade(incoming: IncomingMessage, client: Duplex, head: Buffer, dyno: WebDyno, hop: Hop): void {
  const server = connect(dyno.port, '127.0.0.1', () => {
    const headers = { ...hop.headers, connection: 'Upgrade', upgrade: incoming.headers.upgrade ?? 'websocket' };
    const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}\r\n`));
    server.write(`${incoming.method ?? 'GET'} ${incoming.url ?? '/'} HTTP/1.1\r\n${lines.join('')}\r\n`);
    server.write(head);
    server.pipe(client);
    client.pipe(server);
  });
  const end = (): void => {
    server.destroy();
    client.destroy();
  };
  server.once('error', end);
  client.once('error', end);
  client.once('close', end);
  server.once('close', () => {
    hop.log(101, server.bytesRead);
    end();
  });
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((done, failed) => {
    server.once('error', failed);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', failed);
      done();
    });
  });
}
