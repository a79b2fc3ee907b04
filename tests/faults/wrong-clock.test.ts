// A worker whose clock is wrong: Redis' clock decides when something is due, and nothing is done again and again until then. Times are those of
// the run's own history, which is Redis' clock.
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { redisTime } from '../../src/queues/due.ts';
import { QUEUES, shardKeys } from '../../src/queues/keys.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import { startWorld } from '../support/process-world.ts';
import { until } from '../support/until.ts';

const SKEWED = fileURLToPath(new URL('../chaos/skewed-clock.mjs', import.meta.url));
const FIVE_MINUTES_MS = 300_000;
/** Milliseconds: a verdict is due that long after the deadline at the latest (DESIGN §4). */
const VERDICT_MS = 6_000;

it.each([
  ['ahead', FIVE_MINUTES_MS],
  ['behind', -FIVE_MINUTES_MS],
])(
  '%s by minutes: a task waits without being looked at all the time, and its timeout passes when it should',
  async (_, skew) => {
    const world = await startWorld({ ok: (dyno) => dyno.output(0), never: () => {} });
    const never = async (timeout: number) => await world.upload([{ cmd: 'never', timeout, retries: 0 }]);
    const at = (run: RunView | undefined, what: string) => Date.parse(run?.history.find((entry) => entry.what === what)?.at ?? '');
    const launched = async (runId: string) =>
      await until(`the launch of ${runId}`, async () => !Number.isNaN(at(await world.show(runId), 'launched')));
    /** Waits for its end: never before its deadline, and soon after it or after `since` (ms), when there was somebody to see it. */
    const timesOut = async (runId: string, seconds: number, since = 0) => {
      const run = await world.ended(runId);
      expect(run.error?.code).toBe('timed_out');
      const deadline = at(run, 'launched') + seconds * 1000;
      expect(at(run, 'failed')).toBeGreaterThanOrEqual(deadline);
      expect(at(run, 'failed') - Math.max(deadline, since)).toBeLessThan(VERDICT_MS);
    };
    try {
      const wrong = await world.startWorker('', { NODE_OPTIONS: `--import=${SKEWED}`, CHAOS_SKEW_MS: String(skew) });
      const [waiting, own] = [await never(120), await never(3)];
      for (const runId of [waiting, own]) await launched(runId);
      // meanwhile others come and go
      for (let n = 0; n < 5; n += 1) expect((await world.ended(await world.upload([{ cmd: 'ok', timeout: 30 }]))).state).toBe('succeeded');
      // there is nobody whose clock is right
      await timesOut(own, 3);
      const activations = Number(await world.redis.hget(shardKeys(0).job(QUEUES.task, `${waiting}.0.0`), 'ats'));
      expect(activations).toBeGreaterThanOrEqual(1);
      expect(activations).toBeLessThan(5);

      // what it parked is not late for those whose clock is right
      const late = await never(4);
      await launched(late);
      // it is told to stop: one that is killed in the middle of a sweep keeps the others from sweeping for a while (processors/sweep.ts)
      wrong.signal('SIGTERM');
      expect(await wrong.ended).toBe('0');
      await world.startWorker();
      await timesOut(late, 4, await redisTime(world.redis));
    } finally {
      await world.stop();
    }
  },
  120_000,
);
