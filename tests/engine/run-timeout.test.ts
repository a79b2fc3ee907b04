// A run may say how long the whole of it may take.
import { afterEach, describe, expect, it } from 'vitest';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { startRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

/** What a launch that is held up comes to when its test lets it go on; `under way` once it is. */
const held = { underWay: Promise.withResolvers<void>(), refuse: Promise.withResolvers<void>() };

const scripts: Record<string, Script> = {
  refused_late: async () => {
    held.underWay.resolve();
    await held.refuse.promise;
    return { outcome: 'refused', status: 422, id: 'invalid_params', message: 'Unknown size.', heal: false };
  },
  ok: async ({ output, exit, accept }) => {
    await output(10);
    exit(20);
    return accept();
  },
  silent: ({ accept }) => accept(),
};

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function setup() {
  const server = await startRedis();
  cleanups.push(() => server.stop());
  const engine = await startTestEngine(server, scripts, { sweepMs: 100 });
  cleanups.push(() => engine.stop());
  const upload = (timeout: number, run: unknown[]) => {
    const key = `in/${timeout}`;
    return engine.runIdOf(key, engine.cloud.put(key, JSON.stringify({ timeout, run }), { ld_run: 'true' }));
  };
  return { ...engine, upload, budget: createBudget({ redis: engine.redis, perHour: 1_000_000_000, log: engine.options.log }) };
}

describe('a run with a timeout', () => {
  it('fails when it passes: its dyno is stopped, what has not begun is skipped, and the reason is said', async () => {
    const own = await setup();
    // time enough for the first task and the launch of the second on a slow machine
    const runId = own.upload(4, [{ cmd: 'ok' }, { cmd: 'silent', timeout: 600 }, { cmd: 'ok' }]);
    const run = await own.ended(runId, 30_000);
    expect(run.state).toBe('failed');
    expect(run.error).toEqual({ code: 'run_timed_out', message: 'not ended within 4 s' });
    expect(run.steps.map((step) => step.tasks[0]?.state)).toEqual(['succeeded', 'skipped', 'skipped']);
    expect(own.cloud.postsOf(runId)).toHaveLength(2);
    await until('the stop', () => own.cloud.stopped.length === 1);
  });

  it('fails also while its launches are held back', async () => {
    const own = await setup();
    await own.budget.pause(ADDON_ACCOUNT, own.resource);
    const run = await own.ended(own.upload(1, [{ cmd: 'ok' }]), 30_000);
    expect(run.error?.code).toBe('run_timed_out');
    expect(own.cloud.posts).toHaveLength(0);
  });

  it('fails when it passes while the last launch is under way, and that is refused for good', async () => {
    const own = await setup();
    const runId = own.upload(600, [{ cmd: 'ok' }, { cmd: 'refused_late' }]);
    await held.underWay.promise;
    expect(await own.runs.expire(runId, 1)).toBe('cancelling');
    held.refuse.resolve();
    const run = await own.ended(runId);
    expect(run.steps.map((step) => step.tasks[0]?.state)).toEqual(['succeeded', 'failed']);
    expect(run.state).toBe('failed');
    expect(run.error?.code).toBe('run_timed_out');
  });

  it('is not touched when it ends in time', async () => {
    const own = await setup();
    const run = await own.ended(own.upload(600, [{ cmd: 'ok' }, { cmd: 'ok' }]));
    expect(run.state).toBe('succeeded');
    expect(run.error).toBeNull();
  });
});
