// The local store in a process of its own, on the same folder and port each time it is started.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ROOT } from './settings.ts';

const STORE = fileURLToPath(new URL('../../src/local/store/main.ts', import.meta.url));
export const NODE_ARGS = ['--disable-warning=ExperimentalWarning'];

/** Starts it; `port` is the same after it was killed and started again. */
export async function openStore(storeDir: string): Promise<{ port(): number; start(): Promise<void>; kill(): Promise<void> }> {
  await mkdir(storeDir, { recursive: true });
  let store: ChildProcess | undefined;
  let storePort = 0;

  const start = async () => {
    const child = spawn(process.execPath, [...NODE_ARGS, STORE], {
      env: {
        PATH: process.env['PATH'],
        AUTOFILES_STORE_DIR: storeDir,
        AUTOFILES_STORE_PORT: String(storePort),
        AUTOFILES_STORE_ACCESS_KEY_ID: ROOT.accessKeyId,
        AUTOFILES_STORE_SECRET_ACCESS_KEY: ROOT.secretAccessKey,
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const [ready] = await once(child, 'message');
    storePort = ready.port;
    store = child;
  };
  await start();

  const kill = async () => {
    const child = store;
    if (child === undefined) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };

  return { port: () => storePort, start, kill };
}
