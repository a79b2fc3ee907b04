// How a task's waiting ends when no output comes: deadline, exit and grace, retries, launches of unknown fate, cancelling.
// Times are read from the run's own history, which is behaviour: never early, and decided within six seconds.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LaunchOutcome } from '../../src/clients/ports.ts';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { QUEUES, resourceKey, shardKeys } from '../../src/queues/keys.ts';
import { parseTaskId } from '../../src/schema/ids.ts';
import type { HistoryEntry, RunView } from '../../src/schema/run-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

/** Milliseconds: a verdict is due that long after the deadline at the latest (DESIGN §4). */
const VERDICT_MS = 6_000;
/** Makes launches of unknown fate count as lost 400 ms after their intent instead of 11 s. */
const SOON_LOST = { adoptMarginMs: -10_600 };

const unknown: LaunchOutcome = { outcome: 'unknown', cause: 'reset' };
const gates = new Map<string, Promise<unknown>>();

const scripts: Record<string, Script> = {
  ok: async (dyno) => {
    await dyno.output(5);
    return dyno.accept();
  },
  silent: (dyno) => dyno.accept(),
  exit3: (dyno) => {
    dyno.exit(20, 3);
    return dyno.accept();
  },
  exit_without_event: async (dyno) => {
    await dyno.output(0, { ld_state: 'there' }, { eventLost: true });
    dyno.exit(20, 0);
    return dyno.accept();
  },
  lost_event: async (dyno) => {
    await dyno.output(10, {}, { eventLost: true });
    return dyno.accept();
  },
  late_event: async (dyno) => {
    // within the grace of its test, and late enough for the exit to be seen first
    await dyno.output(0, {}, { key: `odd/${dyno.post.taskId}`, eventDelay: 1200 });
    dyno.exit(10, 1);
    return dyno.accept();
  },
  gated: async (dyno) => {
    await dyno.output(0);
    await gates.get(dyno.post.taskId);
    return dyno.accept();
  },
  fails_first: async (dyno) => {
    if (dyno.post.attempt === 1) dyno.exit(150, 1);
    else await dyno.output(5);
    return dyno.accept();
  },
  up: (dyno) => dyno.accept('up'),
  up_soon: (dyno) => {
    dyno.up(30);
    return dyno.accept();
  },
  never_up: (dyno) => dyno.accept(),
  crash_early: (dyno) => {
    dyno.exit(20, 1, false);
    return dyno.accept();
  },
  absent: () => unknown,
  absent_first: async (dyno) => {
    if (dyno.post.attempt === 1) return unknown;
    await dyno.output(5);
    return dyno.accept();
  },
  arrived: async (dyno) => {
    dyno.accept('up');
    await gates.get(dyno.post.taskId);
    await dyno.output(5);
    return unknown;
  },
};

const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 30, retries: 0, ...more });
const group = (...tasks: unknown[]) => ({ parallel: tasks });
const fixed = (delay: number) => ({ backoff: { type: 'fixed', delay } });

const at = (entry: HistoryEntry | undefined) => Date.parse(entry?.at ?? '');
const find = (run: RunView, what: string, task = '0.0') =>
  run.history.find((entry) => entry.what === what && entry.task?.endsWith(`.${task}`));
const all = (run: RunView, what: string, task = '0.0') =>
  run.history.filter((entry) => entry.what === what && entry.task?.endsWith(`.${task}`));
const stateOf = (run: RunView, step = 0, index = 0) => run.steps[step]?.tasks[index]?.state;

async function seen(engine: TestEngine, runId: string, what: string, task: string | null = '0.0', count = 1): Promise<RunView> {
  return await until(`${what} of ${runId}.${task}`, async () => {
    const run = await engine.show(runId);
    const entries = run?.history.filter((entry) => entry.what === what && (task === null || entry.task?.endsWith(`.${task}`)));
    return (entries?.length ?? 0) >= count ? run : undefined;
  });
}

let redis: TestRedis;
let engine: TestEngine;
beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine(redis, scripts);
});
afterAll(async () => {
  await engine.stop();
  await redis.stop();
});

/** An engine with a Redis of its own, for tests that switch something off. */
async function alone(overrides: Partial<EngineOptions>, test: (own: TestEngine) => Promise<void>): Promise<void> {
  const server = await startRedis();
  const own = await startTestEngine(server, scripts, overrides);
  try {
    await test(own);
  } finally {
    await own.stop();
    await server.stop();
  }
}

