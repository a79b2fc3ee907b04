// A web process that is asked to end, as Heroku asks at every deploy: what is under way is answered, nothing else keeps it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { createConnection } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { leash } from '../support/leash.ts';
import { startRedis } from '../support/redis-server.ts';
import { until } from '../support/until.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const TOKEN = 'local-token-of-this-test';
const BODY = JSON.stringify({ name: 'made while it stopped', scope: 'read' });

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function startWeb() {
  const redis = await startRedis();
  ends.push(redis.stop);
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, 'web'], {
    env: {
      PATH: process.env['PATH'],
      AUTOFILES_MODE: 'test',
      AUTOFILES_REDIS_SOCKET: redis.socket,
      AUTOFILES_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
      AUTOFILES_API_TOKEN: TOKEN,
      AUTOFILES_RESOURCE: 'stopping',
    },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  leash(child);
  const ended = once(child, 'exit').then(([code, signal]) => String(signal ?? code));
  ends.push(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const [{ port }] = await once(child, 'message');
  return { port: Number(port), url: `http://127.0.0.1:${port}`, ended, stop: () => child.kill('SIGTERM') };
}

const authorization = `Bearer ${TOKEN}`;

/** A call of which the server has the head and half of the body. */
async function begin(port: number) {
  const call = request({
    ...{ port, host: '127.0.0.1', method: 'POST', path: '/v1/tokens', agent: new Agent({ keepAlive: true }) },
    headers: { authorization, expect: '100-continue', 'content-type': 'application/json', 'content-length': Buffer.byteLength(BODY) },
  });
  const continued = once(call, 'continue');
  call.flushHeaders();
  await continued;
  call.write(BODY.slice(0, 10));
  return {
    /** Sends the rest; answers with the status and the body. */
    finish: async () => {
      const answered = once(call, 'response');
      call.end(BODY.slice(10));
      // what 'response' carries
      const response = (await answered)[0] as IncomingMessage;
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk;
      return { status: response.statusCode, text };
    },
  };
}

async function openStream(url: string) {
  const response = await fetch(`${url}/v1/events`, { headers: { authorization } });
  const reader = response.body?.getReader();
  if (reader === undefined) throw new Error('no body');
  await reader.read();
  return {
    /** Resolves when it has ended as an answer ends; one that was cut off rejects. */
    ended: (async () => {
      while (!(await reader.read()).done);
      return 'ended';
    })(),
  };
}

/** A connection that was used and is kept. */
async function openIdle(port: number) {
  const socket = createConnection(port, '127.0.0.1');
  socket.write('GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n');
  await once(socket, 'data');
  const closed = once(socket, 'close').then(() => 'closed');
  return { closed };
}

async function refuses(port: number): Promise<boolean> {
  const socket = createConnection(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return false;
  } catch {
    return true;
  } finally {
    socket.destroy();
  }
}

it('answers what is under way, ends streams as answers end, and closes connections that nobody uses', async () => {
  const web = await startWeb();
  const [call, stream, idle] = [await begin(web.port), await openStream(web.url), await openIdle(web.port)];
  web.stop();
  expect(await stream.ended).toBe('ended');
  expect(await idle.closed).toBe('closed');
  await until('no new connection', () => refuses(web.port));
  const { status, text } = await call.finish();
  expect({ status, text }).toMatchObject({ status: 201, text: expect.stringContaining('made while it stopped') as string });
  expect(await web.ended).toBe('0');
});

it('ends when nothing is under way, although a stream is open', async () => {
  const web = await startWeb();
  const stream = await openStream(web.url);
  web.stop();
  expect(await stream.ended).toBe('ended');
  expect(await web.ended).toBe('0');
});
