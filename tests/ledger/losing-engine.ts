// An engine whose Redis a test empties or rolls back. Whoever imports this has it ended after each test.
import { afterEach } from 'vitest';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { unchanged } from '../../src/queues/layout.ts';
import { openAccount, readLedger } from '../../src/queues/ledger.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

/** What is to be ended after the test, last first. */
export const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** An engine with a watermark, a witness and a backup. */
export async function start(overrides: Partial<EngineOptions> = {}) {
  const redis = await startRedis();
  ends.push(redis.stop);
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const engine = await startTestEngine(
    redis,
    {
      ok: async (dyno) => {
        await dyno.output(5);
        return dyno.accept();
      },
      held: async (dyno) => {
        void gate.then(async () => await dyno.output(1));
        return await Promise.resolve(dyno.accept());
      },
      // its output has something else that is to be decided, so its delivery alone does not account for it; no message brings it again
      odd: async (dyno) => {
        void gate.then(async () => await dyno.output(1, { ld_run: 'perhaps' }, { eventLost: true }));
        return await Promise.resolve(dyno.accept());
      },
    },
    { ledgerMs: 100, lateMs: 300, ...overrides },
  );
  ends.push(engine.stop);
  const ledger = () => readLedger(engine.redis, { id: engine.resource, bucket: engine.bucket }, 1);
  const archived = (runId: string) =>
    until(`run ${runId} archived`, () => engine.cloud.objects.has(`${ARCHIVE_BUCKET}/runs/${runId}.json`), 30_000);
  await until('a witness, a watermark and a backup', () =>
    ['store.json', `watermarks/${engine.resource}.json`, `resources/${engine.resource}.json`].every((key) =>
      engine.cloud.objects.has(`${ARCHIVE_BUCKET}/${key}`),
    ),
  );
  const mine = () => engine.cloud.saved.filter(({ bucket, key }) => bucket === engine.bucket && !key.startsWith('.autofiles/'));
  const allAccounted = () =>
    until(
      'every version accounted for',
      async () =>
        (await (await openAccount(engine.redis, engine.resource, unchanged(1), Date.now() - 7_200_000)).missing(mine())).length === 0,
      60_000,
    );
  return { redis, engine, ledger, archived, allAccounted, release };
}
/** A task. */
export const task = (cmd: string) => ({ cmd, timeout: 60 });