const dynoOf = (of: TestEngine, taskId: string, attempt = 1) =>
  [...of.cloud.dynos.values()].find(({ command }) => command.endsWith(`# ${taskId}/${attempt}`));
/** The id of the dyno of a first attempt, which may have ended since. */
const dynoIdOf = (of: TestEngine, taskId: string) => of.cloud.accepted.find(({ command }) => command.endsWith(`# ${taskId}/1`))?.id ?? '';

describe.concurrent('a task without its output', () => {
  it('times out at its deadline, not before, and within six seconds', async () => {
    const runs = await Promise.all([1, 2].map((timeout) => engine.ended(engine.upload([t('silent', { timeout })]))));
    for (const [i, run] of runs.entries()) {
      const waited = at(find(run, 'failed')) - at(find(run, 'launched'));
      expect(run.error).toMatchObject({ code: 'timed_out' });
      expect(waited).toBeGreaterThanOrEqual((i + 1) * 1000);
      expect(waited).toBeLessThanOrEqual((i + 1) * 1000 + VERDICT_MS);
      expect(engine.cloud.postsOf(run.id)).toHaveLength(1);
    }
  });

  it('fails with its exit status after the grace when it ends early', async () => {
    const run = await engine.ended(engine.upload([t('exit3')]));
    expect(run.error).toEqual({ code: 'exited_without_output', message: 'exited 3 without output' });
    expect(at(find(run, 'failed')) - at(find(run, 'exited'))).toBeGreaterThanOrEqual(engine.options.graceMs);
    expect(at(find(run, 'failed')) - at(find(run, 'launched'))).toBeLessThan(30_000);
  });

  it('succeeds when the output comes within the grace after its exit, and not when it never does', async () => {
    await alone({ graceUntilDrained: false, graceMs: 2000 }, async (own) => {
      const [late, never] = [own.upload([t('late_event')]), own.upload([t('exit3')])];
      const run = await own.ended(late);
      expect(run.state).toBe('succeeded');
      expect(at(find(run, 'output'))).toBeGreaterThan(at(find(run, 'exited')));
      const failed = await own.ended(never);
      expect(at(find(failed, 'failed')) - at(find(failed, 'exited'))).toBeGreaterThanOrEqual(2000);
    });
  });

  it('never waits past the deadline for a grace', async () => {
    await alone({ graceUntilDrained: false, graceMs: 60_000 }, async (own) => {
      const run = await own.ended(own.upload([t('exit3', { timeout: 1 })]));
      expect(at(find(run, 'failed')) - at(find(run, 'launched'))).toBeLessThanOrEqual(1000 + VERDICT_MS);
    });
  });

  it('succeeds by the object itself when its event was lost: at the end of the grace, and at the deadline', async () => {
    const [ended, silent] = [engine.upload([t('exit_without_event')]), engine.upload([t('lost_event', { timeout: 1 })])];
    for (const runId of [ended, silent]) {
      const run = await engine.ended(runId);
      expect(run.state, JSON.stringify(run.history)).toBe('succeeded');
      expect(run.steps[0]?.tasks[0]?.output).toMatchObject({ key: `out/${runId}.0.0` });
    }
    expect((await engine.ended(ended)).steps[0]?.tasks[0]?.output?.state).toBe('there');
  });

  it("does not take another task's object for its own", async () => {
    const runId = engine.upload([t('silent', { timeout: 1 })]);
    engine.cloud.putSilently(`out/${runId}.0.0`, 'x', { ld_task_id: `${runId}.0.1` });
    expect((await engine.ended(runId)).error?.code).toBe('timed_out');
  });

  it('is not given up before its deadline because S3 does not answer the last look', async () => {
    await alone({}, async (own) => {
      own.cloud.headsDown = true;
      const runId = own.upload([t('exit_without_event')]);
      own.cloud.headsDown = false;
      await seen(own, runId, 'exited');
      own.cloud.headsDown = true;
      const before = own.cloud.heads;
      await until('looks that S3 did not answer', () => own.cloud.heads >= before + 3);
      expect((await own.show(runId))?.state).toBe('running');
      own.cloud.headsDown = false;
      expect((await own.ended(runId)).state).toBe('succeeded');
    });
  });
});

