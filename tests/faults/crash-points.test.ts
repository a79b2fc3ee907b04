// A worker dies by SIGKILL before and after every durable step; another one takes over, and the run ends as if nothing
// had happened.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FailpointName } from '../../src/schema/failpoint.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import type { DynoScript } from '../support/heroku-stub.ts';
import { type CrashWorld, startWorld } from '../support/process-world.ts';

const scripts: Record<string, DynoScript> = {
  ok: (dyno) => dyno.output(50),
  exit1: (dyno) => dyno.exit(50, 1),
  flaky: (dyno) => (dyno.attempt === 1 ? dyno.exit(50, 1) : dyno.output(50)),
};

// with retries: wherever the worker dies, another task may stand between its intent and its launch
const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 60, retries: 2, ...more });
const group = (...tasks: unknown[]) => ({ parallel: tasks });
const shape = [t('ok'), group(t('ok'), t('ok'), t('ok')), t('ok')];
const failing = [group(t('exit1', { retries: 0 }), t('ok')), group(t('ok'), t('ok')), t('ok')];
const retrying = [t('flaky', { retries: 1, backoff: { type: 'fixed', delay: 0.1 } }), t('ok')];

interface Case {
  readonly at: FailpointName;
  /** At which passing. */
  readonly nth?: number;
  readonly run?: unknown[];
  readonly state?: RunView['state'];
  readonly launches?: number;
}

const cases: Record<string, Case> = {
  'an object was read and nothing of it decided': { at: 'events.read' },
  'a run was recorded before its tree': { at: 'events.accepted' },
  'the planner was about to make the tree': { at: 'plan.checked' },
  'the tree was made': { at: 'plan.added' },
  'a run was decided and its message not deleted': { at: 'events.decided' },
  'an output was decided and its message not deleted': { at: 'events.decided', nth: 2 },
  'a launch was answered and not recorded': { at: 'task.posted' },
  'a launch in a group was answered and not recorded': { at: 'task.posted', nth: 3 },
  'a launch was recorded and its task not parked': { at: 'task.launched' },
  'a task was parked': { at: 'task.parked' },
  'a run had failed and its other tasks were not skipped': { at: 'task.judged', run: failing, state: 'failed', launches: 2 },
  'a retry was recorded and its task not parked': { at: 'task.judged', run: retrying, launches: 3 },
  'a run was about to end': { at: 'finish.entered' },
  'a run had ended and its job had not': { at: 'finish.ended' },
};

let world: CrashWorld;
beforeAll(async () => {
  world = await startWorld(scripts);
});
afterAll(async () => {
  await world.stop();
});

describe('a worker that is killed when', { timeout: 150_000 }, () => {
  for (const [name, one] of Object.entries(cases)) {
    it(name, async () => {
      const victim = await world.startWorker(`${one.at}:${one.nth ?? 1}`);
      const runId = await world.upload(one.run ?? shape);
      expect(await victim.ended).toBe('SIGKILL');
      await world.passVisibility();
      const survivor = await world.startSurvivor();
      try {
        const run = await world.ended(runId);
        expect(run.state, JSON.stringify(run.history)).toBe(one.state ?? 'succeeded');
        await world.drained();
        await world.expectSound(run);
        expect(world.launches(runId)).toHaveLength(one.launches ?? 5);
      } finally {
        await survivor.stop();
      }
    });
  }
});
