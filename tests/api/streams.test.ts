// Event streams: they end with what opened them, and are so many and no more.
import { Hono } from 'hono';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createStreams } from '../../src/http/streams.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { createResources } from '../../src/queues/resources.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { createSealer } from '../../src/queues/secrets.ts';
import { createSessions } from '../../src/queues/sessions.ts';
import { createTokens } from '../../src/queues/tokens.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

/** Milliseconds between two heartbeats; streams that one resource may have open in a process. */
const HEARTBEAT_MS = 15_000;
const MOST = 50;

let server: TestRedis;
let redis: Redis;
let web: TestWeb;
const opened: ReadableStreamDefaultReader<Uint8Array>[] = [];

beforeAll(async () => {
  // a token that was made just before it is away must be known to it afterwards
  server = await startRedis({ fsync: 'always' });
  redis = new Redis({ path: server.socket });
  // the server is away in one of the tests
  redis.on('error', () => {});
  web = await openTestWeb(server);
});
afterAll(async () => {
  await web?.close();
  redis?.disconnect();
  await server?.stop();
});
// the heartbeat alone: the connections to Redis keep their time
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
});
afterEach(async () => {
  for (const reader of opened.splice(0)) await reader.cancel();
  vi.useRealTimers();
});
const heartbeat = () => vi.advanceTimersByTime(HEARTBEAT_MS);

const sessions = () => createSessions({ redis });
const resources = () => createResources({ redis, sealer: createSealer(Buffer.alloc(32, 7)), now: Date.now });

/** A resource with a live run, a token and a session. */
async function tenant(name: string) {
  await resources().put({ id: name, app: `app-${name}`, bucket: `ld-private-${name}`, region: 'us-east-1', plan: 'basic' });
  const runId = seedId(name);
  await seedRuns(redis, [{ runId, resource: name, workflow: { title: name, run: [{ cmd: 'work' }] } }]);
  await redis.hset(shardKeys(0).run(runId), 'state', 'running');
  const tokens = createTokens({ redis, now: Date.now });
  const { id, token } = await tokens.make({ resource: name, scope: 'read', name: 'a', by: 'test' });
  const cookie = await sessions().begin({ resource: name, by: 'sso', name: 'owner@example.com' });
  const byToken = (path: string, method = 'GET') => web.call(method, path, { token });
  const bySession = (path: string) => web.call('GET', path, { token: undefined, headers: { cookie: `autofiles=${cookie}` } });
  return { runId, byToken, bySession, revoke: () => tokens.revoke(name, id), signOff: () => sessions().end(cookie) };
}

/** Reads a stream in the background. */
async function read(answer: Promise<Response>) {
  const response = await answer;
  expect(response.status).toBe(200);
  const reader = response.body?.getReader();
  if (reader === undefined) throw new Error('no body');
  opened.push(reader);
  let text = '';
  const heard = new Set<() => void>();
  const ended = (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return 'ended';
      text += new TextDecoder().decode(value);
      for (const one of heard) one();
    }
  })();
  return {
    ended,
    /** Resolves when it has said that. */
    says: (what: string) =>
      new Promise<void>((resolve) => {
        const look = () => text.includes(what) && resolve();
        heard.add(look);
        look();
      }),
    text: () => text,
    leave: () => reader.cancel(),
  };
}

