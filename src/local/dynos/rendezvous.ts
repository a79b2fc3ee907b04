import { setTimeout as delay } from 'node:timers/promises';
import { createServer, type TLSSocket } from 'node:tls';
import type { LocalCertificate } from './local-ca.ts';

/** Where clients of attached runs meet their dynos: TLS, then one line with a secret (heroku.md 3.4). */
export interface Rendezvous {
  port: number;
  /** Waits for one client at `url`, at most `waitMs`. The secret in it is good for one connection. */
  expect(waitMs: number): { url: string; client: Promise<TLSSocket | undefined>; cancel: () => void };
  close(): Promise<void>;
}

// A secret is 43 characters; a client that sends more before its line's end, or takes longer, is no client of ours.
const longestLine = 1_024;
const lineMs = 30_000;

/** Starts the rendezvous server on loopback. */
export async function startRendezvous(deps: { certificate: LocalCertificate; secret: () => string; port: number }): Promise<Rendezvous> {
  const expected = new Map<string, (client: TLSSocket | undefined) => void>();
  const sockets = new Set<TLSSocket>();
  const server = createServer({ key: deps.certificate.key, cert: deps.certificate.cert }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    readLine(socket, (line) => {
      const meet = expected.get(line);
      expected.delete(line);
      if (meet === undefined) socket.destroy();
      // The CLI throws the first chunk away, whatever is in it: the process may write only when the greeting has gone.
      else socket.write('rendezvous\r\n', () => meet(socket));
    });
  });
  await new Promise<void>((done, failed) => {
    server.once('error', failed);
    server.listen(deps.port, '127.0.0.1', () => {
      server.off('error', failed);
      done();
    });
  });
  // A failed handshake (the client does not trust the certificate) ends that connection alone.
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error(`the rendezvous listens on ${String(address)}, expected a TCP port`);
  const { port } = address;

  return {
    port,
    expect(waitMs) {
      const secret = deps.secret();
      const settled = new AbortController();
      const client = new Promise<TLSSocket | undefined>((resolve) => {
        expected.set(secret, resolve);
        delay(waitMs, undefined, { signal: settled.signal }).then(
          () => resolve(undefined),
          () => resolve(undefined),
        );
      });
      void client.then(() => {
        expected.delete(secret);
        settled.abort();
      });
      return { url: `rendezvous://127.0.0.1:${port}/${secret}`, client, cancel: () => settled.abort() };
    },
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function readLine(socket: TLSSocket, use: (line: string) => void): void {
  let read: Buffer = Buffer.alloc(0);
  const late = setTimeout(() => socket.destroy(), lineMs);
  socket.once('close', () => clearTimeout(late));
  const take = (chunk: Buffer): void => {
    read = Buffer.concat([read, chunk]);
    const end = read.indexOf('\r\n');
    if (end < 0) {
      if (read.length > longestLine) socket.destroy();
      return;
    }
    clearTimeout(late);
    socket.off('data', take);
    socket.pause();
    // What came after the line is the process's input.
    if (read.length > end + 2) socket.unshift(read.subarray(end + 2));
    use(read.toString('utf8', 0, end));
  };
  socket.on('data', take);
}
