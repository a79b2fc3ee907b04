import type { Socket } from 'node:net';
import type { OutputSink } from './dyno-process.ts';

/** The reading side of a process's output. */
export interface OutputReading {
  /** Holds the output back until `resume`, for a client that does not keep up. */
  pause(): void;
  resume(): void;
  /** Nobody waits for a client any more: a dyno that is stopped ends, whether or not somebody reads. */
  hurry(): void;
  /** Whether all was read: every writer has closed its end. */
  drained(): boolean;
  /** To be called when the process has ended: resolves when what it left is read, or is to be cut off. */
  rest(): Promise<void>;
}

/**
 * Milliseconds of flowing output after which what a process left is cut off: one that left the group and kept the output open must not keep the dyno. A full pipe is read
 * many times over in that time.
 */
const drainMs = 500;
/** Bytes after the process's end from which on somebody must still be writing: more than a pipe can hold (fs.pipe-max-size of Linux). */
const mostLeft = 1_048_576;

/** Reads `reader` into `output`. */
export function readOutput(reader: Socket, output: OutputSink): OutputReading {
  let [drained, ended, paused, patient] = [false, false, false, true];
  let left = 0;
  let timer: NodeJS.Timeout | undefined;
  let look: NodeJS.Immediate | undefined;
  let settle = (): void => {};
  const settled = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const watch = (): void => {
    clearTimeout(timer);
    clearImmediate(look);
    if (!ended || (paused && patient)) return;
    timer = setTimeout(() => {
      // A busy platform comes to its timers late and before it reads: what is there is read first.
      look = setImmediate(settle);
    }, drainMs);
  };
  reader.on('data', (chunk: Buffer) => {
    output.push(chunk);
    if (ended) left += chunk.length;
    if (left > mostLeft) settle();
  });
  reader.once('end', () => {
    drained = true;
    settle();
  });
  reader.once('error', () => settle());
  return {
    pause() {
      paused = true;
      reader.pause();
      watch();
    },
    resume() {
      paused = false;
      reader.resume();
      watch();
    },
    hurry() {
      patient = false;
      watch();
    },
    drained: () => drained,
    async rest() {
      ended = true;
      watch();
      await settled;
      clearTimeout(timer);
      clearImmediate(look);
    },
  };
}
