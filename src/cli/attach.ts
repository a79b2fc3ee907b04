// The client's side of an attached run: the rendezvous protocol of heroku.md 3.4.
import { readFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { connect, rootCertificates, type TLSSocket } from 'node:tls';
import { Failure } from '../schema/failures.ts';

/** Milliseconds until the connection must stand. */
const CONNECT_MS = 15_000;
/**
 * The byte that ends a piped input, with nothing behind it. Closing the connection for writing would say it better, but a client that was killed closes it, too: for the dyno that
 * is the hang-up.
 */
const END = 0x04;

/** What the dyno is connected with. `terminal`: the input is one, and its keys go to the dyno as they are typed, Ctrl-C too. */
export interface Attached {
  input: Readable & { setRawMode?: (raw: boolean) => unknown };
  output: Writable;
  terminal: boolean;
  /** PEM file of the authority that the platform's certificate comes from; undefined: those that Node trusts. */
  caFile: string | undefined;
  /** Hangs up. */
  signal: AbortSignal;
}

/**
 * Connects to `rendezvous://HOST:PORT/SECRET` and passes input and output until the dyno closes the connection.
 * @throws Failure not_running when it cannot be reached or is not trusted, with what to look at.
 */
export async function attach(url: string, attached: Attached): Promise<void> {
  const { hostname, port, pathname, search } = new URL(url);
  const at = `${hostname}:${port}`;
  const socket = await reach({ host: hostname, port: Number(port), caFile: attached.caFile, at });
  const hangUp = () => socket.destroy();
  attached.signal.addEventListener('abort', hangUp, { once: true });
  const { input, output } = attached;
  const type = (chunk: Buffer) => void socket.write(chunk);
  const piped = pipeTo(socket);
  let greeted = false;
  try {
    socket.write(`${pathname.slice(1)}${search}\r\n`);
    await new Promise<void>((resolve, reject) => {
      socket.once('close', () => resolve());
      socket.once('error', (cause) =>
        attached.signal.aborted
          ? resolve()
          : reject(new Failure('not_running', `The connection to ${at} broke: ${cause.message}`, { cause })),
      );
      socket.on('data', (chunk: Buffer) => {
        // the first chunk is the greeting; what came with it is lost for every client
        if (greeted) {
          if (!output.write(chunk)) {
            socket.pause();
            output.once('drain', () => socket.resume());
          }
          return;
        }
        greeted = true;
        if (attached.terminal) input.setRawMode?.(true);
        input.on('data', attached.terminal ? type : piped.write);
        if (!attached.terminal) input.once('end', piped.end);
        input.resume();
      });
    });
  } finally {
    attached.signal.removeEventListener('abort', hangUp);
    if (attached.terminal) input.setRawMode?.(false);
    input.off('data', type);
    input.off('data', piped.write);
    input.off('end', piped.end);
    input.pause();
  }
}

// Bytes of the data that look like its end are kept until more comes: they never stand alone at the end of what was sent, however long the input pauses.
function pipeTo(socket: TLSSocket) {
  let kept = 0;
  return {
    write: (chunk: Buffer) => {
      let end = chunk.length;
      while (end > 0 && chunk[end - 1] === END) end -= 1;
      if (end > 0) socket.write(Buffer.concat([Buffer.alloc(kept, END), chunk.subarray(0, end)]));
      kept = chunk.length - end + (end > 0 ? 0 : kept);
    },
    end: () => void socket.write(Buffer.alloc(kept + 1, END)),
  };
}

function reach(to: { host: string; port: number; caFile: string | undefined; at: string }): Promise<TLSSocket> {
  const ca = to.caFile === undefined ? {} : { ca: [...rootCertificates, readFileSync(to.caFile, 'utf8')] };
  return new Promise((resolve, reject) => {
    const socket = connect({ host: to.host, port: to.port, ...ca });
    const late = setTimeout(() => socket.destroy(new Error(`no answer within ${CONNECT_MS / 1000} s`)), CONNECT_MS);
    socket.once('secureConnect', () => {
      clearTimeout(late);
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (cause) => {
      clearTimeout(late);
      const untrusted = 'code' in cause && /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(String(cause.code));
      const fix = untrusted
        ? 'NODE_EXTRA_CA_CERTS must name the file that `.autofiles/env` names.'
        : `Test it with \`openssl s_client -connect ${to.at}\`: a firewall or a stopped platform refuses it.`;
      reject(
        new Failure('not_running', `Timeout awaiting process: the dyno cannot be reached at ${to.at} (${cause.message}). ${fix}`, {
          cause,
        }),
      );
    });
  });
}
