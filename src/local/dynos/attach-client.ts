import type { TLSSocket } from 'node:tls';
import type { DynoProcess, OutputSink } from './dyno-process.ts';
import { createExitMarker } from './exit-marker.ts';

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
const endOfTransmission = 0x04;

/**
 * Connects a greeted client. Without a terminal the byte 0x04 at the end of what was sent is the end of input: the CLI sends it when its own input ends, and keeps the connection
 * open for the output. A terminal takes it for the end only at the beginning of a line; where it comes from a pipe, not from a keyboard, it is given twice after an unfinished one,
 * or a program that reads to the end would wait for ever.
 */
export function connectClient(client: TLSSocket, terminal: 'none' | 'pipe' | 'keyboard'): ClientConnection {
  let lineOpen = false;
  let process: DynoProcess | undefined;
  let over = false;
  const marker = createExitMarker((chunk) => {
    if (client.destroyed || !client.writable) return;
    if (client.write(chunk)) return;
    process?.io.pause();
    client.once('drain', () => process?.io.resume());
  });
  const hangUp = (): void => {
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
        marker.end();
        client.end();
      },
    },
    began(started) {
      process = started;
      client.on('data', (chunk: Buffer) => {
        const ends = terminal !== 'keyboard' && chunk[chunk.length - 1] === endOfTransmission;
        const input = ends && terminal === 'none' ? chunk.subarray(0, -1) : chunk;
        if (input.length > 0) started.io.write(input);
        if (!ends) lineOpen = chunk[chunk.length - 1] !== 0x0a;
        else if (terminal === 'none') started.io.endInput();
        else if (chunk.length > 1 ? chunk[chunk.length - 2] !== 0x0a : lineOpen) started.io.write(Buffer.from([endOfTransmission]));
      });
      // Paused since its first line was read.
      client.resume();
      if (client.destroyed) hangUp();
    },
  };
}