describe.concurrent('retries', () => {
  it('are bounded and come no sooner than their backoff', async () => {
    const [a, b] = await Promise.all([
      engine.ended(engine.upload([t('exit3', { retries: 3, ...fixed(0.2) })])),
      engine.ended(engine.upload([t('exit3', { retries: 3, backoff: { type: 'exponential', delay: 0.1, max: 0.3 } })])),
    ]);
    for (const [run, delays] of [
      [a, [200, 200, 200]],
      [b, [100, 200, 300]],
    ] as const) {
      expect(engine.cloud.postsOf(run.id).map((post) => post.attempt)).toEqual([1, 2, 3, 4]);
      const retries = all(run, 'retry');
      const intents = all(run, 'intent');
      expect(retries).toHaveLength(3);
      for (const [i, delay] of delays.entries()) expect(at(intents[i + 1]) - at(retries[i])).toBeGreaterThanOrEqual(delay);
      expect(run.error?.code).toBe('exited_without_output');
    }
  });

  it('do not begin in a run that is failing, and what was launched is awaited', async () => {
    const run = await engine.ended(
      engine.upload([
        group(t('exit3'), t('fails_first', { retries: 3, timeout: 30, ...fixed(0.05) }), t('lost_event', { timeout: 2 })),
        t('ok'),
      ]),
    );
    expect(run.state).toBe('failed');
    expect([stateOf(run, 0, 0), stateOf(run, 0, 2), stateOf(run, 1, 0)]).toEqual(['failed', 'succeeded', 'skipped']);
    const failing = run.history.findIndex((entry) => entry.what === 'failing');
    expect(run.history.slice(failing).map((entry) => entry.what)).not.toContain('intent');
    expect(run.history.slice(failing).map((entry) => entry.what)).not.toContain('retry');
  });
});

describe.concurrent('wait_for', () => {
  it('passes between the output and the next step', async () => {
    const run = await engine.ended(engine.upload([group(t('ok', { wait_for: 1 }), t('ok', { wait_for: 2 })), t('ok')]));
    expect(run.state).toBe('succeeded');
    expect(at(find(run, 'succeeded', '0.0')) - at(find(run, 'output', '0.0'))).toBeGreaterThanOrEqual(1000);
    expect(at(find(run, 'succeeded', '0.1')) - at(find(run, 'output', '0.1'))).toBeGreaterThanOrEqual(2000);
    expect(at(find(run, 'intent', '1.0'))).toBeGreaterThanOrEqual(at(find(run, 'succeeded', '0.1')));
    expect(all(run, 'cooling', '0.0')).toHaveLength(1);
  });

  it('is measured from the output: what has passed when the launch is answered has passed', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const runId = engine.upload([t('gated', { wait_for: 1 })]);
    gates.set(`${runId}.0.0`, promise);
    const output = at(find(await seen(engine, runId, 'output'), 'output'));
    await until('a second after the output', () => Date.now() > output + 1100);
    resolve();
    const run = await engine.ended(runId);
    expect(run.state).toBe('succeeded');
    expect(all(run, 'cooling')).toEqual([]);
  });

  it('of no_output counts from up', async () => {
    const run = await engine.ended(engine.upload([t('up', { no_output: true, wait_for: 1 }), t('ok')]));
    expect(at(find(run, 'intent', '1.0')) - at(find(run, 'up'))).toBeGreaterThanOrEqual(1000);
  });

  it('is ended by a cancel; the task had succeeded and its dyno lives on', async () => {
    const runId = engine.upload([t('ok', { wait_for: 3600 }), t('ok')]);
    await seen(engine, runId, 'cooling');
    expect(await engine.runs.cancel(runId, 'test')).toBe('cancelling');
    const run = await engine.ended(runId);
    expect([run.state, stateOf(run, 0), stateOf(run, 1)]).toEqual(['cancelled', 'succeeded', 'skipped']);
    expect(engine.cloud.postsOf(runId)).toHaveLength(1);
    expect(engine.cloud.stopped).not.toContain(dynoOf(engine, `${runId}.0.0`)?.id);
    expect(dynoOf(engine, `${runId}.0.0`)).toBeDefined();
  });
});

