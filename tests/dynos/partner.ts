import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { Provider } from '../../src/local/dynos/addons/providers.ts';

/** A call that the platform made. */
export interface PartnerCall {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  // The tests state what they expect of it.
  body: Record<string, never>;
}

/** What the provider answers: a status with a JSON body, or `hang up` to break the connection. */
export type PartnerReply = { status: number; body?: unknown } | 'hang up';

/** A provider of add-ons that answers as it is told and keeps what it was asked. */
export async function startPartner(reply: (call: PartnerCall) => PartnerReply) {
  const calls: PartnerCall[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    request.on('end', () => {
      const isJson = text !== '' && request.headers['content-type'] === 'application/json';
      const call = {
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        body: isJson ? JSON.parse(text) : Object.fromEntries(new URLSearchParams(text)),
      };
      calls.push(call);
      const said = reply(call);
      if (said === 'hang up') {
        request.socket.destroy();
        return;
      }
      response.writeHead(said.status, { 'content-type': 'application/json' });
      response.end(said.body === undefined ? '' : JSON.stringify(said.body));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const base = `http://127.0.0.1:${port}`;
  const provider: Provider = {
    id: 'line-d',
    name: 'line^d',
    password: 'super-secret',
    ssoSalt: '2f97bfa52ca102f8874716e2eb1d3b4920ad0be4',
    clientSecret: 'client-secret',
    prefix: 'LD',
    configVars: ['LD_S3_BUCKET', 'LD_REGION'],
    requires: [],
    baseUrl: `${base}/heroku/resources`,
    ssoUrl: `${base}/heroku/sso`,
    plans: [
      { name: 'free', humanName: 'Free', description: 'for a start', cents: 0, default: true },
      { name: 'basic', humanName: 'Basic', description: 'for more', cents: 1_500, default: false },
    ],
    permissions: new Set(['dynos']),
  };
  return {
    base,
    calls,
    provider,
    close: () =>
      new Promise<void>((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
