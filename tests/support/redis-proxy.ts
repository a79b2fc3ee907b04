import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface RedisProxy {
  readonly socket: string;
  /** What clients send from now on waits for `release`: as if their process were frozen before the send. */
  hold(): void;
  release(): void;
  /** Whether a reply or message with the text went to a client. */
  delivered(text: string): boolean;
  /** Writes of clients that wait. */
  held(): number;
  /** The next command reaches Redis and is executed, its reply is lost and the connection with it. Resolves when that has happened. */
  loseNextReply(): Promise<void>;
  /**
   * At the next command with the text its connection breaks, and new ones reach no Redis until `turnTo`. `executed`: the command reaches Redis, and its
   * reply is lost. Resolves when that has happened.
   */
  goAwayAt(text: string, executed?: 'executed'): Promise<void>;
  /** Connections that wait for jobs (BZPOPMIN) hear nothing more and tell nothing more, as when a router forgot them; the others work. */
  wedgeBlocking(): void;
  /** New connections go to the Redis on this unix socket; those that are open stay where they are, as behind an address that moved. */
  turnTo(target: string): void;
  /** Connections of clients so far. */
  connections(): number;
  close(): Promise<void>;
}

/** Stands between clients and a Redis on a unix socket. */
export async function startRedisProxy(first: string): Promise<RedisProxy> {
  const folder = await mkdtemp(join(tmpdir(), 'af-proxy-'));
  const socket = join(folder, 'proxy.sock');
  const open = new Set<Socket>();
  let held: (() => void)[] | undefined;
  let losing: { sent: boolean; done: () => void } | undefined;
  let count = 0;
  let replies = '';
  let wedged = false;
  let target = first;
  let awayAt: { text: string; executed: boolean; done: () => void } | undefined;

  const server = createServer((client) => {
    count += 1;
    const redis = createConnection(target);
    let blocking = false;
    const end = () => {
      client.destroy();
      redis.destroy();
    };
    for (const side of [client, redis]) {
      open.add(side);
      side.on('error', end);
      side.on('close', () => {
        open.delete(side);
        end();
      });
    }
    client.on('data', (data) => {
      blocking ||= /bzpopmin/i.test(data.toString('latin1'));
      if (wedged && blocking) return;
      if (awayAt !== undefined && data.includes(awayAt.text)) {
        const { executed, done } = awayAt;
        awayAt = undefined;
        target = '/nowhere';
        redis.on('close', done);
        if (!executed) return end();
        redis.removeAllListeners('data');
        redis.on('data', end);
      }
      if (losing !== undefined) losing.sent = true;
      if (held === undefined) redis.write(data);
      else held.push(() => redis.write(data));
    });
    redis.on('data', (data) => {
      if (wedged && blocking) return;
      if (losing?.sent) {
        const { done } = losing;
        losing = undefined;
        end();
        done();
      } else {
        replies += data.toString('latin1');
        client.write(data);
      }
    });
  });
  server.listen(socket);
  await once(server, 'listening');

  return {
    socket,
    hold: () => {
      held ??= [];
    },
    delivered: (text) => replies.includes(text),
    held: () => held?.length ?? 0,
    release: () => {
      const writes = held ?? [];
      held = undefined;
      for (const write of writes) write();
    },
    loseNextReply: () =>
      new Promise<void>((done) => {
        losing = { sent: false, done };
      }),
    goAwayAt: (text, executed) =>
      new Promise<void>((done) => {
        awayAt = { text, executed: executed !== undefined, done };
      }),
    wedgeBlocking: () => {
      wedged = true;
    },
    turnTo: (socket) => {
      target = socket;
    },
    connections: () => count,
    close: async () => {
      for (const side of open) side.destroy();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
