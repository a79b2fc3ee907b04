// The redis child of the local cloud: a redis-server (or valkey-server) on a unix socket that only its user can open.
// A small process stands between it and the supervisor, so that no server outlives a killed supervisor, and one that
// did (both were killed) is ended before the next starts on the same files.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { onSupervisorGone, tellSupervisor } from '../supervised.ts';

/** Milliseconds for a server to end after it was told to, and for a new one to answer. */
const STOP_MS = 10_000;
const START_MS = 20_000;
/** Milliseconds that those who work with it have to end where the supervisor was killed, and every child of it hears of that at once. */
const ORPHANED_MS = 5_000;

const { AUTOFILES_REDIS_DIR: dir, AUTOFILES_REDIS_SOCKET: socket, NODE_ENV: mode } = process.env;
if (mode === 'production') fail('the local redis refuses NODE_ENV=production');
if (!dir || !socket) fail('AUTOFILES_REDIS_DIR and AUTOFILES_REDIS_SOCKET: expected the folder of its files and the path of its socket');

await endLeftOver(socket);
const command = ['redis-server', 'valkey-server'].find((name) => spawnSync(name, ['--version']).status === 0);
if (command === undefined) {
  fail(
    'found no redis-server and no valkey-server on PATH. Install one (Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis)',
  );
}
const server = spawn(
  command,
  [
    ...['--port', '0', '--unixsocket', socket, '--unixsocketperm', '700', '--dir', dir, '--daemonize', 'no'],
    // "in Redis" means on disk within a second; nothing is ever thrown away
    ...['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', '', '--maxmemory-policy', 'noeviction', '--loglevel', 'warning'],
    // as in docker/redis.conf
    ...['--hash-max-listpack-value', '512', '--hash-max-listpack-entries', '1024'],
    ...['--list-max-listpack-size', '-1', '--list-compress-depth', '1'],
  ],
  { stdio: ['ignore', 'inherit', 'inherit'] },
);
// whatever ends this process: a server that does not answer, an error that nobody expected
process.on('exit', () => server.kill('SIGTERM'));
server.on('error', (error) => fail(`cannot run ${command}: ${error.message}`));
server.on('exit', (code, signal) => {
  if (!stopping) fail(`${command} ended with ${signal ?? `status ${code}`}`);
});

let stopping = false;
const stop = () => {
  if (stopping) return;
  stopping = true;
  server.kill('SIGTERM');
  const timer = setTimeout(() => server.kill('SIGKILL'), STOP_MS);
  void once(server, 'exit').then(() => {
    clearTimeout(timer);
    process.exit(0);
  });
};
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
onSupervisorGone(() => void clientsGone(socket).then(stop));

const until = Date.now() + START_MS;
while (!(await answers(socket))) {
  if (Date.now() > until) fail(`${command} did not answer on ${socket} within ${START_MS / 1000} s`);
  await sleep(15);
}
tellSupervisor({ ready: true });

/** A server whose wrapper was killed still holds the files. */
async function endLeftOver(path: string): Promise<void> {
  if (await answers(path)) {
    await ask(path, 'SHUTDOWN\r\n');
    const end = Date.now() + STOP_MS;
    while (await answers(path)) {
      if (Date.now() > end) fail(`a redis-server of an earlier start still answers on ${path} and does not end`);
      await sleep(20);
    }
  }
  await rm(path, { force: true });
}

/** A worker whose Redis goes away first says no last word, and waits for it to the end of its time. */
async function clientsGone(path: string): Promise<void> {
  const end = Date.now() + ORPHANED_MS;
  const connected = async () => Number(/connected_clients:(\d+)/.exec(await ask(path, 'INFO clients\r\n'))?.[1] ?? 0);
  // one is who asks
  while (Date.now() < end && (await connected()) > 1) await sleep(20);
}

async function answers(path: string): Promise<boolean> {
  const reply = await ask(path, 'PING\r\n');
  // a server that still loads its files answers with an error, which is an answer but no readiness
  return reply.startsWith('+PONG');
}

async function ask(path: string, line: string): Promise<string> {
  return await new Promise((resolve) => {
    const connection = createConnection(path, () => connection.write(line));
    const done = (reply: string) => {
      connection.destroy();
      resolve(reply);
    };
    connection.once('data', (data) => done(data.toString()));
    connection.once('close', () => resolve(''));
    connection.once('error', () => resolve(''));
    connection.setTimeout(2_000, () => done(''));
  });
}

function fail(why: string): never {
  console.error(`redis: ${why}`);
  process.exit(1);
}
