import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A TCP port on loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done, failed) => {
    server.once('error', failed);
    server.listen(0, '127.0.0.1', done);
  });
  const address = server.address();
  await new Promise<void>((done) => server.close(() => done()));
  if (address === null || typeof address === 'string') throw new Error(`listening gave ${String(address)}, expected a TCP port`);
  return address.port;
}

const askAgainMs = 50;

/** Waits until something listens on the port of loopback; false when nothing does within `waitMs` or the signal ends the wait. */
export async function listens(port: number, waitMs: number, signal: AbortSignal): Promise<boolean> {
  const late = AbortSignal.timeout(waitMs);
  while (!late.aborted && !signal.aborted) {
    if ((await accepts(port, '127.0.0.1')) || (await accepts(port, '::1'))) return true;
    await delay(askAgainMs);
  }
  return false;
}

/** Whether something accepts connections there right now. */
function accepts(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
