// What an operator’s tools are told of worker and web: metrics, also where Redis is away.
import { describe, expect, it } from 'vitest';
import { openMetrics } from '../../src/cli/observability.ts';
import { within } from '../../src/clients/deadline.ts';
import { observedRuns } from '../../src/processors/observed.ts';
import { connect } from '../../src/queues/connection.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { NO_TELEMETRY } from '../../src/schema/telemetry.ts';
import { startWorld } from '../support/process-world.ts';
import { startRedis } from '../support/redis-server.ts';
import { seedId, seedRuns } from '../support/seed-runs.ts';
import { openTestWeb } from '../support/test-web.ts';
import { until } from '../support/until.ts';

describe('metrics', () => {
  it('tell what the process did and what Redis knows of the whole', async () => {
    const world = await startWorld({ ok: (dyno) => dyno.output(5), silent: () => {} });
    const web = await openTestWeb(world.redisServer, { env: { AUTOFILES_STALL_MS: '1200' } });
    try {
      const worker = await world.startWorker('', { AUTOFILES_WORKER_PORT: '0', AUTOFILES_STALL_MS: '1200' });
      const scrape = async () => await (await fetch(`http://127.0.0.1:${worker.port}/metrics`)).text();
      const before = await scrape();
      expect(before).toContain('autofiles_decisions_total{kind="run"} 0');
      await world.ended(
        await world.upload([
          { cmd: 'ok', timeout: 30 },
          { cmd: 'ok', timeout: 30 },
        ]),
      );
      await world.clients.store.put(world.resource.bucket, 'in/plain', 'x');
      const waiting = await world.upload([{ cmd: 'silent', timeout: 30 }]);
      await until('its launch', () => world.launches(waiting).length === 1);
      const expected = [
        'autofiles_decisions_total{kind="run"} 2',
        'autofiles_decisions_total{kind="output"} 2',
        'autofiles_decisions_total{kind="ignored"} 1',
        'autofiles_launch_seconds_count{outcome="accepted"} 3',
        'autofiles_task_decisions_total{action="launch"} 3',
        'autofiles_runs_ended_total{state="succeeded"} 1',
        'autofiles_run_seconds_count{state="succeeded"} 1',
        'autofiles_event_lag_seconds_count 5',
        'autofiles_jobs{queue="task",state="parked"} 1',
        'autofiles_runs_live 1',
        'autofiles_budget_per_hour 1000000',
        'autofiles_budget_spent{on="launches"} 3',
        'autofiles_stalled 0',
      ];
      let text = '';
      const missing = () => expected.filter((line) => !text.includes(`${line}\n`));
      await until('all counts', async () => {
        text = await scrape();
        return missing().length === 0;
      }).catch(() => expect(missing()).toEqual([]));
      const whole = await until('a worker seen', async () => {
        const found = await (await web.call('GET', '/metrics', { token: undefined })).text();
        return found.includes('autofiles_workers{state="alive"} 1') && found;
      });
      expect(whole).toContain('autofiles_runs_live 1\n');
      expect(whole).toContain('autofiles_jobs{queue="task",state="parked"} 1\n');
    } finally {
      await web.close();
      await world.stop();
    }
  });

  it('count a run that ends before it began, wherever it is stopped, and once', async () => {
    const server = await startRedis();
    const redis = connect({ socket: server.socket }, () => {});
    const web = await openTestWeb(server);
    const ended: string[] = [];
    const runs = observedRuns(createRuns({ redis }), { ...NO_TELEMETRY, runEnded: (runId, state) => ended.push(`${runId} ${state}`) });
    const scrape = async () => await (await web.call('GET', '/metrics', { token: undefined })).text();
    try {
      expect(await scrape()).not.toContain('autofiles_runs_ended_total{');
      const [late, unwanted] = [seedId('late'), seedId('unwanted')];
      await seedRuns(
        redis,
        [late, unwanted].map((runId) => ({ runId, resource: web.resource })),
      );
      for (const _time of ['once', 'again']) {
        await runs.expire(late, 5);
        expect(await (await web.call('POST', `/v1/runs/${unwanted}/cancel`)).json()).toMatchObject({ state: 'cancelled' });
      }
      expect(ended).toEqual([`${late} failed`]);
      const text = await until('the time that the run took', async () => {
        const found = await scrape();
        return found.includes('autofiles_run_seconds_count{state="cancelled"}') && found;
      });
      expect(text).toContain('autofiles_run_seconds_count{state="cancelled"} 1\n');
      expect(text).toContain('autofiles_runs_ended_total{state="cancelled"} 1\n');
    } finally {
      await web.close();
      redis.disconnect();
      await server.stop();
    }
  });

  it('of a worker are told while its Redis is away, too', async () => {
    const world = await startWorld({});
    try {
      const worker = await world.startWorker('', { AUTOFILES_WORKER_PORT: '0' });
      const scrape = async () =>
        await (await fetch(`http://127.0.0.1:${worker.port}/metrics`, { signal: AbortSignal.timeout(30_000) })).text();
      expect(await scrape()).toContain('autofiles_runs_live 0\n');
      await world.redisServer.crash();
      expect(await scrape()).toContain('autofiles_decisions_total{kind="run"} 0\n');
    } finally {
      await world.stop();
    }
  });

  it('are told where no node of a cluster is reached, and one read at a time is asked of it', async () => {
    // nobody listens there
    const redis = connect({ cluster: ['redis://127.0.0.1:1'] }, () => {});
    let asked = 0;
    const time = redis.time.bind(redis);
    redis.time = async () => {
      asked += 1;
      return await time();
    };
    const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
    try {
      const metrics = await openMetrics({ redis, shards: () => [0], perHour: 1_000, stalled: () => 0, log });
      const answers = await within({}, 30_000, () => Promise.all([metrics.render(), metrics.render()]));
      for (const { text } of answers) expect(text).toContain('autofiles_stalled 0\n');
      expect(asked).toBe(1);
    } finally {
      redis.disconnect();
    }
  });

  it('are closed in production without their token', async () => {
    const world = await startWorld({});
    const closed = await openTestWeb(world.redisServer, {
      env: { AUTOFILES_MODE: 'production', AUTOFILES_ARCHIVE_BUCKET: 'acme-archive' },
    });
    const guarded = await openTestWeb(world.redisServer, {
      env: { AUTOFILES_MODE: 'production', AUTOFILES_ARCHIVE_BUCKET: 'acme-archive', AUTOFILES_METRICS_TOKEN: 'scrape-me' },
    });
    try {
      const ask = async (web: typeof closed, token: string | undefined) => (await web.call('GET', '/metrics', { token })).status;
      expect(await ask(closed, undefined)).toBe(401);
      expect(await ask(closed, 'undefined')).toBe(401);
      expect(await ask(guarded, undefined)).toBe(401);
      expect(await ask(guarded, guarded.token)).toBe(401);
      expect(await ask(guarded, 'scrape-me')).toBe(200);
    } finally {
      await closed.close();
      await guarded.close();
      await world.stop();
    }
  });
});