describe.concurrent('a cancel', () => {
  it('before the tree is made ends the run there and then', async () => {
    let armed = true;
    const failpoint = (name: string) => {
      if (name === 'events.accepted' && armed) throw new Error('crashed before the tree');
    };
    await alone({ failpoint, sweepMs: 60_000 }, async (own) => {
      const runId = own.upload([t('ok'), t('ok')]);
      await seen(own, runId, 'accepted', null);
      expect(await own.runs.cancel(runId, 'somebody')).toBe('cancelled');
      // not sooner: its message comes again until then, and each time would make the tree
      armed = false;
      await until('the message to come again', () => own.cloud.undeleted === 0);
      const run = await own.ended(runId);
      expect(run.state).toBe('cancelled');
      expect(run.history.map((entry) => entry.what)).toEqual(['accepted', 'cancelled']);
      expect(own.cloud.posts).toEqual([]);
      expect(await own.leftovers(runId)).toEqual([]);
    });
  });

  it('stops what runs, skips the rest and launches nothing more', async () => {
    const many = Array.from({ length: 30 }, () => t('ok'));
    const runId = engine.upload([group(t('silent'), t('silent')), group(...many), group(t('ok'), t('ok')), t('ok')]);
    await seen(engine, runId, 'launched', '0.0');
    await seen(engine, runId, 'launched', '0.1');
    const dynos = ['0.0', '0.1'].map((task) => dynoOf(engine, `${runId}.${task}`)?.id);
    await engine.runs.cancel(runId, 'somebody');
    const run = await engine.ended(runId);
    expect(run.state).toBe('cancelled');
    expect(run.steps.flatMap((step) => step.tasks.map((task) => task.state))).toEqual(Array.from({ length: 35 }, () => 'skipped'));
    expect(engine.cloud.postsOf(runId)).toHaveLength(2);
    for (const id of dynos) await until(`the stop of ${id}`, () => engine.cloud.stopped.includes(id ?? ''));
    expect(run.history.find((entry) => entry.what === 'cancelling')?.detail).toBe('somebody');
    await until('no job left', async () => (await engine.leftovers(runId)).length === 0);
  });

  it('ends a backoff', async () => {
    const runId = engine.upload([t('exit3', { retries: 3, ...fixed(3600) })]);
    await seen(engine, runId, 'retry');
    await engine.runs.cancel(runId, 'test');
    expect((await engine.ended(runId)).state).toBe('cancelled');
    expect(engine.cloud.postsOf(runId)).toHaveLength(1);
  });

  it('of a failing run stops what it still awaits; the run ends failed', async () => {
    const runId = engine.upload([group(t('exit3'), t('silent', { timeout: 3600 })), t('ok')]);
    await seen(engine, runId, 'failing');
    const dyno = dynoOf(engine, `${runId}.0.1`)?.id ?? '';
    await engine.runs.cancel(runId, 'test');
    const run = await engine.ended(runId);
    expect([run.state, run.error?.code, stateOf(run, 0, 1)]).toEqual(['failed', 'exited_without_output', 'skipped']);
    await until('the stop', () => engine.cloud.stopped.includes(dyno));
  });

  it('that races with the last output is decided once', async () => {
    const ids = Array.from({ length: 30 }, () => engine.upload([t('silent')]));
    for (const runId of ids) await seen(engine, runId, 'launched');
    for (const [i, runId] of ids.entries()) {
      const output = () => engine.cloud.put(`out/${runId}.0.0`, 'x', { ld_task_id: `${runId}.0.0` });
      if (i % 2 === 0) output();
      void engine.runs.cancel(runId, 'test');
      if (i % 2 === 1) output();
    }
    const states = new Set<string>();
    for (const runId of ids) {
      const { state } = await engine.ended(runId);
      states.add(state);
      await until('no job left', async () => (await engine.leftovers(runId)).length === 0);
      const run = await engine.ended(runId);
      expect(run.state).toBe(state);
      expect(stateOf(run)).toBe(state === 'cancelled' ? 'skipped' : 'succeeded');
      expect(run.history.filter((entry) => entry.task === null && ['succeeded', 'cancelled'].includes(entry.what))).toHaveLength(1);
      expect([...all(run, 'succeeded'), ...all(run, 'skipped')]).toHaveLength(1);
    }
    for (const state of states) expect(['succeeded', 'cancelled']).toContain(state);
  });

  it('after the end answers with the end and changes nothing', async () => {
    const runId = engine.upload([t('ok')]);
    const run = await engine.ended(runId);
    expect(await engine.runs.cancel(runId, 'late')).toBe('ended:succeeded');
    expect(await engine.show(runId)).toEqual(run);
    expect(await engine.runs.cancel(`r0-${'0'.repeat(20)}`, 'nobody')).toBe('gone');
  });

  it('of a launch of unknown fate stops the dyno when it appears after all', async () => {
    const runId = engine.upload([t('absent')]);
    await seen(engine, runId, 'intent');
    await until('the adoption', async () => (await engine.redis.hlen(shardKeys(0).watch(engine.resource))) > 0);
    await engine.runs.cancel(runId, 'test');
    expect((await engine.ended(runId)).state).toBe('cancelled');
    const late = appeared(`${runId}.0.0`, 1);
    engine.cloud.dynos.set(late.id, late);
    await until('the stop', () => engine.cloud.stopped.includes(late.id));
  });
});

