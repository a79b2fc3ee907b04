// A worker whose clock is wrong: Redis' clock decides when something is due, and nothing is done again and again until then.
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { QUEUES, shardKeys } from '../../src/queues/keys.ts';
import { startWorld } from '../support/process-world.ts';
import { until } from '../support/until.ts';

const SKEWED = fileURLToPath(new URL('../chaos/skewed-clock.mjs', import.meta.url));
const FIVE_MINUTES_MS = 300_000;

it('ahead by minutes: a task waits without being looked at all the time, and its timeout passes when it should', async () => {
  const world = await startWorld({ ok: (dyno) => dyno.output(0), never: () => {} });
  try {
    const wrong = await world.startWorker('', { NODE_OPTIONS: `--import=${SKEWED}`, CHAOS_SKEW_MS: String(FIVE_MINUTES_MS) });
    const waiting = await world.upload([{ cmd: 'never', timeout: 120 }]);
    const late = await world.upload([{ cmd: 'never', timeout: 4, retries: 0 }]);
    const launched = async (runId: string) => (await world.show(runId))?.history.find(({ what }) => what === 'launched');
    for (const runId of [waiting, late]) await until(`the launch of ${runId}`, () => launched(runId));
    // meanwhile others come and go
    for (let n = 0; n < 5; n += 1) expect((await world.ended(await world.upload([{ cmd: 'ok', timeout: 30 }]))).state).toBe('succeeded');
    const activations = Number(await world.redis.hget(shardKeys(0).job(QUEUES.task, `${waiting}.0.0`), 'ats'));
    expect(activations).toBeGreaterThanOrEqual(1);
    expect(activations).toBeLessThan(5);

    // what it parked is not late for those whose clock is right
    wrong.signal('SIGKILL');
    await wrong.ended;
    await world.startWorker();
    const run = await world.ended(late);
    expect(run.error?.code).toBe('timed_out');
    const at = (what: string) => Date.parse(run.history.find((entry) => entry.what === what)?.at ?? '');
    expect(at('failed') - at('launched')).toBeGreaterThanOrEqual(4_000);
    expect(at('failed') - at('launched')).toBeLessThan(FIVE_MINUTES_MS);
  } finally {
    await world.stop();
  }
}, 120_000);
