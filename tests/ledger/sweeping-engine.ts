// An engine that sweeps its buckets all the time. Whoever imports this has it ended after each test.
import { afterEach } from 'vitest';
import { readLedger } from '../../src/queues/ledger.ts';
import { readWatermark } from '../../src/schema/archive-marks.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

/** What is to be ended after the test, last first. */
export const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** An engine, what the sweep tells of its bucket, and the watermark. */
export async function start(overrides: Parameters<typeof startTestEngine>[2] = {}) {
  const redis = await startRedis();
  ends.push(redis.stop);
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const engine = await startTestEngine(
    redis,
    {
      ok: async (dyno) => {
        await dyno.output(5);
        return dyno.accept();
      },
      silent: async (dyno) => {
        await dyno.output(5, {}, { key: 'somewhere/else', eventLost: true });
        return dyno.accept();
      },
      held: async (dyno) => {
        void released.then(async () => await dyno.output(1));
        return await Promise.resolve(dyno.accept());
      },
    },
    { ledgerMs: 100, lateMs: 150, ...overrides },
  );
  ends.push(engine.stop);
  const ledger = () => readLedger(engine.redis, { id: engine.resource, bucket: engine.bucket }, 1);
  const swept = async (what: string, check: (view: Awaited<ReturnType<typeof ledger>>) => boolean) =>
    await until(what, async () => {
      const view = await ledger();
      return view.swept_at !== null && check(view) && view;
    });
  const watermark = () => {
    const text = engine.cloud.objects.get(`${ARCHIVE_BUCKET}/watermarks/${engine.resource}.json`)?.body;
    return text === undefined ? undefined : readWatermark(text, { id: engine.resource, bucket: engine.bucket });
  };
  await until('the account to begin', () => watermark() !== undefined);
  return { redis, engine, ledger, swept, watermark, release };
}
/** The text of a workflow of one task. */
export const workflow = (cmd: string) => JSON.stringify({ run: [{ cmd, timeout: 60 }] });
