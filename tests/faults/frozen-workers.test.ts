// A worker freezes (SIGSTOP) between two steps, another one takes its work over, and then it goes on with what it was
// about to do: the zombie must find out that it is one.
import { afterEach, describe, expect, it } from 'vitest';
import type { DynoScript } from '../support/heroku-stub.ts';
import { type CrashWorld, startWorld } from '../support/process-world.ts';
import { until } from '../support/until.ts';

const scripts: Record<string, DynoScript> = {
  ok: (dyno) => dyno.output(50),
  slow: (dyno) => dyno.output(400),
  flaky: (dyno) => (dyno.attempt === 1 ? dyno.exit(50, 1) : dyno.output(50)),
};

const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 60, retries: 0, ...more });
const group = (...tasks: unknown[]) => ({ parallel: tasks });
const shape = [t('ok'), group(t('ok'), t('slow'), t('ok')), t('ok')];

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** A worker that froze at the failpoint in the middle of a run, and one that took over. */
async function takeOver(failpoint: string, run: unknown[]) {
  const world = await startWorld(scripts);
  cleanups.push(() => world.stop());
  const zombie = await world.startWorker(failpoint);
  const runId = await world.upload(run);
  await zombie.frozen();
  await world.passVisibility();
  const survivor = await world.startSurvivor();
  const stop = world.giveMarkersBack();
  cleanups.push(async () => {
    stop();
    await survivor.stop();
  });
  /** The zombie goes on, sees the end of whatever it was at, and stops as it is told. */
  const awaken = () => zombie.signal('SIGCONT');
  const endZombie = async () => {
    zombie.signal('SIGTERM');
    expect(await zombie.ended).toBe('0');
  };
  /** The run has succeeded, the zombie is gone, and neither left anything behind or did anything twice. */
  const expectSoundEnd = async () => {
    const run = await world.ended(runId);
    expect(run.state).toBe('succeeded');
    await endZombie();
    await world.drained();
    await world.expectSound(run);
  };
  return { world, runId, awaken, endZombie, expectSoundEnd };
}

const somethingLaunched = async (world: CrashWorld, runId: string, count: number) => {
  await until('launches', () => world.launches(runId).length >= count, 60_000);
};

describe('a worker that freezes', { timeout: 150_000 }, () => {
  it('between the check and the making of a tree adds nothing in the middle of the run', async () => {
    const { world, runId, awaken, expectSoundEnd } = await takeOver('plan.checked:1:SIGSTOP', shape);
    await somethingLaunched(world, runId, 2);
    awaken();
    await expectSoundEnd();
    expect(world.launches(runId)).toHaveLength(5);
  });

  it('between the check and the making of a tree adds nothing after the end', async () => {
    const { world, runId, awaken, expectSoundEnd } = await takeOver('plan.checked:1:SIGSTOP', shape);
    await world.ended(runId);
    awaken();
    await expectSoundEnd();
    expect(world.launches(runId)).toHaveLength(5);
  });

  it('between a launch and its record leaves the dyno to be adopted, and records nothing twice', async () => {
    const { world, runId, awaken, expectSoundEnd } = await takeOver('task.posted:1:SIGSTOP', [t('slow'), t('ok')]);
    const adopted = await until(
      'the adoption or the output',
      async () => (await world.show(runId))?.history.find(({ what }) => what === 'adopted' || what === 'output'),
      30_000,
    );
    expect(adopted.attempt).toBe(1);
    awaken();
    await expectSoundEnd();
    expect(world.launches(runId)).toEqual([`${runId}.0.0/1`, `${runId}.1.0/1`]);
    expect(world.stub.stopped()).toEqual([]);
  });

  it('between a record and the park leaves the task where its new owner has it', async () => {
    const { world, runId, awaken, expectSoundEnd } = await takeOver('task.launched:1:SIGSTOP', [t('slow'), t('ok')]);
    await until('the second task', async () => world.launches(runId).length === 2, 60_000);
    awaken();
    await expectSoundEnd();
  });

  it('before it parks a retry starts no third attempt', async () => {
    const retrying = t('flaky', { retries: 1, backoff: { type: 'fixed', delay: 0.1 } });
    const { world, runId, awaken, expectSoundEnd } = await takeOver('task.judged:1:SIGSTOP', [retrying, t('ok')]);
    await somethingLaunched(world, runId, 2);
    awaken();
    await expectSoundEnd();
    expect(world.launches(runId)).toEqual([`${runId}.0.0/1`, `${runId}.0.0/2`, `${runId}.1.0/1`]);
  });
});

describe.concurrent('a worker that is lost between the intent and the launch', { timeout: 150_000 }, () => {
  it('and wakes when another attempt runs sends nothing any more', async () => {
    const world = await startWorld(scripts);
    try {
      const zombie = await world.startWorker('task.intent:1:SIGSTOP');
      const runId = await world.upload([t('slow', { retries: 2, wait_for: 1 }), t('ok')]);
      await zombie.frozen();
      await world.passVisibility();
      const survivor = await world.startSurvivor();
      const stop = world.giveMarkersBack();
      await somethingLaunched(world, runId, 1);
      zombie.signal('SIGCONT');
      const run = await world.ended(runId);
      zombie.signal('SIGTERM');
      expect(await zombie.ended).toBe('0');
      expect(run.state).toBe('succeeded');
      expect(world.launches(runId)).toEqual([`${runId}.0.0/2`, `${runId}.1.0/1`]);
      expect(run.history.filter(({ what }) => what === 'lost')).toHaveLength(1);
      await world.expectSound(run);
      stop();
      await survivor.stop();
    } finally {
      await world.stop();
    }
  });

  it('and never comes back fails a task without retries as launch_unknown, and nobody launches it', async () => {
    const world = await startWorld(scripts);
    try {
      const victim = await world.startWorker('task.intent:1');
      const runId = await world.upload([t('ok'), t('ok')]);
      expect(await victim.ended).toBe('SIGKILL');
      await world.passVisibility();
      const survivor = await world.startSurvivor();
      const run = await world.ended(runId);
      expect([run.state, run.error?.code]).toEqual(['failed', 'launch_unknown']);
      expect(world.launches(runId)).toEqual([]);
      await world.drained();
      await world.expectSound(run);
      await survivor.stop();
    } finally {
      await world.stop();
    }
  });
});
