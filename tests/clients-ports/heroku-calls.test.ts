// The Platform API calls that may be repeated: pages, failures, deadlines, and the log of a dyno.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createDynoPlatform } from '../../src/clients/heroku.ts';
import { Failure } from '../../src/schema/failures.ts';

const closers: Array<() => Promise<void>> = [];
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
});

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A platform whose answers the test gives. */
async function setup(
  onRequest: (request: Seen, response: ServerResponse, baseUrl: string) => void,
  token: string | ((app: string) => string) = 'secret-token',
  renew?: () => Promise<string>,
) {
  const seen: Seen[] = [];
  const remaining: number[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const one = {
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      body: Buffer.concat(chunks).toString('utf8'),
    };
    seen.push(one);
    onRequest(one, response, baseUrl);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // an AddressInfo for a TCP server
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  closers.push(async () => {
    server.closeAllConnections();
    const closed = once(server, 'close');
    server.close();
    await closed;
  });
  const platform = createDynoPlatform({
    baseUrl,
    token,
    ...(renew === undefined ? {} : { renew }),
    userAgent: 'autofiles/test',
    now: () => 0,
    onRateLimit: (left) => remaining.push(left),
  });
  return { platform, seen, remaining, server };
}

function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

const dyno = (n: number, command = 'sleep 1') => ({
  id: `dyno-${n}`,
  name: `run.${n}`,
  command,
  state: 'up',
  size: 'Basic',
  type: 'run',
  created_at: '2026-11-28T20:00:00Z',
});

describe('list', () => {
  it('puts all pages of the list together and tells the rate limit of each', async () => {
    const { platform, seen, remaining } = await setup((request, response) => {
      if (request.headers.range === 'id ]dyno-2..; max=1000') json(response, 200, [dyno(3)], { 'RateLimit-Remaining': '98' });
      else json(response, 206, [dyno(1), dyno(2)], { 'Next-Range': 'id ]dyno-2..; max=1000', 'RateLimit-Remaining': '99' });
    });
    const dynos = await platform.list('my/app');
    expect(dynos.map(({ name }) => name)).toEqual(['run.1', 'run.2', 'run.3']);
    expect(dynos[0]).toEqual({
      id: 'dyno-1',
      name: 'run.1',
      command: 'sleep 1',
      state: 'up',
      size: 'Basic',
      type: 'run',
      createdAt: Date.parse('2026-11-28T20:00:00Z'),
    });
    expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual(['GET /apps/my%2Fapp/dynos', 'GET /apps/my%2Fapp/dynos']);
    expect(seen[0]?.headers).toMatchObject({
      authorization: 'Bearer secret-token',
      accept: 'application/vnd.heroku+json; version=3',
      'user-agent': 'autofiles/test',
    });
    expect(remaining).toEqual([99, 98]);
  });

  it('asks for the token of the app', async () => {
    const { platform, seen } = await setup(
      (_, response) => json(response, 200, []),
      (app) => `token-of-${app}`,
    );
    await platform.list('shop');
    expect(seen[0]?.headers.authorization).toBe('Bearer token-of-shop');
  });

  it('reads characters that arrive in two pieces', async () => {
    const { platform } = await setup((_, response) => {
      const body = Buffer.from(JSON.stringify([dyno(1, 'echo grün')]), 'utf8');
      const cut = body.indexOf(0xc3) + 1; // between the two bytes of ü
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write(body.subarray(0, cut), () => setImmediate(() => response.end(body.subarray(cut))));
    });
    expect((await platform.list('app'))[0]?.command).toBe('echo grün');
  });

  it('takes an answer that is not a list of dynos for an outage and says where it differs', async () => {
    const { platform } = await setup((_, response) => json(response, 200, [{ ...dyno(1), state: 7 }]));
    await expect(platform.list('app')).rejects.toMatchObject({ code: 'heroku_unavailable', message: expect.stringContaining('/0/state') });
  });
});

describe('failures', () => {
  it.each([
    [401, 'unauthorized', 'heroku_refused'],
    [402, 'delinquent', 'heroku_refused'],
    [403, 'forbidden', 'heroku_refused'],
    [404, 'not_found', 'not_found'],
    [422, 'invalid_params', 'heroku_refused'],
    [429, 'rate_limit', 'heroku_unavailable'],
    [500, 'internal', 'heroku_unavailable'],
    [503, 'unavailable', 'heroku_unavailable'],
  ])('%d %s is %s, with what Heroku said and no token in it', async (status, id, code) => {
    const { platform, seen } = await setup((_, response) => json(response, status, { id, message: 'Heroku said so.' }));
    const error = await platform.configVars('app').catch((caught: unknown) => caught);
    expect(error).toMatchObject({ name: 'Failure', code, message: expect.stringContaining(`HTTP ${status} ${id}: Heroku said so.`) });
    expect(JSON.stringify(error) + String(error)).not.toContain('secret-token');
    expect(seen).toHaveLength(1);
  });

  it('an HTML page with status 200 is an outage', async () => {
    const { platform } = await setup((_, response) => response.end('<html>'));
    await expect(platform.configVars('app')).rejects.toMatchObject({ code: 'heroku_unavailable' });
  });

  it('an answer that breaks off is an outage at once', async () => {
    const { platform } = await setup((_, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('[{"id":', () => response.destroy());
    });
    await expect(platform.list('app', { deadline: 30_000 })).rejects.toMatchObject({ code: 'heroku_unavailable' });
  });

  it('a lost connection is tried again within the deadline', async () => {
    const { platform, seen } = await setup((_, response) => {
      if (seen.length === 1) response.socket?.destroy();
      else json(response, 200, []);
    });
    expect(await platform.list('app')).toEqual([]);
    expect(seen).toHaveLength(2);
  });

  it('the deadline ends a call that gets no answer, closes its connection and leaves no retry behind', async () => {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const { platform, seen, server } = await setup((_, response) => response.once('close', () => resolve()));
    await expect(platform.list('app', { deadline: 2_000 })).rejects.toMatchObject({
      code: 'heroku_unavailable',
      message: expect.stringContaining('no answer within 2000 ms'),
    });
    await closed;
    // heroku-client would come again after a second, with a new connection
    const again = await Promise.race([once(server, 'connection'), once(AbortSignal.timeout(1_500), 'abort')]);
    expect(again[0]).toBeInstanceOf(Event);
    expect(seen).toHaveLength(1);
  });

  it('a call that is given up while it waits for its next try does not make that try', async () => {
    const controller = new AbortController();
    const reason = new Error('stopping');
    const { platform, seen } = await setup((_, response) => {
      response.socket?.once('close', () => setTimeout(() => controller.abort(reason), 200));
      response.socket?.destroy();
    });
    await expect(platform.list('app', { signal: controller.signal })).rejects.toBe(reason);
    // heroku-client would come again a second after the loss
    await once(AbortSignal.timeout(1_500), 'abort');
    expect(seen).toHaveLength(1);
  });

  it("the caller's abort comes through as it was given", async () => {
    const controller = new AbortController();
    const reason = new Error('stopping');
    const { platform } = await setup(() => controller.abort(reason));
    await expect(platform.list('app', { signal: controller.signal })).rejects.toBe(reason);
  });
});

describe('stop', () => {
  it('stops a dyno by its id or name', async () => {
    const { platform, seen } = await setup((_, response) => json(response, 202, {}));
    await platform.stop('app', 'run.1234');
    expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual(['POST /apps/app/dynos/run.1234/actions/stop']);
  });

  it('is done when the dyno is gone', async () => {
    const { platform } = await setup((_, response) => json(response, 404, { id: 'not_found', message: "Couldn't find that dyno." }));
    await expect(platform.stop('app', 'run.1234')).resolves.toBeUndefined();
  });
});

describe('config vars', () => {
  it('are read as a map, and set or removed by one PATCH', async () => {
    const { platform, seen } = await setup((_, response) => json(response, 200, { LD_REGION: 'us-east-1' }));
    expect(await platform.configVars('app')).toEqual({ LD_REGION: 'us-east-1' });
    await platform.setConfigVars('app', { LD_REGION: 'eu-west-1', OLD: null });
    expect(seen[1]).toMatchObject({ method: 'PATCH', url: '/apps/app/config-vars' });
    expect(JSON.parse(seen[1]?.body ?? '')).toEqual({ LD_REGION: 'eu-west-1', OLD: null });
  });
});

describe('the log of a dyno', () => {
  const line = (second: number, source: string, text: string) =>
    `2026-11-28T20:00:${String(second).padStart(2, '0')}.332000+00:00 ${source}: ${text}`;

  /** A platform whose log session gives these lines. */
  const withLog = (lines: readonly string[]) =>
    setup((request, response, baseUrl) => {
      if (request.method === 'POST') json(response, 201, { id: 'x', logplex_url: `${baseUrl}/logs?secret=hush` });
      else response.end(lines.map((text) => `${text}\n`).join(''));
    });

  it('asks for the lines of this dyno and reads its exit status', async () => {
    const { platform, seen } = await withLog([
      line(1, 'heroku[run.1234]', 'Starting process with command `false`'),
      line(2, 'heroku[run.1234]', 'State changed from starting to up'),
      line(3, 'app[run.1234]', 'working'),
      line(4, 'heroku[run.1234]', 'Process exited with status 3'),
      line(4, 'heroku[run.1234]', 'State changed from up to complete'),
    ]);
    expect(await platform.endOf('app', 'run.1234')).toEqual({ status: 3, up: true });
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual({ dyno: 'run.1234', lines: 1500, tail: false });
    expect(seen[1]?.headers.accept).toBe('text/plain');
    expect(seen[1]?.headers).not.toHaveProperty('authorization');
  });

  it('knows a dyno that crashed before it was up', async () => {
    const { platform } = await withLog([
      line(1, 'heroku[run.7]', 'Starting process with command `nonsense`'),
      line(2, 'heroku[run.7]', 'State changed from starting to crashed'),
      line(2, 'heroku[run.7]', 'Process exited with status 127'),
    ]);
    expect(await platform.endOf('app', 'run.7')).toEqual({ status: 127, up: false });
  });

  it('believes the platform alone, not what the process printed nor what other dynos did', async () => {
    const { platform } = await withLog([
      line(1, 'heroku[run.7]', 'Starting process with command `sh`'),
      line(2, 'app[run.7]', 'Process exited with status 0'),
      line(2, 'app[run.7]', '2026-11-28T20:00:02.332000+00:00 heroku[run.7]: Process exited with status 0'),
      line(2, 'heroku[run.77]', 'Process exited with status 0'),
      'State changed from starting to up',
    ]);
    expect(await platform.endOf('app', 'run.7')).toEqual({ status: undefined, up: false });
  });

  it('does not take an earlier dyno of the same name for this one', async () => {
    const earlier = [
      line(1, 'heroku[run.7]', 'Starting process with command `true`'),
      line(2, 'heroku[run.7]', 'State changed from starting to up'),
      line(3, 'heroku[run.7]', 'Process exited with status 0'),
    ];
    const { platform } = await withLog(earlier);
    expect(await platform.endOf('app', 'run.7', { after: Date.parse('2026-11-28T20:00:30Z') })).toEqual({ status: undefined, up: false });
    const both = await withLog([...earlier, line(40, 'heroku[run.7]', 'Starting process with command `sleep 9`')]);
    expect(await both.platform.endOf('app', 'run.7')).toEqual({ status: undefined, up: false });
  });

  it.each([
    [401, 'heroku_unavailable'],
    [403, 'heroku_refused'],
  ])(
    'a token that is not taken (401) may read how a dyno ended later, one without the right (403) never: %d is %s',
    async (status, code) => {
      const { platform } = await setup((_, response) => json(response, status, { id: 'x', message: 'Heroku said so.' }));
      await expect(platform.endOf('app', 'run.7')).rejects.toMatchObject({ code, message: expect.stringContaining(`HTTP ${status}`) });
    },
  );

  it('how a dyno ended is asked for later where no other token is to be had for one that is not taken', async () => {
    const { platform, seen } = await setup(
      (_, response) => json(response, 401, { id: 'unauthorized', message: 'Invalid credentials.' }),
      'revoked',
      () => Promise.reject(new Failure('heroku_refused', 'OAuth refresh_token: HTTP 400.')),
    );
    await expect(platform.endOf('app', 'run.7')).rejects.toMatchObject({ code: 'heroku_unavailable' });
    expect(seen).toHaveLength(1);
  });

  it('how a dyno ended is read with another token where the first is not taken any more', async () => {
    const { platform } = await setup(
      (request, response, baseUrl) => {
        if (request.headers.authorization === 'Bearer revoked')
          json(response, 401, { id: 'unauthorized', message: 'Invalid credentials.' });
        else if (request.method === 'POST') json(response, 201, { id: 'x', logplex_url: `${baseUrl}/logs` });
        else response.end(`${line(2, 'heroku[run.7]', 'Process exited with status 3')}\n`);
      },
      'revoked',
      () => Promise.resolve('renewed'),
    );
    expect(await platform.endOf('app', 'run.7')).toEqual({ status: 3, up: false });
  });

  it('gives the last lines, oldest first', async () => {
    const { platform } = await withLog([
      line(1, 'app[run.7]', 'one'),
      line(2, 'app[run.8]', 'other'),
      line(3, 'app[run.7]', 'two'),
      line(4, 'app[run.7]', 'three'),
    ]);
    expect(await platform.log('app', 'run.7', 2)).toEqual([line(3, 'app[run.7]', 'two'), line(4, 'app[run.7]', 'three')]);
  });

  it('a log that cannot be read is an outage, and its secret URL is not told', async () => {
    const { platform } = await setup((request, response, baseUrl) => {
      if (request.method === 'POST') json(response, 201, { id: 'x', logplex_url: `${baseUrl}/logs?secret=hush` });
      else json(response, 404, {});
    });
    const error = await platform.log('app', 'run.7', 10).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'heroku_unavailable' });
    expect(String(error)).not.toContain('hush');
  });
});
