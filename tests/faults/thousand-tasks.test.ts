// The usual fate of a short task: the dyno is gone before its output's event arrives. A thousand of them, half of which
// exit with an error, all succeed, and none is started a second time.
import { describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { startRedis } from '../support/redis-server.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const RUNS = 5;
const TASKS = 200;
const EVENT_DELAY_MS = 5_000;

describe('a thousand tasks that write their output and exit in the next instruction', () => {
  const kinds: Record<string, Partial<EngineOptions>> = {
    'while the queue tells that events are on their way': { graceMs: 2_000, graceUntilDrained: true },
    'while only the length of the grace tells': { graceMs: 60_000, graceUntilDrained: false },
  };

  for (const [name, overrides] of Object.entries(kinds)) {
    it(`succeed, and none is relaunched, ${name}`, async () => {
      const redis = await startRedis();
      let dynos = 0;
      const engine = await startTestEngine(
        redis,
        {
          write: async (dyno) => {
            // a key that no last look would find: the event alone tells
            await dyno.output(0, {}, { key: `results/${dyno.post.taskId}`, eventDelay: EVENT_DELAY_MS });
            dynos += 1;
            dyno.exit(0, dynos % 2);
            return dyno.accept();
          },
        },
        overrides,
      );
      try {
        const group = { parallel: Array.from({ length: TASKS }, () => ({ cmd: 'write', timeout: 120, retries: 2 })) };
        const runIds = Array.from({ length: RUNS }, () => engine.upload([group]));
        for (const runId of runIds) {
          const run = await engine.ended(runId, 50_000);
          expect(run.state).toBe('succeeded');
          for (const task of run.steps[0]?.tasks ?? []) expect([task.state, task.attempt]).toEqual(['succeeded', 1]);
          const whats = new Map<string, number>();
          for (const { what, task } of run.history) if (task !== null) whats.set(what, (whats.get(what) ?? 0) + 1);
          const { exited, ...others } = Object.fromEntries(whats);
          expect(others).toEqual({ intent: TASKS, launched: TASKS, output: TASKS, succeeded: TASKS });
          // the engine has seen them end before their outputs came
          expect(exited).toBeGreaterThan(TASKS / 4);
        }
        expect(engine.cloud.posts).toHaveLength(RUNS * TASKS);
        expect(engine.cloud.ends.size).toBe(RUNS * TASKS);
        expect([...engine.cloud.ends.values()].filter(({ status }) => status === 1)).toHaveLength((RUNS * TASKS) / 2);
        expect(engine.cloud.stopped).toEqual([]);
        for (const runId of runIds) await until('no job left', async () => (await engine.leftovers(runId)).length === 0);
      } finally {
        await engine.stop();
        await redis.stop();
      }
    });
  }
});
