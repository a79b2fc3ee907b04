// Launches against servers that misbehave on the wire: whatever happens, exactly one POST, and only clear answers are clear.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createDynoPlatform } from '../../src/clients/heroku.ts';

const DYNO = {
  id: '01234567-89ab-cdef-0123-456789abcdef',
  name: 'run.4711',
  command: 'node work.js # r1.0.0/1',
  state: 'starting',
  size: 'Basic',
  type: 'run',
  attach_url: null,
  created_at: '2026-11-28T20:00:00Z',
  updated_at: '2026-11-28T20:00:00Z',
  release: { id: '01234567-89ab-cdef-0123-456789abcde0', version: 7 },
};
const ORDER = { command: 'node work.js # r1.0.0/1', env: { line_D: '{}' }, size: 'basic', timeToLive: 180 };
const NOW = Date.parse('2026-11-28T20:00:00Z');

const closers: Array<() => Promise<void>> = [];
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
});

/** A raw TCP server: `onRequest` gets the socket when one whole request has arrived. */
async function setup(onRequest: (socket: Socket, request: string) => void, options: { token?: () => Promise<string> } = {}) {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const remaining: number[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    let text = '';
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8');
      const head = text.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      if (head < 0 || text.length < head + 4 + length) return;
      const request = text;
      text = '';
      requests.push(request);
      onRequest(socket, request);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // an AddressInfo for a TCP server
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    await closed;
  };
  closers.push(close);
  const platform = createDynoPlatform({
    baseUrl,
    token: options.token ?? 'secret-token',
    userAgent: 'autofiles/test',
    now: () => NOW,
    onRateLimit: (left) => remaining.push(left),
  });
  return { platform, requests, sockets, remaining, close, launch: (deadline = 5_000) => platform.launch('my app', ORDER, { deadline }) };
}

