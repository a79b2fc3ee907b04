// `wait_for` is a time by Redis' clock in the run's record: it passes while nobody is there, and whoever comes back neither ends it early nor begins
// it anew.
import { describe, expect, it } from 'vitest';
import { shardKeys } from '../../src/queues/keys.ts';
import type { RunView } from '../../src/schema/run-view.ts';
import { startWorld } from '../support/process-world.ts';
import { until } from '../support/until.ts';

/** Seconds: the first worker on a Redis that nobody vouches for waits for ten of them (epoch.ts), and must be at work before the wait is over. */
const WAIT_S = 30;
/** Milliseconds that the next step may be late on a busy machine; a wait that began anew is later. */
const LATE_MS = 5_000;

const momentOf = (run: RunView | undefined, what: string, task: string): number | undefined => {
  const entry = run?.history.find((one) => one.what === what && one.task === `${run.id}.${task}`);
  return entry && Date.parse(entry.at);
};

describe.concurrent('Redis and the worker are killed while a task waits for its wait_for', () => {
  for (const [where, failpoint] of [
    ['and is parked', ''],
    // its second park: the first is that of its launch
    ['and is not parked yet: it is handed out again before its time', 'task.parking:2'],
  ] as const) {
    it(`${where}`, { timeout: 150_000 }, async () => {
      // without what it answered last an attempt could be launched again
      const world = await startWorld({ ok: (dyno) => dyno.output(500) }, { fsync: 'always' });
      try {
        const victim = await world.startWorker(failpoint);
        const runId = await world.upload([
          { cmd: 'ok', timeout: 60, wait_for: WAIT_S },
          { cmd: 'ok', timeout: 60 },
        ]);
        await until('the task to cool', async () => (await world.show(runId))?.steps[0]?.tasks[0]?.state === 'cooling');
        if (failpoint === '') {
          await until('its park', async () => (await world.redis.zscore(shardKeys(0).delayed, `${runId}.0.0`)) !== null);
          victim.signal('SIGKILL');
        }
        expect(await victim.ended).toBe('SIGKILL');
        await world.redisServer.crashAndRestart();
        await world.passVisibility();
        await world.startWorker();
        expect((await world.ended(await world.upload([{ cmd: 'ok', timeout: 60 }]))).state).toBe('succeeded');
        const [atWork] = await world.redis.time();
        const run = await world.ended(runId);
        const output = momentOf(run, 'output', '0.0') ?? Number.NaN;
        const due = output + WAIT_S * 1000;
        // else the wait was over before anybody could have cut it short
        expect(Number(atWork) * 1000).toBeLessThan(due);
        expect(run.state).toBe('succeeded');
        expect(momentOf(run, 'intent', '1.0')).toBeGreaterThanOrEqual(due);
        expect(momentOf(run, 'intent', '1.0')).toBeLessThan(due + LATE_MS);
        expect(run.history.filter(({ what }) => what === 'cooling')).toHaveLength(1);
        // attempts are counted anew after what may have been a loss of Redis
        expect(world.launches(runId).map((launch) => launch.split('/')[0])).toEqual([`${runId}.0.0`, `${runId}.1.0`]);
        await world.expectSound(run);
      } finally {
        await world.stop();
      }
    });
  }
});