/** A dyno that the platform shows though its launch was never answered. */
function appeared(taskId: string, attempt: number) {
  const id = `late-${taskId}-${attempt}`;
  return { id, name: 'run.9999', command: `absent # ${taskId}/${attempt}`, state: 'up', size: 'basic', type: 'run', createdAt: Date.now() };
}

describe.concurrent('a launch of unknown fate', () => {
  it('without retries fails the task as launch_unknown and is never sent again', async () => {
    const runId = engine.upload([t('absent', { timeout: 1 }), t('ok')]);
    const run = await engine.ended(runId, 40_000);
    expect([run.state, run.error?.code]).toEqual(['failed', 'launch_unknown']);
    expect(engine.cloud.postsOf(runId)).toHaveLength(1);
    // not before the POST could have been answered, and the list shown it
    expect(at(find(run, 'failed')) - at(find(run, 'intent'))).toBeGreaterThanOrEqual(11_000 + engine.options.adoptMarginMs);
  });

  it('is none when not a byte of it was sent: the same attempt is launched when time has healed that', async () => {
    let tries = 0;
    engine.cloud.scripts['unreachable'] = async (dyno) => {
      tries += 1;
      if (tries === 1) return { outcome: 'unknown', cause: 'ECONNREFUSED', unsent: true };
      await dyno.output(5);
      return dyno.accept();
    };
    const run = await engine.ended(engine.upload([t('unreachable')]));
    expect(run.state).toBe('succeeded');
    expect(engine.cloud.postsOf(run.id).map((post) => post.attempt)).toEqual([1, 1]);
    expect([all(run, 'refused').length, all(run, 'lost').length, all(run, 'launched').length]).toEqual([1, 0, 1]);
  });

  it('with retries becomes a new attempt that uses up none of them', async () => {
    await alone(SOON_LOST, async (own) => {
      const runId = own.upload([t('absent_first', { retries: 1 })]);
      const run = await own.ended(runId);
      expect(run.state).toBe('succeeded');
      expect(own.cloud.postsOf(runId).map((post) => post.attempt)).toEqual([1, 2]);
      expect([all(run, 'lost').length, all(run, 'retry').length]).toEqual([1, 0]);
    });
  });

  it('is given up after three new attempts', async () => {
    await alone(SOON_LOST, async (own) => {
      const runId = own.upload([t('absent', { retries: 20 })]);
      const run = await own.ended(runId);
      expect([run.state, run.error?.code]).toEqual(['failed', 'launch_unknown']);
      expect(own.cloud.postsOf(runId).map((post) => post.attempt)).toEqual([1, 2, 3, 4]);
      expect(all(run, 'lost')).toHaveLength(3);
    });
  });

  it('of an attempt that was given up is stopped when it appears after all', async () => {
    await alone(SOON_LOST, async (own) => {
      const runId = own.upload([t('absent_first', { retries: 1, wait_for: 2 })]);
      await seen(own, runId, 'lost');
      const late = appeared(`${runId}.0.0`, 1);
      own.cloud.dynos.set(late.id, late);
      await until('the stop', () => own.cloud.stopped.includes(late.id));
      expect((await own.ended(runId)).state).toBe('succeeded');
      expect(own.cloud.stopped).toEqual([late.id]);
    });
  });

  it('is adopted when the list shows it, once', async () => {
    const runId = engine.upload([t('arrived')]);
    const run = await engine.ended(runId);
    expect(run.state).toBe('succeeded');
    expect(engine.cloud.postsOf(runId)).toHaveLength(1);
    expect(engine.cloud.stopped).not.toContain(dynoOf(engine, `${runId}.0.0`)?.id);
  });

  it('is neither adopted nor sent again while two dynos name it, and adopted when one is left', async () => {
    await alone(SOON_LOST, async (own) => {
      own.cloud.scripts['hidden'] = () => unknown;
      own.cloud.listDown = true;
      const runId = own.upload([t('hidden', { retries: 3 })]);
      await seen(own, runId, 'intent');
      const [ours, copy] = [appeared(`${runId}.0.0`, 1), { ...appeared(`${runId}.0.0`, 1), id: 'copied', name: 'run.1' }];
      own.cloud.dynos.set(ours.id, ours).set(copy.id, copy);
      own.cloud.listDown = false;
      const before = own.cloud.lists;
      await until('many looks', async () => {
        await own.runs.ring(runId, ['0.0']);
        return own.cloud.lists > before + 20;
      });
      const run = await own.show(runId);
      expect(run?.history.map(({ what }) => what)).not.toEqual(expect.arrayContaining([expect.stringMatching(/adopted|lost/)]));
      expect(own.cloud.stopped).toEqual([]);
      own.cloud.dynos.delete(copy.id);
      await seen(own, runId, 'adopted');
      own.cloud.put(`out/${runId}.0.0`, 'x', { ld_task_id: `${runId}.0.0` });
      expect((await own.ended(runId)).state).toBe('succeeded');
      expect(own.cloud.posts).toHaveLength(1);
    });
  });

  it('is neither lost nor poisoned while the list cannot be read, however often its task wakes', async () => {
    await alone(SOON_LOST, async (own) => {
      own.cloud.listDown = true;
      own.cloud.scripts['hidden'] = (dyno) => {
        dyno.accept('up');
        return unknown;
      };
      const runId = own.upload([t('hidden')]);
      await seen(own, runId, 'intent');
      // every ring is an activation that asks for the list in vain
      const before = own.cloud.lists;
      await until('many activations', async () => {
        await own.runs.ring(runId, ['0.0']);
        return own.cloud.lists > before + 60;
      });
      expect((await own.show(runId))?.state).toBe('running');
      own.cloud.listDown = false;
      await seen(own, runId, 'adopted');
      own.cloud.put(`out/${runId}.0.0`, 'x', { ld_task_id: `${runId}.0.0` });
      expect((await own.ended(runId)).state).toBe('succeeded');
      expect(own.cloud.posts).toHaveLength(1);
    });
  });
});

