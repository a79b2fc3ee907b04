// The servers that peers keep their state in, each the bench's own: in a temporary folder, on loopback, as its maker ships it, gone afterwards.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ifInterrupted } from './interrupted.ts';

/** Milliseconds for a server to be ready. */
const START_MS = 30_000;

export interface PeerStore {
  /** What the peer's process is told: where the store is. */
  readonly where: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** A PostgreSQL cluster with the defaults of `initdb`: fsync on, synchronous_commit on. `bin` is the folder of its programs. */
export async function startPostgres(bin: string): Promise<PeerStore> {
  const folder = await mkdtemp(join(tmpdir(), 'af-bench-pg-'));
  // postgres refuses to run as root
  const user = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : undefined;
  if (user !== undefined) await chown(folder, user.uid, user.gid);
  const data = join(folder, 'data');
  execFileSync(join(bin, 'initdb'), ['-D', data, '-U', 'bench', '-A', 'trust', '-E', 'UTF8', '--no-locale'], {
    ...user,
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const server = spawn(join(bin, 'postgres'), ['-D', data, '-k', folder, '-c', 'listen_addresses=', '-c', 'max_connections=200'], {
    ...user,
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const where = `postgresql://bench@${encodeURIComponent(folder)}/postgres`;
  return await started(server, folder, where, 'SIGQUIT', async (signal) => {
    await said(server.stderr, 'ready to accept connections', signal);
  });
}

/** The Restate server of the package in bench/peers with its own settings, all roles in one process: its log is fsynced before it goes on. */
export async function startRestate(program: string): Promise<PeerStore> {
  const folder = await mkdtemp(join(tmpdir(), 'af-bench-restate-'));
  const [own, ingress, admin] = await freePorts(3);
  const server = spawn(
    program,
    [
      '--no-logo',
      '--node-name',
      'bench',
      '--base-dir',
      folder,
      '--bind-ip',
      '127.0.0.1',
      '--bind-port',
      String(own),
      '--listen-mode',
      'tcp',
    ],
    {
      stdio: 'ignore',
      env: {
        RESTATE_DISABLE_TELEMETRY: 'true',
        RESTATE_INGRESS__BIND_PORT: String(ingress),
        RESTATE_ADMIN__BIND_PORT: String(admin),
        RESTATE_LOG_FILTER: 'error',
        // its invoker makes folders that it does not remove when it is killed
        TMPDIR: folder,
      },
    },
  );
  const where = `http://127.0.0.1:${ingress},http://127.0.0.1:${admin}`;
  return await started(server, folder, where, 'SIGKILL', async (signal) => {
    await answers(`http://127.0.0.1:${admin}/health`, signal);
    await answers(`http://127.0.0.1:${ingress}/restate/health`, signal);
  });
}

/** Waits for the server to be ready; one that is not leaves nothing behind. */
async function started(
  server: ChildProcess,
  folder: string,
  where: string,
  end: NodeJS.Signals,
  ready: (signal: AbortSignal) => Promise<void>,
): Promise<PeerStore> {
  const gone = once(server, 'exit');
  const forget = ifInterrupted(() => {
    server.kill(end);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  const stop = async () => {
    if (server.exitCode === null && server.signalCode === null) {
      server.kill(end);
      await gone;
    }
    await rm(folder, { recursive: true, force: true });
    forget();
  };
  try {
    const early = gone.then(([code]) => {
      throw new Error(`${server.spawnfile} ended with ${String(code)} before it was ready`);
    });
    await Promise.race([early, ready(AbortSignal.timeout(START_MS))]);
    return { where, pid: server.pid ?? 0, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Resolves when the stream says `text`; reads on afterwards, so that the pipe does not fill. */
async function said(stream: NodeJS.ReadableStream, text: string, signal: AbortSignal): Promise<void> {
  let all = '';
  await new Promise<void>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error(`it did not say "${text}": ${all}`)));
    stream.on('data', (part: Buffer) => {
      if (all.includes(text)) return;
      all += part.toString();
      if (all.includes(text)) resolve();
    });
  });
}

async function answers(url: string, signal: AbortSignal): Promise<void> {
  while ((await fetch(url, { signal }).catch(() => undefined))?.ok !== true) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function idOf(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
