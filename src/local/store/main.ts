import { randomBytes, randomUUID } from 'node:crypto';
import { onSupervisorGone, tellSupervisor } from '../supervised.ts';
import { parseChaos } from './chaos.ts';
import { type RunningStore, startStore } from './start-store.ts';

// The store as a process of its own: configured by the environment, supervised over IPC when it has a parent.

function required(name: string): string {
  const value = process.env[name];
  if (!value)
    throw new Error(
      `The variable ${name} is missing: the store's folder and root credential come from AUTOFILES_STORE_DIR, AUTOFILES_STORE_ACCESS_KEY_ID and AUTOFILES_STORE_SECRET_ACCESS_KEY.`,
    );
  return value;
}

function readPort(): number {
  const text = process.env['AUTOFILES_STORE_PORT'] || '0';
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port < 65536) return port;
  throw new Error(`The variable AUTOFILES_STORE_PORT is ${JSON.stringify(text)}, expected a port number (0 takes a free one).`);
}

async function start(): Promise<RunningStore> {
  if (process.env['NODE_ENV'] === 'production') {
    throw new Error(
      'The local store refuses to run with NODE_ENV=production: it is for development. In production, point the engine at AWS.',
    );
  }
  const chaos = process.env['AUTOFILES_CHAOS'];
  return await startStore({
    dir: required('AUTOFILES_STORE_DIR'),
    port: readPort(),
    ...(process.env['AUTOFILES_LOCAL_HOST'] && { host: process.env['AUTOFILES_LOCAL_HOST'] }),
    region: process.env['AUTOFILES_REGION'] || 'us-east-1',
    root: { accessKeyId: required('AUTOFILES_STORE_ACCESS_KEY_ID'), secretAccessKey: required('AUTOFILES_STORE_SECRET_ACCESS_KEY') },
    ...(chaos && { chaos: parseChaos(chaos) }),
    now: Date.now,
    random: Math.random,
    randomBytes,
    id: randomUUID,
    onError(error, { method, url, requestId }) {
      console.error(`store: ${method} ${url} (request ${requestId}) failed:`, error);
    },
  });
}

/** Milliseconds within which a signal that comes again is the same stop: from the system, and from those who started this process. */
const SAME_MS = 1000;

function stopOnSignals(store: RunningStore): void {
  let since: number | undefined;
  const stop = (): void => {
    // A later signal means: at once.
    if (since !== undefined && performance.now() - since > SAME_MS) process.exit(1);
    if (since !== undefined) return;
    since = performance.now();
    store.close().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error('store: stopping failed:', error);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // The parent is gone: a store must not outlive it.
  onSupervisorGone(() => {
    if (since === undefined) stop();
  });
}

try {
  const store = await start();
  stopOnSignals(store);
  console.log(`store ready on ${store.endpoint}`);
  tellSupervisor({ ready: true, port: store.port });
} catch (error) {
  console.error(error instanceof Error ? `store: ${error.message}` : error);
  process.exitCode = 1;
  if (process.connected) process.disconnect();
}
