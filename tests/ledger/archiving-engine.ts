// An engine whose ended runs go to the archive and to the tenant. Whoever imports this has it ended after each test.
import { Compile } from 'typebox/compile';
import { afterEach } from 'vitest';
import { readArchived } from '../../src/processors/archive.ts';
import { connect } from '../../src/queues/connection.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { createRuns } from '../../src/queues/runs.ts';
import { RunView } from '../../src/schema/run-view.ts';
import { startRedis } from '../support/redis-server.ts';
import { ARCHIVE_BUCKET } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

/** Whether something is a run as the API shows it. */
export const runView = Compile(RunView);
/** The keys of its one shard. */
export const keys = shardKeys(0);
/** What is to be ended after the test, last first. */
export const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** An engine, and what comes of its runs in the archive and in the tenant’s bucket. */
export async function start(overrides: Parameters<typeof startTestEngine>[2] = {}) {
  const redis = await startRedis();
  ends.push(redis.stop);
  const engine = await startTestEngine(
    redis,
    {
      ok: async (dyno) => {
        await dyno.output(5, { ld_state: 'fine' });
        return dyno.accept();
      },
    },
    overrides,
  );
  ends.push(engine.stop);
  const archived = (runId: string) => until(`run ${runId} in the archive`, () => readArchived(engine.cloud.store, ARCHIVE_BUCKET, runId));
  const exported = (runId: string) =>
    until(`the export of ${runId}`, () => {
      const key = engine.cloud.saved.find((one) => one.bucket === engine.bucket && one.key.endsWith(`/${runId}.json`))?.key;
      return key === undefined ? undefined : { key, body: engine.cloud.objects.get(`${engine.bucket}/${key}`)?.body ?? '' };
    });
  const settled = (runId: string) =>
    until('the archive to be noted', async () => (await engine.redis.zscore(keys.unarchived, runId)) === null);
  return { engine, archived, exported, settled };
}

/** A run whose tasks, in one group, were all launched. */
export async function startEndless(tasks: number) {
  const server = await startRedis();
  ends.push(server.stop);
  const redis = connect({ socket: server.socket }, () => {});
  ends.push(async () => await Promise.resolve(redis.disconnect()));
  const runId = `r0-${'1'.padStart(20, '0')}`;
  const each = (name: string, value: string) => Array.from({ length: tasks }, (_, i) => [`${name}:0.${i}`, value]);
  await redis.hset(keys.run(runId), {
    ...{ state: 'running', resource: 'x', bucket: 'b', at: 1, steps: 1, n0: tasks, d0: 0, key: 'in/x' },
    ...Object.fromEntries([...each('p', 'await'), ...each('a', '1'), ...each('dy', 'd|run.1')]),
  });
  return { redis, runs: createRuns({ redis }), runId };
}
/** An output as large as S3 lets one be when it is written in JSON within JSON. */
export const outputOf = (n: number) => ({
  key: `${'\u0001'.repeat(1_000)}${n}`,
  version_id: `v${n}`.padEnd(32, 'x'),
  etag: 'e'.repeat(32),
  size: 1,
  state: '"'.repeat(1_850),
});
