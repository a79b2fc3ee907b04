import type { TLSSocket } from 'node:tls';
import type { DynoProcess, OutputSink } from './dyno-process.ts';
import { createExitMarker } from './exit-marker.ts';
import { createPipedInput, endOfTransmission, type InputSink } from './piped-input.ts';

/** A client that is to come. */
export interface Attachment {
  /** The client's connection, greeted; undefined when none came in time or the wait was cancelled. */
  client: Promise<TLSSocket | undefined>;
  cancel(): void;
  /** Whether the process shall have a terminal. */
  tty: boolean;
  /** Whether somebody sits at it: the CLI sends the size of the window then, and none when its own output is no terminal. */
  keyboard: boolean;
}

/** An attached client's connection, on its way to a process. */
export interface ClientConnection {
  /** Takes the process's output; its end closes the connection. */
  output: OutputSink;
  /** From now on what the client sends is the process's input, and its going away the process's SIGHUP. */
  began(process: DynoProcess): void;
}

// Heroku closes an attached connection after an hour without input and output.
const idleMs = 3_600_000;

/**
 * Connects a greeted client. A keyboard's bytes go to the terminal as they are. Anything else has an end, which is the byte 0x04 with nothing behind it (piped-input.ts); a closed
 * connection, also one closed for writing alone, is a client that went away, because a killed one looks the same.
 */
export function connectClient(client: TLSSocket, terminal: 'none' | 'pipe' | 'keyboard'): ClientConnection {
  let process: DynoProcess | undefined;
  let over = false;
  let input: ReturnType<typeof createPipedInput> | undefined;
  const marker = createExitMarker((chunk) => {
    if (client.destroyed || !client.writable) return;
    if (client.write(chunk)) return;
    process?.io.pause();
    client.once('drain', () => process?.io.resume());
  });
  const hangUp = (): void => {
    input?.cancel();
    if (over || process === undefined) return;
    over = true;
    // Nobody reads on: let the output flow away, or the process could block on it for ever.
    process.io.resume();
    process.signal('SIGHUP');
    process.io.endInput();
  };
  // A reset is a way to go away like any other; 'close' follows.
  client.on('error', () => client.destroy());
  client.once('close', hangUp);
  client.setTimeout(idleMs, () => client.destroy());
  return {
    output: {
      push: (chunk) => marker.push(chunk),
      end() {
        over = true;
        input?.cancel();
        marker.end();
        client.end();
      },
    },
    began(started) {
      process = started;
      if (terminal === 'keyboard') {
        client.on('data', (chunk: Buffer) => started.io.write(chunk));
      } else {
        const piped = createPipedInput(terminal === 'none' ? { write: started.io.write, end: started.io.endInput } : toTerminal(started));
        input = piped;
        client.on('data', (chunk: Buffer) => piped.push(chunk));
        client.once('end', () => piped.end());
      }
      // Paused since its first line was read.
      client.resume();
      if (client.destroyed) hangUp();
    },
  };
}

// A terminal takes the byte for the end only at the beginning of a line: after an unfinished one it is given twice, or a program that reads to the end would wait for ever.
function toTerminal({ io }: DynoProcess): InputSink {
  let lineOpen = false;
  return {
    write(chunk) {
      lineOpen = chunk[chunk.length - 1] !== 0x0a;
      io.write(chunk);
    },
    end: () => io.write(Buffer.alloc(lineOpen ? 2 : 1, endOfTransmission)),
  };
}
