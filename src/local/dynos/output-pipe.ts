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

/** Makes output pipes. */
export interface OutputPipes {
  /** Makes some pipes ahead of use. */
  prepare(): Promise<void>;
  open(): Promise<OutputPipe>;
}

// One `mkfifo` call makes this many: a spawn costs far more than a name.
const madeAtOnce = 32;

/**
 * Real pipes for output, by way of fifos in `dir` (emptied first). Node's own `stdio: 'pipe'` is a socket, on which `echo x > /dev/stderr` fails, and two of them lose the order
 * between stdout and stderr.
 */
export function createOutputPipes(dir: string): OutputPipes {
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

  return {
    prepare,
    async open() {
      for (;;) {
        const path = free.pop();
        if (path === undefined) {
          await prepare();
          continue;
        }
        // Reading end first and non-blocking: opening either end alone would wait for the other.
        const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
        let writeEnd: number;
        try {
          writeEnd = openSync(path, constants.O_WRONLY);
        } catch (error) {
          closeSync(readEnd);
          throw error;
        }
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
      }
    },
  };
}
