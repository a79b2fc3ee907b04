import { once } from 'node:events';
import type { Server } from 'node:http';
import { openBlobs } from './blobs.ts';
import { openBuckets } from './buckets.ts';
import { type ChaosSettings, createChaos } from './chaos.ts';
import { openCredentials } from './credentials.ts';
import { openDatabase } from './database.ts';
import { createEvents } from './events.ts';
import { openListing } from './listing.ts';
import { openObjects } from './objects.ts';
import { openMessages } from './queue/messages.ts';
import { openQueues } from './queue/queues.ts';
import { openSequence } from './sequence.ts';
import { createStoreServer } from './server.ts';
import { createVerifier } from './sigv4.ts';
import { openUploads } from './uploads.ts';

/** Everything a store is made of and depends on. */
export type StoreDeps = {
  /** The folder that holds everything; made when missing. One store at a time. */
  dir: string;
  /** The port to listen on; 0 takes a free one. */
  port: number;
  /** The address to listen on (127.0.0.1). Another one only where nothing but a container's own network reaches it. */
  host?: string;
  region: string;
  root: { accessKeyId: string; secretAccessKey: string };
  chaos?: ChaosSettings;
  /** Milliseconds since 1970. */
  now: () => number;
  /** A number in [0, 1), for the chaos switch. */
  random: () => number;
  /** Secret random bytes. */
  randomBytes: (count: number) => Buffer;
  /** Unique ids, such as UUIDs. */
  id: () => string;
  /** Told of every error that is the store's own fault. */
  onError: (error: unknown, request: { method: string; url: string; requestId: string }) => void;
};

/** A store that serves. */
export type RunningStore = {
  port: number;
  /** `http://127.0.0.1:PORT`. */
  endpoint: string;
  /** Stops: no new requests, long polls are answered, running requests have `graceMs` (5,000) to end. Complete when it resolves. */
  close(graceMs?: number): Promise<void>;
};

// Time for running requests to end; Heroku's own limit for a whole stop is 30 s.
const GRACE_MS = 5000;
const RANDOM_POOL_BYTES = 4096;

/** Opens the folder and serves objects, queues and STS on 127.0.0.1. Throws when the folder is in use or the port is taken. */
export async function startStore(deps: StoreDeps): Promise<RunningStore> {
  const { dir, now, region, id } = deps;
  const randomBytes = pooled(deps.randomBytes);
  const db = openDatabase(dir, (error) => deps.onError(error, { method: 'COMMIT', url: '', requestId: '' }));
  try {
    // 21 characters of a version id, the nonce of a receipt: no dash, which a command line takes for an option.
    const token = (): string => randomBytes(18).toString('base64url').replaceAll('-', '.');
    const blobs = openBlobs({ db, dir, id });
    const queues = openQueues({ db, now, region });
    const messages = openMessages({ db, queues, now, id, token });
    const chaos = createChaos({ random: deps.random, initial: deps.chaos ?? {} });
    const events = createEvents({ queues, messages, chaos, region });
    const buckets = openBuckets({ db, now });
    const sequence = openSequence({ db, now });
    const objects = openObjects({ db, blobs, sequence, events, now, token });
    const uploads = openUploads({ db, blobs, sequence, now, token });
    const credentials = openCredentials({ db, now, root: deps.root });
    const verifier = createVerifier({ credentials, now, region });
    const services = { buckets, objects, listing: openListing({ db }), uploads, blobs, events, queues, region, now };
    const server = createStoreServer({
      services,
      verifier,
      queues,
      messages,
      chaos,
      sts: { credentials, now, random: randomBytes },
      now,
      random: randomBytes,
      onError: deps.onError,
    });
    const port = await listen(server, deps.port, deps.host ?? '127.0.0.1');
    let closing: Promise<void> | undefined;
    const close = async (graceMs: number): Promise<void> => {
      messages.close();
      await stop(server, graceMs);
      db.close();
    };
    return { port, endpoint: `http://127.0.0.1:${port}`, close: (graceMs = GRACE_MS) => (closing ??= close(graceMs)) };
  } catch (error) {
    db.close();
    throw error;
  }
}

// Every request takes a few random bytes; one call to the system for all of them is cheaper by far.
function pooled(random: (count: number) => Buffer): (count: number) => Buffer {
  let pool: Buffer = Buffer.alloc(0);
  return (count) => {
    if (pool.length < count) pool = random(Math.max(count, RANDOM_POOL_BYTES));
    const taken = Buffer.from(pool.subarray(0, count));
    pool = pool.subarray(count);
    return taken;
  };
}

async function listen(server: Server, port: number, host: string): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error(`the server listens on ${String(address)}, expected a port`);
  return address.port;
}

async function stop(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  // Connections that become idle only now would be kept open by their clients.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const deadline = setTimeout(() => server.closeAllConnections(), graceMs);
  try {
    await closed;
  } finally {
    clearInterval(sweep);
    clearTimeout(deadline);
  }
}
