// Dynos that leave no output, or leave it late, and what the history says of the wait for it.
import type { LaunchOutcome } from '../../src/clients/ports.ts';
import type { EngineOptions } from '../../src/processors/engine.ts';
import type { HistoryEntry, RunView } from '../../src/schema/run-view.ts';
import { startRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

/** Milliseconds: a verdict is due that long after the deadline at the latest (DESIGN §4). */
export const VERDICT_MS = 6_000;
/** Makes launches of unknown fate count as lost 400 ms after their intent instead of 11 s. */
export const SOON_LOST = { adoptMarginMs: -10_600 };

/** A launch that nobody answered. */
export const unknown: LaunchOutcome = { outcome: 'unknown', cause: 'reset' };
/** Holds the answer to the launch of a task back until a test says so. */
export const gates = new Map<string, Promise<unknown>>();

/** What the dynos of these tests do, by their command. */
export const scripts: Record<string, Script> = {
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

/** A task without retries. */
export const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 30, retries: 0, ...more });
/** Tasks of one step. */
export const group = (...tasks: unknown[]) => ({ parallel: tasks });
/** A backoff that does not grow, in seconds. */
export const fixed = (delay: number) => ({ backoff: { type: 'fixed', delay } });

/** When an entry was made. */
export const at = (entry: HistoryEntry | undefined) => Date.parse(entry?.at ?? '');
/** The first such entry of a task. */
export const find = (run: RunView, what: string, task = '0.0') =>
  run.history.find((entry) => entry.what === what && entry.task?.endsWith(`.${task}`));
/** All such entries of a task. */
export const all = (run: RunView, what: string, task = '0.0') =>
  run.history.filter((entry) => entry.what === what && entry.task?.endsWith(`.${task}`));
/** The state of a task. */
export const stateOf = (run: RunView, step = 0, index = 0) => run.steps[step]?.tasks[index]?.state;

/** Waits until a history has such entries. */
export async function seen(engine: TestEngine, runId: string, what: string, task: string | null = '0.0', count = 1): Promise<RunView> {
  return await until(`${what} of ${runId}.${task}`, async () => {
    const run = await engine.show(runId);
    const entries = run?.history.filter((entry) => entry.what === what && (task === null || entry.task?.endsWith(`.${task}`)));
    return (entries?.length ?? 0) >= count ? run : undefined;
  });
}

/** An engine with a Redis of its own, for tests that switch something off. */
export async function alone(overrides: Partial<EngineOptions>, test: (own: TestEngine) => Promise<void>): Promise<void> {
  const server = await startRedis();
  const own = await startTestEngine(server, scripts, overrides);
  try {
    await test(own);
  } finally {
    await own.stop();
    await server.stop();
  }
}

/** The dyno of an attempt, while it is listed. */
export const dynoOf = (of: TestEngine, taskId: string, attempt = 1) =>
  [...of.cloud.dynos.values()].find(({ command }) => command.endsWith(`# ${taskId}/${attempt}`));
/** The id of the dyno of a first attempt, which may have ended since. */
export const dynoIdOf = (of: TestEngine, taskId: string) =>
  of.cloud.accepted.find(({ command }) => command.endsWith(`# ${taskId}/1`))?.id ?? '';

/** A dyno that the platform shows though its launch was never answered. */
export function appeared(taskId: string, attempt: number) {
  const id = `late-${taskId}-${attempt}`;
  return { id, name: 'run.9999', command: `absent # ${taskId}/${attempt}`, state: 'up', size: 'basic', type: 'run', createdAt: Date.now() };
}
