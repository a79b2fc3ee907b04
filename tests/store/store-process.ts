import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { root } from './running-store.ts';

const MAIN = join(import.meta.dirname, '../../src/local/store/main.ts');

/** A store as a process of its own. */
export type StoreProcess = { child: ChildProcess; port: number; endpoint: string; output: () => string };

/** What `forkStore` sets for its child. */
export function storeEnvironment(dir: string, port = 0): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    AUTOFILES_STORE_DIR: dir,
    AUTOFILES_STORE_PORT: String(port),
    AUTOFILES_STORE_ACCESS_KEY_ID: root.accessKeyId,
    AUTOFILES_STORE_SECRET_ACCESS_KEY: root.secretAccessKey,
  };
}

/** Starts `main.ts` as the supervisor does, and waits until it says that it is ready. */
export async function forkStore(dir: string, port = 0, extra: NodeJS.ProcessEnv = {}): Promise<StoreProcess> {
  const child = fork(MAIN, {
    env: { ...storeEnvironment(dir, port), ...extra },
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let output = '';
  child.stdout?.on('data', (bytes) => (output += bytes));
  child.stderr?.on('data', (bytes) => (output += bytes));
  const ready = once(child, 'message');
  const died = once(child, 'exit').then(([code]) => {
    throw new Error(`the store ended with ${code} before it was ready: ${output}`);
  });
  const [message] = await Promise.race([ready, died]);
  died.catch(() => undefined);
  if (message?.ready !== true) throw new Error(`the store's first message was ${JSON.stringify(message)}`);
  return { child, port: message.port, endpoint: `http://127.0.0.1:${message.port}`, output: () => output };
}

/** Ends a child and waits for it; returns its exit code and signal. */
export async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<[number | null, string | null]> {
  if (child.exitCode !== null || child.signalCode !== null) return [child.exitCode, child.signalCode];
  const gone = once(child, 'exit');
  child.kill(signal);
  const [code, by] = await gone;
  return [code, by];
}
