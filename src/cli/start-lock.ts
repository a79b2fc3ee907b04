import { rm } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { Failure } from '../schema/failures.ts';

/**
 * Holds a folder for one start at a time, by listening on a unix socket: the kernel lets go of it when the process
 * dies in whatever way. Answers with the way to let go. Throws Failure start_failed when another one holds it.
 */
export async function lockFolder(path: string): Promise<() => Promise<void>> {
  const held = await new Promise<boolean>((resolve) => {
    const probe = createConnection(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (held) {
    throw new Failure(
      'start_failed',
      'The local cloud of this app is running already. Stop that one first (Ctrl-C in its terminal), or name another app with --app DIR.',
    );
  }
  await rm(path, { force: true });
  const server = createServer((connection) => connection.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new Failure('start_failed', `Cannot listen on ${path}.`, { cause })));
    server.listen(path, resolve);
  });
  server.unref();
  return async () => {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
}
