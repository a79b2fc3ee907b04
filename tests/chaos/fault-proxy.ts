import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createConnection, createServer, type NetConnectOpts, type Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** What the proxy does with bytes. `deaf`: nothing passes and nobody is told. `lossy`: requests arrive, answers are lost and the connection with them. */
export type ProxyMode = 'pass' | 'refuse' | 'deaf' | 'lossy' | { readonly delayMs: number };

export interface FaultProxy {
  /** Port on 127.0.0.1; 0 for a unix socket. */
  readonly port: number;
  set(mode: ProxyMode): void;
  /** Ends every connection that is open now. */
  cut(): void;
  close(): Promise<void>;
}

const delayOf = (mode: ProxyMode): number => (typeof mode === 'object' ? mode.delayMs : 0);

/** Writes what it is given after a delay (ms), and never before what it was given earlier: late bytes are no faults, disordered ones would be. */
export function inOrder(to: Writable): (data: Buffer, delay: number) => void {
  const waiting: { readonly data: Buffer; readonly due: number }[] = [];
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    timer = undefined;
    for (let first = waiting[0]; first !== undefined && first.due <= performance.now(); first = waiting[0]) {
      waiting.shift();
      if (to.writable) to.write(first.data);
    }
    if (waiting[0] !== undefined) timer = setTimeout(flush, Math.max(1, waiting[0].due - performance.now()));
  };
  return (data, delay) => {
    waiting.push({ data, due: performance.now() + delay });
    if (timer === undefined) flush();
  };
}

/** Stands between one worker and one service, on a free port or a unix socket. */
export async function startFaultProxy(target: NetConnectOpts, listenOn: { port: number } | { path: string }): Promise<FaultProxy> {
  let mode: ProxyMode = 'pass';
  const open = new Set<Socket>();

  const server = createServer((client) => {
    if (mode === 'refuse') {
      client.on('error', () => {});
      client.destroy();
      return;
    }
    const service = createConnection(target);
    const end = () => {
      client.destroy();
      service.destroy();
    };
    for (const side of [client, service]) {
      open.add(side);
      side.setNoDelay(true);
      side.on('error', end);
      side.on('close', () => {
        open.delete(side);
        end();
      });
    }
    const toService = inOrder(service);
    const toClient = inOrder(client);
    client.on('data', (data) => {
      if (mode !== 'deaf') toService(data, delayOf(mode));
    });
    service.on('data', (data) => {
      if (mode === 'lossy') end();
      else if (mode !== 'deaf') toClient(data, delayOf(mode));
    });
  });
  if ('path' in listenOn) server.listen(listenOn.path);
  else server.listen(listenOn.port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();

  const cut = () => {
    for (const side of open) side.destroy();
  };
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    set: (next) => {
      // what went into a deaf connection is lost in its middle: the connection is of no use any more
      if (mode === 'deaf') cut();
      mode = next;
      if (next === 'refuse') cut();
    },
    cut,
    close: async () => {
      cut();
      const closed = once(server, 'close');
      server.close();
      await closed;
      if ('path' in listenOn) rmSync(listenOn.path, { force: true });
    },
  };
}
