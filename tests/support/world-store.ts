// The local store of a world of real processes: in this process, or in one of its own that can be killed.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type RunningStore, startStore } from '../../src/local/store/start-store.ts';
import { leash } from './leash.ts';

const STORE = fileURLToPath(new URL('./store-process.ts', import.meta.url));
const NODE_ARGS = ['--disable-warning=ExperimentalWarning'];

/** Starts it on a folder. `clock`: milliseconds that its clock is ahead; `children`: where its process stands while it lives. */
export async function startWorldStore(options: {
  dir: string;
  clock: { ahead: number };
  root: { accessKeyId: string; secretAccessKey: string };
  children: Set<ChildProcess>;
  ownProcess: boolean;
}) {
  const { dir, clock, root, children } = options;
  let store: RunningStore | undefined;
  let own: ChildProcess | undefined;
  let port = 0;

  async function launch(): Promise<void> {
    if (!options.ownProcess) {
      store = await startStore({
        dir,
        port: 0,
        region: 'us-east-1',
        root,
        now: () => Date.now() + clock.ahead,
        random: Math.random,
        randomBytes,
        id: randomUUID,
        onError: (error) => console.error('store:', error),
      });
      port = store.port;
      return;
    }
    const child = spawn(process.execPath, [...NODE_ARGS, STORE], {
      env: {
        PATH: process.env['PATH'],
        STORE_DIR: dir,
        STORE_PORT: String(port),
        STORE_KEY: JSON.stringify(root),
        STORE_AHEAD_MS: String(clock.ahead),
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    children.add(child);
    leash(child);
    own = child;
    const [ready] = await once(child, 'message');
    port = ready.port;
  }
  await launch();

  return {
    port: () => port,
    /** SIGKILL of its process, and a new one on the same folder and port whose clock is so many milliseconds further on. */
    crash: async (ms: number): Promise<void> => {
      const child = own;
      if (child === undefined) throw new Error('the store is no process of its own');
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
      children.delete(child);
      clock.ahead += ms;
      await launch();
    },
    close: async (): Promise<void> => await store?.close(100),
  };
}