describe.concurrent('dynos', () => {
  it('that live on after their output, or without one, are left alone', async () => {
    const runId = engine.upload([t('ok'), t('up', { no_output: true }), t('up_soon', { no_output: true })]);
    expect((await engine.ended(runId)).state).toBe('succeeded');
    const ids = ['0.0', '1.0', '2.0'].map((task) => dynoOf(engine, `${runId}.${task}`)?.id);
    for (const id of ids) {
      expect(id).toBeDefined();
      expect(engine.cloud.stopped).not.toContain(id);
    }
  });

  it('whose task timed out are stopped, those that ended by themselves are not', async () => {
    // on the engine that all share, dynos of the tests beside this one are stopped meanwhile
    await alone({}, async (own) => {
      const [slow, quick] = [own.upload([t('silent', { timeout: 1, retries: 1, ...fixed(0.05) })]), own.upload([t('exit3')])];
      await seen(own, slow, 'launched');
      const first = dynoIdOf(own, `${slow}.0.0`);
      const run = await own.ended(slow);
      expect(run.error?.code).toBe('timed_out');
      await until('the stop of the first', () => own.cloud.stopped.includes(first));
      await until('the stop of both', () => dynoOf(own, `${slow}.0.0`, 2) === undefined);
      const before = own.cloud.stopped.length;
      await own.ended(quick);
      expect(own.cloud.stopped.slice(before)).toEqual([]);
    });
  });

  it('that never come up fail a task without output at its deadline', async () => {
    const run = await engine.ended(engine.upload([t('never_up', { no_output: true, timeout: 1 })]));
    expect([run.error?.code, run.error?.message]).toEqual(['timed_out', 'not up within 1 s']);
  });

  it('whose end cannot be read yet are no success: they are asked again, and the log decides', async () => {
    await alone({}, async (own) => {
      own.cloud.endsDown = true;
      const id = own.upload([t('crash_early', { no_output: true })]);
      await until('a second look', () => own.cloud.refusedEnds >= 2);
      own.cloud.endsDown = false;
      const run = await own.ended(id);
      expect([run.error?.code, run.error?.message]).toEqual(['dyno_crashed', 'exited 1 before it was up']);
    });
  });

  it('whose crash Heroku told of are no success where their log may not be read', async () => {
    await alone({}, async (own) => {
      own.cloud.endsRefused = true;
      const id = own.upload([t('never_up', { no_output: true })]);
      await seen(own, id, 'launched');
      const task = `${id}.0.0`;
      const parts = parseTaskId(task);
      if (parts === undefined) throw new Error('no task');
      const ref = { id: task, ...parts };
      const dynoId = dynoIdOf(own, task);
      await own.runs.observe({ ref, resource: own.resource, attempt: 1, kind: 'crashed', dynoId, noOutput: true });
      const run = await own.ended(id);
      expect([run.error?.code, run.error?.message]).toEqual(['dyno_crashed', 'crashed before it was up']);
    });
  });

  it('whose end cannot be read at all fail a task without output at its deadline, and say so', async () => {
    await alone({}, async (own) => {
      own.cloud.endsDown = true;
      const run = await own.ended(own.upload([t('crash_early', { no_output: true, timeout: 2 })]));
      expect([run.error?.code, run.error?.message]).toEqual([
        'timed_out',
        'gone, and its log could not be read within 2 s to see whether it was up',
      ]);
    });
  });

  it('that are up are looked at once more before a task without output times out', async () => {
    // nobody polls: the last look alone sees it
    await alone({ pollMs: 3_600_000 }, async (own) => {
      const run = await own.ended(own.upload([t('up_soon', { no_output: true, timeout: 1 })]));
      expect(run.state, JSON.stringify(run.history)).toBe('succeeded');
    });
  });

  it("of an app that cannot be reached keep nobody else's from being watched and stopped", async () => {
    await alone({}, async (own) => {
      const others = await Promise.all([own.otherResource(), own.otherResource(), own.otherResource()]);
      for (const other of others) {
        own.cloud.brokenApps.add(other.app);
        own.upload([t('silent')], 'in/waits', other.bucket);
        own.upload([t('silent', { timeout: 1 })], 'in/times-out', other.bucket);
      }
      await until('their timeouts', async () => (await own.redis.zcard(shardKeys(0).stops)) === others.length);
      const [slow, quick] = [own.upload([t('silent', { timeout: 1 })]), own.upload([t('exit3')])];
      await seen(own, slow, 'launched');
      const dyno = dynoIdOf(own, `${slow}.0.0`);
      expect((await own.ended(quick)).error?.message).toBe('exited 3 without output');
      await until('the stop', () => own.cloud.stopped.includes(dyno));
      // and theirs are stopped as soon as it can be done
      own.cloud.brokenApps.clear();
      await until('their stops', async () => (await own.redis.zcard(shardKeys(0).stops)) === 0);
    });
  });
});

