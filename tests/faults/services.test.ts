// Redis, the store or the workers are killed in the middle of many runs; all runs end right, and no attempt is launched
// twice.
import { afterEach, describe, expect, it } from 'vitest';
import type { DynoScript } from '../support/heroku-stub.ts';
import { type CrashWorld, startWorld } from '../support/process-world.ts';
import { until } from '../support/until.ts';

const scripts: Record<string, DynoScript> = {
  ok: (dyno) => dyno.output(100 + ((dyno.taskId.charCodeAt(6) * 37) % 400)),
};

const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 120, retries: 2, ...more });
const group = (...tasks: unknown[]) => ({ parallel: tasks });
const shape = [t('ok'), group(t('ok'), t('ok'), t('ok')), t('ok', { wait_for: 1 }), t('ok')];
const TASKS = 6;
const RUNS = 8;

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function setup(options: Parameters<typeof startWorld>[1] = {}): Promise<CrashWorld> {
  const world = await startWorld(scripts, options);
  cleanups.push(() => world.stop());
  return world;
}

const uploadAll = async (world: CrashWorld) => await Promise.all(Array.from({ length: RUNS }, () => world.upload(shape)));
const launched = (world: CrashWorld, count: number) => until(`${count} launches`, () => world.stub.ledger().length >= count, 30_000);

/** All runs succeeded, and each task was launched as often as its attempts say. */
async function expectAllWell(world: CrashWorld, runIds: readonly string[]): Promise<void> {
  for (const runId of runIds) {
    const run = await world.ended(runId, 90_000);
    expect(run.state, JSON.stringify(run.history.slice(-20))).toBe('succeeded');
    await world.expectSound(run);
    expect(world.launches(runId).length).toBeGreaterThanOrEqual(TASKS);
  }
  await world.drained();
}

// many runs, boots and back-offs of ten seconds on a machine that may be busy
describe('in the middle of many runs', { timeout: 150_000 }, () => {
  it('redis is killed twice and comes back from its append-only file', async () => {
    // without what it answered last an attempt could be launched again
    const world = await setup({ fsync: 'always' });
    await world.startWorker();
    const runIds = await uploadAll(world);
    for (const progress of [RUNS / 2, RUNS * 3]) {
      await launched(world, progress);
      await world.redisServer.crashAndRestart();
    }
    await expectAllWell(world, runIds);
  });

  it('the store, and the queue in it, is killed twice', async () => {
    const world = await setup({ storeProcess: true });
    await world.startWorker();
    const runIds = await uploadAll(world);
    for (const progress of [RUNS / 2, RUNS * 3]) {
      await launched(world, progress);
      await world.crashStore();
    }
    await expectAllWell(world, runIds);
    // an answered launch was never taken for a failed one: nothing was started anew because the store was away
    expect(world.stub.ledger()).toHaveLength(RUNS * TASKS);
  });

  it('a worker is told to stop and ends well while another one goes on', async () => {
    const world = await setup();
    const first = await world.startWorker();
    const runIds = await uploadAll(world);
    await launched(world, RUNS);
    const survivor = await world.startSurvivor();
    first.signal('SIGTERM');
    expect(await first.ended).toBe('0');
    // what its last receive had been given when it was cut short
    await world.passVisibility();
    await expectAllWell(world, runIds);
    expect(world.stub.ledger()).toHaveLength(RUNS * TASKS);
    await survivor.stop();
  });

  it('workers are killed one after the other, wherever they are', async () => {
    const world = await setup();
    const runIds = await uploadAll(world);
    for (const progress of [3, 12, 20, 30]) {
      const victim = await world.startWorker();
      await launched(world, progress);
      victim.signal('SIGKILL');
      expect(await victim.ended).toBe('SIGKILL');
      await world.passVisibility();
    }
    const survivor = await world.startSurvivor();
    await expectAllWell(world, runIds);
    await survivor.stop();
  });

  it('a worker is killed while a task cools: the rest of its wait_for passes, and no more', async () => {
    const world = await setup();
    const victim = await world.startWorker();
    const runId = await world.upload([t('ok', { wait_for: 4 }), t('ok')]);
    const at = async (what: string, task: string) =>
      Date.parse((await world.show(runId))?.history.find((entry) => entry.what === what && entry.task?.endsWith(task))?.at ?? '');
    await until('the task to cool', async () => (await at('cooling', '.0.0')) > 0);
    victim.signal('SIGKILL');
    expect(await victim.ended).toBe('SIGKILL');
    await world.passVisibility();
    const survivor = await world.startSurvivor();
    const run = await world.ended(runId, 90_000);
    expect(run.state).toBe('succeeded');
    const waited = (await at('intent', '.1.0')) - (await at('output', '.0.0'));
    expect(waited).toBeGreaterThanOrEqual(4_000);
    expect(waited).toBeLessThan(4_000 + 30_000);
    expect(world.launches(runId)).toHaveLength(2);
    await world.expectSound(run);
    await survivor.stop();
  });
});