function answer(status: number, body: string, headers: Record<string, string> = {}): string {
  const lines = Object.entries({ 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)), ...headers });
  return `HTTP/1.1 ${status} X\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}

const reply =
  (status: number, body: unknown, headers?: Record<string, string>) =>
  (socket: Socket): void => {
    socket.end(answer(status, typeof body === 'string' ? body : JSON.stringify(body), headers));
  };

describe('an accepted launch', () => {
  it('is a 2xx with a dyno, asked for by one complete POST', async () => {
    const { launch, requests, remaining } = await setup(reply(201, DYNO, { 'RateLimit-Remaining': '4321' }));
    const outcome = await launch();
    expect(outcome).toEqual({
      outcome: 'accepted',
      dyno: {
        id: DYNO.id,
        name: 'run.4711',
        command: DYNO.command,
        state: 'starting',
        size: 'Basic',
        type: 'run',
        createdAt: Date.parse(DYNO.created_at),
      },
    });
    expect(requests).toHaveLength(1);
    const [head = '', body = ''] = requests[0]?.split('\r\n\r\n') ?? [];
    expect(head).toMatch(/^POST \/apps\/my%20app\/dynos HTTP\/1\.1\r\n/);
    expect(head.toLowerCase()).toContain('authorization: bearer secret-token');
    expect(head.toLowerCase()).toContain('accept: application/vnd.heroku+json; version=3');
    expect(head.toLowerCase()).toContain('user-agent: autofiles/test');
    expect(JSON.parse(body)).toEqual({
      command: ORDER.command,
      attach: false,
      env: { line_D: '{}' },
      size: 'basic',
      time_to_live: 180,
    });
    expect(remaining).toEqual([4321]);
  });

  it('takes a connection of its own, even when the server would keep the last one', async () => {
    const opened: Socket[] = [];
    const { launch, requests } = await setup((socket) => {
      opened.push(socket);
      socket.write(answer(201, JSON.stringify(DYNO), { connection: 'keep-alive' }));
    });
    for (let i = 0; i < 3; i += 1) expect(await launch()).toMatchObject({ outcome: 'accepted' });
    expect(requests).toHaveLength(3);
    expect(new Set(opened).size).toBe(3);
  });
});

describe('a refused launch', () => {
  it.each([
    [429, 'rate_limit', true],
    [422, 'cannot_run_above_limit', true],
    [401, 'unauthorized', true],
    [409, 'conflict', true],
    [402, 'delinquent', false],
    [403, 'forbidden', false],
    [404, 'not_found', false],
    [422, 'invalid_params', false],
    [400, 'bad_request', false],
  ])('%d %s heals with time: %s', async (status, id, heal) => {
    const { launch, requests } = await setup(reply(status, { id, message: `sorry: ${id}` }));
    expect(await launch()).toMatchObject({ outcome: 'refused', heal, status, id, message: `sorry: ${id}` });
    expect(requests).toHaveLength(1);
  });

  it('tells the seconds of Retry-After, as a number or as a date, and nothing without it', async () => {
    const body = { id: 'rate_limit', message: 'wait' };
    const seconds = await setup(reply(429, body, { 'Retry-After': '17' }));
    expect(await seconds.launch()).toMatchObject({ outcome: 'refused', retryAfter: 17 });
    const date = await setup(reply(429, body, { 'Retry-After': new Date(NOW + 90_000).toUTCString() }));
    expect(await date.launch()).toMatchObject({ outcome: 'refused', retryAfter: 90 });
    const none = await setup(reply(429, body));
    expect(await none.launch()).not.toHaveProperty('retryAfter');
  });

  it('asks for a longer wait when the token was refused', async () => {
    const { launch } = await setup(reply(401, { id: 'unauthorized', message: 'Invalid credentials provided.' }));
    expect(await launch()).toMatchObject({ outcome: 'refused', heal: true, retryAfter: 60 });
  });
});

describe('a launch whose fate is unknown', () => {
  it.each<[string, (socket: Socket) => void]>([
    ['a reset after the request', (socket) => socket.resetAndDestroy()],
    ['a closed connection without an answer', (socket) => socket.end()],
    ['500 with a JSON error', reply(500, { id: 'internal_server_error', message: 'oops' })],
    ['503 with a JSON error', reply(503, { id: 'service_unavailable', message: 'maintenance' })],
    ['a 502 HTML page', reply(502, '<html>Bad Gateway</html>', { 'content-type': 'text/html' })],
    ['a 404 HTML page of a proxy', reply(404, '<html>no such app</html>', { 'content-type': 'text/html' })],
    ['a 400 with JSON but no id', reply(400, { error: 'nope' })],
    ['a 429 without a JSON body', reply(429, '')],
    ['a redirect', reply(307, '', { location: 'http://127.0.0.1:1/' })],
    ['201 with garbage', reply(201, '{"id": "01234567')],
    ['201 with an empty body', reply(201, '')],
    ['201 with JSON that is no dyno', reply(201, { ok: true })],
    ['201 whose dyno has no date', reply(201, { ...DYNO, created_at: 'yesterday' })],
    ['no HTTP at all', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    ['headers and then nothing', (socket) => socket.end('HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n')],
    [
      'half an answer and then a reset',
      (socket) => {
        socket.write(answer(201, JSON.stringify(DYNO)).slice(0, -30), () => socket.resetAndDestroy());
      },
    ],
    ['an endless answer', (socket) => socket.end(answer(201, 'x'.repeat(300_000)))],
  ])('%s: unknown, and one POST', async (_, onRequest) => {
    const { launch, requests, close } = await setup(onRequest);
    const outcome = await launch();
    expect(outcome).toMatchObject({ outcome: 'unknown', cause: expect.stringMatching(/\S/) });
    expect(outcome).not.toHaveProperty('unsent');
    await close();
    expect(requests).toHaveLength(1);
  });

  it('an answer that never comes: unknown at the deadline, the connection given up, one POST', async () => {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const { launch, requests } = await setup((socket) => socket.once('close', () => resolve()));
    expect(await launch(2_000)).toEqual({ outcome: 'unknown', cause: 'no answer within 2000 ms' });
    await closed;
    expect(requests).toHaveLength(1);
  });

  it('a body that never ends: the deadline covers it too', async () => {
    const { launch, requests } = await setup((socket) => socket.write(answer(201, JSON.stringify(DYNO)).slice(0, -5)));
    expect(await launch(2_000)).toEqual({ outcome: 'unknown', cause: 'no answer within 2000 ms' });
    expect(requests).toHaveLength(1);
  });

  it('the caller gives up after the POST: unknown', async () => {
    const controller = new AbortController();
    const { platform, requests } = await setup(() => controller.abort(new Error('the run was cancelled')));
    const outcome = await platform.launch('app', ORDER, { signal: controller.signal, deadline: 5_000 });
    expect(outcome).toEqual({ outcome: 'unknown', cause: 'the run was cancelled' });
    expect(requests).toHaveLength(1);
  });
});

describe('a launch that never left', () => {
  it('nobody listens: unknown, and certainly unsent', async () => {
    const { launch, close } = await setup(() => undefined);
    await close();
    expect(await launch()).toMatchObject({ outcome: 'unknown', unsent: true, cause: expect.stringContaining('ECONNREFUSED') });
  });

  it('is not sent by whoever may not send it any more when the token has come', async () => {
    const token = Promise.withResolvers<string>();
    let may = true;
    const { platform, requests } = await setup(() => undefined, { token: () => token.promise });
    const outcome = platform.launch('app', ORDER, { deadline: 10_000, mayStill: () => may });
    may = false;
    token.resolve('t');
    expect(await outcome).toMatchObject({ outcome: 'unknown', unsent: true });
    expect(requests).toEqual([]);
  });

  it('no token to be had: unknown, unsent, and no POST', async () => {
    const { launch, requests } = await setup(() => undefined, { token: () => Promise.reject(new Error('the vault is sealed')) });
    expect(await launch()).toEqual({ outcome: 'unknown', cause: 'not sent: the vault is sealed', unsent: true });
    expect(requests).toHaveLength(0);
  });

  it('the token comes after the deadline: unsent, and no POST later either', async () => {
    const { promise: token, resolve } = Promise.withResolvers<string>();
    const { launch, platform, requests } = await setup(reply(201, DYNO), { token: () => token });
    expect(await launch(50)).toMatchObject({ outcome: 'unknown', unsent: true });
    resolve('late');
    // the second launch ends behind anything that the first might still have begun
    expect(await platform.launch('second', ORDER, { deadline: 10_000 })).toMatchObject({ outcome: 'accepted' });
    expect(requests.map((request) => request.split(' ')[1])).toEqual(['/apps/second/dynos']);
  });

  it('the caller had given up before: unsent', async () => {
    const { platform, requests } = await setup(() => undefined);
    const outcome = await platform.launch('app', ORDER, { signal: AbortSignal.abort(new Error('cancelled')), deadline: 5_000 });
    expect(outcome).toEqual({ outcome: 'unknown', cause: 'not sent: cancelled', unsent: true });
    expect(requests).toHaveLength(0);
  });
});
