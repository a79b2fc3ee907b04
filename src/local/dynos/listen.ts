import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import type { PlatformState } from './platform-state.ts';

/** Serves HTTP on a port of loopback; 0 takes a free one. @throws Error when the port is taken. */
export async function listen(
  fetch: Parameters<typeof createAdaptorServer>[0]['fetch'],
  port: number,
  host = '127.0.0.1',
): Promise<{ server: Server; port: number }> {
  // createServer of node:http is the default, so the union's other members cannot occur.
  const server = createAdaptorServer({ fetch }) as Server;
  // Node's 5 s would close a connection just when a client, on a busy machine, takes it up again: for a POST that is an answer nobody knows.
  server.keepAliveTimeout = 120_000;
  await new Promise<void>((done, failed) => {
    server.once('error', failed);
    server.listen(port, host, () => {
      server.off('error', failed);
      done();
    });
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error(`the server listens on ${String(address)}, expected a TCP port`);
  return { server, port: address.port };
}

/** Starts something on the wanted port, or, when that is 0, on the one that it had the last time, as long as nobody else has taken it. */
export async function onKeptPort<T extends { port: number }>(
  name: string,
  wanted: number,
  state: PlatformState,
  start: (port: number) => Promise<T>,
): Promise<T> {
  const kept = wanted === 0 ? state.port(name) : wanted;
  const started = await start(kept).catch((error: unknown) => {
    if (wanted !== 0 || kept === 0 || !(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    return start(0);
  });
  state.keepPort(name, started.port);
  return started;
}