describe.concurrent('a task that nothing can be done with', () => {
  it('is poisoned after five activations that got nowhere, and only its run fails', async () => {
    await alone({}, async (own) => {
      const other = await own.otherResource();
      const runId = own.upload([t('silent', { retries: 5 }), t('ok')], 'in/x', other.bucket);
      await seen(own, runId, 'launched');
      // what every activation of the next step needs is damaged
      await own.redis.hdel(resourceKey(other.id), 'app');
      own.cloud.put('out', 'x', { ld_task_id: `${runId}.0.0` }, other.bucket);
      const healthy = own.upload([t('ok'), t('exit3')]);
      const run = await own.ended(runId, 40_000);
      expect(run.state).toBe('failed');
      expect(run.error).toMatchObject({ code: 'poisoned', message: expect.stringContaining('5 activations') });
      expect(own.cloud.postsOf(runId)).toHaveLength(1);
      expect((await own.ended(healthy)).error?.code).toBe('exited_without_output');
    });
  });

  it('because its job was damaged is done as its record says', async () => {
    const runId = engine.upload([t('silent'), t('ok')]);
    await seen(engine, runId, 'launched');
    const job = shardKeys(0).job(QUEUES.task, `${runId}.0.0`);
    await engine.redis.hset(job, 'data', '{"edited":"by hand"}');
    await engine.redis.hset(shardKeys(0).job(QUEUES.task, `${runId}.1.0`), 'data', 'null');
    engine.cloud.put('out', 'x', { ld_task_id: `${runId}.0.0` });
    expect((await engine.ended(runId)).state).toBe('succeeded');
  });
});
