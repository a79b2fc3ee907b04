import { execFile } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** One pipe that carries a process's stdout and stderr: the process gets `writeEnd` for both, the platform reads `reader`. */
export interface OutputPipe {
  writeEnd: number;
  reader: Socket;
  /** Closes what is still open. `drained` says that every writer closed its end, so that the pipe may be used again. */
  done(drained: boolean): void;
}

/** One pipe that carries a process's stdin: the process gets `readEnd`, the platform writes to `writer`, whose end is the end of input. */
export interface InputPipe {
  readEnd: number;
  writer: Socket;
}

/** Makes pipes for processes. */
export interface ProcessPipes {
  /** Makes some ahead of use. */
  prepare(): Promise<void>;
  openOutput(): Promise<OutputPipe>;
  openInput(): Promise<InputPipe>;
}

// One `mkfifo` call makes this many: a spawn costs far more than a name.
const madeAtOnce = 32;

/**
 * Real pipes, by way of fifos in `dir` (emptied first). Node's own `stdio: 'pipe'` is a socket: `echo x > /dev/stderr` fails on it, two of them lose the order between stdout and stderr,
 * and bash takes a socket on stdin for a remote login and reads ~/.bashrc.
 */
export function createProcessPipes(dir: string): ProcessPipes {
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const free: string[] = [];
  let made = 0;
  let making: Promise<void> | undefined;

  const make = async (): Promise<void> => {
    const paths = Array.from({ length: madeAtOnce }, (_, index) => join(dir, String(made + index)));
    made += madeAtOnce;
    try {
      await promisify(execFile)('mkfifo', ['-m', '600', ...paths]);
    } catch (cause) {
      throw new Error(`mkfifo could not make output pipes in ${dir}; the folder must be on a file system with fifos`, { cause });
    }
    free.push(...paths);
  };

  const prepare = (): Promise<void> => {
    making ??= make().finally(() => {
      making = undefined;
    });
    return making;
  };

  const take = async (): Promise<string> => {
    for (;;) {
      const path = free.pop();
      if (path !== undefined) return path;
      await prepare();
    }
  };

  return {
    prepare,
    async openOutput() {
      const path = await take();
      // Reading end first and non-blocking: opening either end alone would wait for the other.
      const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const writeEnd = orClose(readEnd, () => openSync(path, constants.O_WRONLY));
      const reader = new Socket({ fd: readEnd, readable: true, writable: false });
      return {
        writeEnd,
        reader,
        done(drained) {
          reader.destroy();
          if (drained) free.push(path);
          else rmSync(path, { force: true });
        },
      };
    },
    async openInput() {
      const path = await take();
      // The process wants a blocking end. It can be opened without waiting once there is a writer, and a writer once there is some reader.
      const firstReader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const writeEnd = orClose(firstReader, () => openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
      const readEnd = orClose(firstReader, () => orClose(writeEnd, () => openSync(path, constants.O_RDONLY)));
      closeSync(firstReader);
      rmSync(path, { force: true });
      return { readEnd, writer: new Socket({ fd: writeEnd, readable: false, writable: true }) };
    },
  };
}

// Opens one more file; when that fails the one that is open already is closed.
function orClose(file: number, open: () => number): number {
  try {
    return open();
  } catch (error) {
    closeSync(file);
    throw error;
  }
}
