// An engine whose dynos write an output or none, and what its history says of uploads.
import type { EngineOptions } from '../../src/processors/engine.ts';
import { listRuns } from '../../src/queues/run-list.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine, type TestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

/** In which so many runs may be started. */
export const MINUTE_MS = 60_000;
/** Milliseconds. */
export const DAY_MS = 86_400_000;

/** Lets the answer to a launch wait until a test says so. */
export const gates = new Map<string, Promise<unknown>>();

/** What the dynos of these tests do, by their command. */
export const scripts: Record<string, Script> = {
  ok: async (dyno) => {
    await dyno.output(5);
    return dyno.accept();
  },
  silent: (dyno) => dyno.accept(),
  gated: async (dyno) => {
    await dyno.output(0);
    await gates.get('gated');
    return dyno.accept();
  },
};

/** A task. */
export const t = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 30, ...more });
/** The text of a workflow of these steps. */
export const workflow = (...run: unknown[]) => JSON.stringify({ run });
/** What a history says, in order. */
export const whats = (run: RunView) => run.history.map((entry) => entry.what);
/** Waits until every message was deleted. */
export const done = (engine: TestEngine) => until('all messages to be deleted', () => engine.cloud.undeleted === 0);
/** Waits until the launch of a task is recorded. */
export const launchedTask = (engine: TestEngine, taskId: string) =>
  until(`the launch of ${taskId}`, async () => {
    const run = await engine.show(taskId.split('.')[0] ?? '');
    return run?.history.some((entry) => entry.what === 'launched' && entry.task === taskId);
  });

/** An engine with a Redis of its own, for tests that switch something off. */
export async function alone<T>(
  overrides: Partial<EngineOptions>,
  test: (world: { redis: TestRedis; engine: TestEngine }) => Promise<T>,
  redisOptions: Parameters<typeof startRedis>[0] = {},
): Promise<void> {
  const own = await startRedis(redisOptions);
  const world = { redis: own, engine: await startTestEngine(own, scripts, overrides) };
  try {
    await test(world);
  } finally {
    await world.engine.stop();
    await own.stop();
  }
}

/** The runs of a resource as they are listed. */
export const runsOf = async (of: TestEngine, resource = of.resource) =>
  (await listRuns(of.redis, of.options.shards, { resource, limit: 100 })).runs;
