// Health is progress: what is up but serves nothing of the due work is red, and gives itself up.
import { describe, expect, it } from 'vitest';
import { within } from '../../src/clients/deadline.ts';
import { startLiveness } from '../../src/processors/liveness.ts';
import { connect } from '../../src/queues/connection.ts';
import { redisTime } from '../../src/queues/due.ts';
import { createFleet } from '../../src/queues/fleet.ts';
import { QUEUES, shardKeys } from '../../src/queues/keys.ts';
import { createWorkerSigns } from '../../src/queues/worker-signs.ts';
import { createProgressWatch, type Sample } from '../../src/schema/progress.ts';
import { startWorld } from '../support/process-world.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { startRedis } from '../support/redis-server.ts';
import { openTestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

/** In production 30 s; red comes at most a sixth of it later, the end of the process after twice as long. */
const STALL = { AUTOFILES_STALL_MS: '1200' };
/**
 * For what must be seen while it is red and has not ended yet. The end comes soon enough: six seconds after BullMQ began to wait for a job it looks
 * for one by itself, and serves it.
 */
const SLOW_STALL = { AUTOFILES_STALL_MS: '1800' };

async function healthOf(port: number | undefined): Promise<{ status: number; problems: string[] }> {
  const response = await fetch(`http://127.0.0.1:${port}/healthz`);
  const { problems } = (await response.json()) as { problems: string[] };
  return { status: response.status, problems };
}

describe('a worker that is up and serves nothing', () => {
  it('turns its own health and that of the web process red, ends, and a fresh one does the work', async () => {
    const world = await startWorld({ ok: (dyno) => dyno.output(0) });
    const proxy = await startRedisProxy(world.redisServer.socket);
    const web = await openTestWeb(world.redisServer, { env: SLOW_STALL });
    try {
      const worker = await world.startWorker('', { ...SLOW_STALL, AUTOFILES_REDIS_SOCKET: proxy.socket, AUTOFILES_WORKER_PORT: '0' });
      expect((await world.ended(await world.upload([{ cmd: 'ok', timeout: 30 }]))).state).toBe('succeeded');
      const alive = async () => {
        const response = await web.call('GET', '/healthz', { token: undefined });
        const body = (await response.json()) as { workers: { alive: number } };
        return response.status === 200 && body.workers.alive === 1;
      };
      await until('the first sign of life', alive);
      expect(await healthOf(worker.port)).toEqual({ status: 200, problems: [] });

      // it polls its queue, holds its connections and answers; only, no job reaches it any more
      proxy.wedgeBlocking();
      const runId = await world.upload([{ cmd: 'ok', timeout: 30 }]);
      const red = await until('red health of the worker', async () => {
        const health = await healthOf(worker.port);
        return health.status === 503 && health;
      });
      expect(red.problems.join()).toMatch(/nothing of it is served: (task|plan|finish) 0/);
      const fleet = await until('red health of the whole', async () => {
        const response = await web.call('GET', '/healthz', { token: undefined });
        return response.status === 503 && (await response.json());
      });
      expect(fleet).toMatchObject({
        status: 'stalled',
        // one may come before the other, and by then both may be there
        problems: expect.arrayContaining([expect.stringMatching(/1 of 1 workers serve nothing|due and none was served/)]),
      });
      expect((await web.call('GET', '/readyz', { token: undefined })).status).toBe(200);

      expect(await worker.ended).toBe('1');
      await world.startWorker('', SLOW_STALL);
      expect((await world.ended(runId)).state).toBe('succeeded');
      await until('green again', async () => (await web.call('GET', '/healthz', { token: undefined })).status === 200);
    } finally {
      await web.close();
      await world.stop();
      await proxy.close();
    }
  });

  it('is missed when it is frozen, and when there is none', async () => {
    const world = await startWorld({ ok: (dyno) => dyno.output(0) });
    const web = await openTestWeb(world.redisServer, { env: STALL });
    const fleet = async () => {
      const response = await web.call('GET', '/healthz', { token: undefined });
      return { status: response.status, body: (await response.json()) as { problems: string[]; workers: Record<string, number> } };
    };
    try {
      await until('no worker', async () => (await fleet()).status === 503);
      const worker = await world.startWorker('', STALL);
      await until('a worker', async () => (await fleet()).status === 200);
      worker.signal('SIGSTOP');
      await worker.frozen();
      const missed = await until('a frozen worker is missed', async () => {
        const found = await fleet();
        return found.status === 503 && found;
      });
      expect(missed.body.problems).toEqual([expect.stringContaining('No worker has given a sign of life')]);
      expect(missed.body.workers).toMatchObject({ alive: 0, silent: 1 });
      worker.signal('SIGCONT');
      await until('it lives again', async () => (await fleet()).status === 200);
      // one that stops in order is not missed
      worker.signal('SIGTERM');
      expect(await worker.ended).toBe('0');
      await until('its sign is withdrawn', async () => {
        const { alive, silent } = (await fleet()).body.workers;
        return alive === 0 && silent === 0;
      });
    } finally {
      await web.close();
      await world.stop();
    }
  });
});

describe('a worker whose Redis takes no writes', () => {
  it('gives itself up all the same when work is due and nothing is served', async () => {
    const server = await startRedis();
    const redis = connect({ socket: server.socket }, () => {});
    let clock = 0;
    try {
      await redis.rpush(shardKeys(0).job(QUEUES.task, 'wait'), 'a job that nobody serves');
      const dead = new Promise<readonly string[]>((onDead) => {
        const liveness = startLiveness({
          redis,
          signs: {
            ...createWorkerSigns({ redis }),
            // as Redis answers while it is a replica: it reads, and writes nothing
            give: () => Promise.reject(new Error("READONLY You can't write against a read only replica.")),
          },
          worker: 'w',
          shards: () => [0],
          queue: { waiting: () => Promise.resolve(0) },
          queueUrl: 'events',
          served: new Map(),
          lastPollAt: () => 0,
          stallMs: 60,
          onDead: (what) => {
            void liveness.stop();
            onDead(what);
          },
          monotonic: () => {
            clock += 20;
            return clock;
          },
          log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
        });
      });
      expect(await within({}, 10_000, () => dead)).toEqual(['task 0']);
    } finally {
      redis.disconnect();
      await server.stop();
    }
  });
});

describe('the whole', () => {
  it('is as healthy as when it was looked at last, however long Redis has been away since, and judged anew by looks alone', async () => {
    const server = await startRedis();
    const redis = connect({ socket: server.socket }, () => {});
    const signs = createWorkerSigns({ redis });
    let at = 0;
    let served = 0;
    const fleet = createFleet({ redis, signs, shards: () => [0], limit: 30_000, every: 5_000, monotonic: () => at });
    const look = async () => {
      await signs.give('w', { at: await redisTime(redis), served, messages: 0, stalled: [] });
      await fleet.look();
      at += 5_000;
      return fleet.report().healthy;
    };
    try {
      // in a busy system something is due at every look
      await redis.rpush(shardKeys(0).job(QUEUES.task, 'wait'), 'a job');
      for (served = 1; served < 5; served += 1) expect(await look()).toBe(true);
      at += 60_000;
      expect(fleet.report()).toMatchObject({ healthy: true, problems: [] });
      for (const end = at + 30_000; at < end; ) expect(await look()).toBe(true);
      expect(await look()).toBe(false);
      expect(fleet.report().problems).toEqual([expect.stringContaining('1 jobs are due and none was served for 30 s')]);
    } finally {
      redis.disconnect();
      await server.stop();
    }
  });
});

describe('progress', () => {
  const look = (watch: ReturnType<typeof createProgressWatch>, at: number, due: number, served: number) =>
    watch.look(new Map<string, Sample>([['task 0', { due, served }]]), at);

  it('stalls only when work is due at every look and none is served for the whole limit', () => {
    const watch = createProgressWatch({ limit: 100, every: 20 });
    for (let at = 0; at <= 90; at += 10) look(watch, at, 5, 7);
    expect(watch.stalls(90)).toEqual([]);
    look(watch, 100, 5, 7);
    expect(watch.stalls(100)).toEqual([{ what: 'task 0', since: 0 }]);
    look(watch, 110, 5, 8);
    expect(watch.stalls(110)).toEqual([]);
    for (let at = 120; at <= 200; at += 10) look(watch, at, at === 190 ? 0 : 5, 8);
    expect(watch.stalls(400)).toEqual([{ what: 'task 0', since: 200 }]);
    expect(watch.stalls(299)).toEqual([]);
  });

  it('does not blame the work for the time in which the watcher itself was away', () => {
    const watch = createProgressWatch({ limit: 100, every: 20 });
    look(watch, 0, 1, 0);
    look(watch, 20, 1, 0);
    look(watch, 500, 1, 0);
    expect(watch.stalls(500)).toEqual([]);
    for (let at = 520; at <= 600; at += 20) look(watch, at, 1, 0);
    expect(watch.stalls(600)).toHaveLength(1);
  });
});

describe('a worker and a web process on an unsafe Redis', () => {
  it('refuse to start when it may throw keys away', async () => {
    const world = await startWorld({});
    try {
      await world.redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
      await expect(world.startWorker()).rejects.toThrow(/ended with 1: [\s\S]*maxmemory-policy allkeys-lru, expected noeviction/);
      await world.redis.config('SET', 'maxmemory-policy', 'noeviction');
      await world.redis.config('SET', 'appendonly', 'no');
      const worker = await world.startWorker();
      worker.signal('SIGTERM');
      await worker.ended;
      expect(worker.said()).toContain('no append-only file');
    } finally {
      await world.stop();
    }
  });
});