describe('a stream ends at the next heartbeat', () => {
  it('when its token is revoked, and goes on until then', async () => {
    const { runId, byToken, bySession, revoke } = await tenant('revoked');
    const streams = await Promise.all([byToken('/v1/events'), byToken(`/v1/runs/${runId}/events`)].map(read));
    const other = await read(bySession('/v1/events'));
    heartbeat();
    for (const one of [...streams, other]) await one.says(': still here');
    await revoke();
    heartbeat();
    expect(await Promise.all(streams.map(({ ended }) => ended))).toEqual(['ended', 'ended']);
    // who is still let in is not cut off
    expect(await Promise.race([other.ended, other.says(': still here\n\n: still here')])).toBe(undefined);
  });

  it('when its session has ended, the pages’ streams, too', async () => {
    const { runId, bySession, signOff } = await tenant('signed-off');
    const paths = ['/v1/events', `/v1/runs/${runId}/events`, '/runs/live', `/runs/${runId}/live`];
    const streams = await Promise.all(paths.map((path) => read(bySession(path))));
    await signOff();
    heartbeat();
    expect(await Promise.all(streams.map(({ ended }) => ended))).toEqual(paths.map(() => 'ended'));
  });

  it('when the removal of its resource has begun', async () => {
    const { byToken, bySession } = await tenant('removed');
    const streams = await Promise.all([byToken('/v1/events'), bySession('/runs/live')].map(read));
    await resources().change('removed', { from: ['', 'provisioned'], set: { state: 'deprovisioning' } });
    heartbeat();
    expect(await Promise.all(streams.map(({ ended }) => ended))).toEqual(['ended', 'ended']);
  });

  it('and not while Redis, which knows, is away', async () => {
    const { byToken } = await tenant('away');
    const stream = await read(byToken('/v1/events'));
    await stream.says('event: open');
    await server.crash();
    try {
      heartbeat();
      expect(await Promise.race([stream.ended, stream.says(': still here')])).toBe(undefined);
    } finally {
      await server.restart();
    }
    // what is told then comes on the same stream, though it could not read meanwhile
    await until('the rings to be heard again', async () => {
      const { feeds, channel } = shardKeys(0);
      return (await redis.pubsub('NUMSUB', feeds, channel)).filter((count) => Number(count) > 0).length === 2;
    });
    const runId = seedId('back');
    await seedRuns(redis, [{ runId, resource: 'away', rejected: 'no' }]);
    expect(await Promise.race([stream.ended, stream.says(`"id":"${runId}"`)])).toBe(undefined);
  });
});

it('a stream whose read was given up, because Redis does not answer, reads once more', async () => {
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const streams = createStreams({ log });
  let turns = 0;
  const app = new Hono().get('/', (c) =>
    streams.turns(
      c,
      { resource: 'x', stands: async () => await Promise.resolve(true) },
      {
        listen: () => () => {},
        turn: async (stream) => {
          turns += 1;
          if (turns === 1) throw new Error('Command timed out');
          await stream.write({ event: 'told', data: '{}' });
          return 'end';
        },
      },
    ),
  );
  expect(await (await app.request('/')).text()).toBe('event: told\ndata: {}\n\n');
});

describe('the stream of the list of runs', () => {
  it('tells of the visitor’s runs alone', async () => {
    const [mine, other] = [await tenant('mine'), await tenant('theirs')];
    const streams = await Promise.all([read(mine.bySession('/runs/live')), read(other.bySession('/runs/live'))]);
    for (const stream of streams) await stream.says(': connected');
    const cancel = async (runId: string) => {
      // one without a tree ends at once
      await redis.hset(shardKeys(0).run(runId), 'state', 'accepted');
      await createRuns({ redis }).cancel(runId, 'test');
    };
    await cancel(other.runId);
    await streams[1].says('event: change');
    await cancel(mine.runId);
    await streams[0].says('event: change');
    expect(streams[0].text().match(/event: change/g)).toHaveLength(1);
  });
});

describe('open streams', () => {
  it('are limited for each resource, of API and pages together, and one that is left makes room', async () => {
    const { runId, byToken, bySession } = await tenant('many');
    const another = await tenant('another');
    const streams = await Promise.all(
      Array.from({ length: MOST }, (_, i) => read(i % 2 === 0 ? byToken('/v1/events') : bySession('/runs/live'))),
    );
    const refused = await byToken(`/v1/runs/${runId}/events`);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('15');
    expect(await refused.json()).toMatchObject({ title: 'rate_limited', detail: expect.stringContaining('50') });
    const page = await bySession('/runs/live');
    expect([page.status, page.headers.get('retry-after')]).toEqual([429, '15']);
    await read(another.byToken('/v1/events'));
    await streams[0]?.leave();
    await read(byToken('/v1/events'));
  });

  it('are none of what is asked for by HEAD, which nobody reads', async () => {
    const { byToken } = await tenant('heads');
    for (let i = 0; i <= MOST; i += 1) expect((await byToken('/v1/events', 'HEAD')).status).toBe(200);
    await read(byToken('/v1/events'));
  });
});
