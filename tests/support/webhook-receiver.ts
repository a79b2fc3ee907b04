// A customer's server: real HTTPS on loopback, which keeps what it is told and answers as it is asked to.
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localCertificate } from '../../src/local/dynos/local-ca.ts';

interface Received {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** `answers`: what the next deliveries are answered with, 204 when there is none; `ca`: who signed its certificate. */
export async function startReceiver() {
  const folder = await mkdtemp(join(tmpdir(), 'af-webhooks-'));
  const certificate = localCertificate(folder, Date.now());
  const received: Received[] = [];
  const answers: { status: number; location?: string }[] = [];
  const server = createServer({ key: certificate.key, cert: certificate.cert }, (req, res) => {
    let body = '';
    req.on('data', (chunk) => {
      body += chunk;
    });
    req.on('end', () => {
      received.push({ path: req.url ?? '', headers: req.headers, body });
      const { status, location } = answers.shift() ?? { status: 204 };
      res.writeHead(status, location === undefined ? {} : { location }).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `https://127.0.0.1:${port}`,
    ca: await readFile(certificate.caFile, 'utf8'),
    received,
    answers,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
export type Receiver = Awaited<ReturnType<typeof startReceiver>>;
