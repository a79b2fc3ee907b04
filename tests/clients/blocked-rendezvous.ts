// A network that lets the Platform API through and refuses the rendezvous port: what "Timeout awaiting process" on Heroku's page is about.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createListener } from 'node:net';
import { text } from 'node:stream/consumers';

/** Passes calls on to the platform at `target`, and names a port at which nobody listens in every `attach_url`. */
export async function startBlockedRendezvous(target: string): Promise<{ url: string; port: number; close(): Promise<void> }> {
  const port = await closedPort();
  const server = createServer((request, response) => {
    const pass = async (): Promise<void> => {
      const { host: _, connection: _c, 'content-length': _l, ...headers } = request.headers;
      const body = await text(request);
      const answer = await fetch(new URL(request.url ?? '/', target), {
        method: request.method ?? 'GET',
        headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
        ...(body === '' ? {} : { body }),
      });
      const given = await answer.text();
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'application/json' });
      response.end(given.replace(/(rendezvous:\/\/[^:/"]+):\d+/g, `$1:${port}`));
    };
    pass().catch((error: unknown) => response.destroy(error instanceof Error ? error : new Error(String(error))));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    port,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A port of this machine that was free a moment ago. */
async function closedPort(): Promise<number> {
  const listener = createListener().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  listener.close();
  await once(listener, 'close');
  return port;
}
