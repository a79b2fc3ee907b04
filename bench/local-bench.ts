// The local cloud as its user has it: how long from a fresh clone to a first run, until it is ready, and from a PUT to a running command.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { apiOf, bucketOf } from '../src/cli/access.ts';
import { startLocalCloud } from '../src/cli/local-cloud.ts';
import { awaitRun } from '../src/cli/put.ts';
import { freshCloneRow } from './fresh-clone.ts';
import { median, percentile, type Row } from './rows.ts';

/** Starts of which the median counts; the first one compiles and is left out. */
const STARTS = 3;

export async function localRows(deps: { puts: number; clones: number; note: (line: string) => void }): Promise<Row[]> {
  const app = await mkdtemp(join(tmpdir(), 'af-bench-app-'));
  await writeFile(join(app, 'Procfile'), 'work: true\n');
  const begin = () => startLocalCloud({ app, env: process.env, say: deps.note, onLog: () => {} });
  try {
    const starts: number[] = [];
    deps.note('starting the local cloud …');
    for (let i = 0; i <= STARTS; i += 1) {
      const began = performance.now();
      const cloud = await begin();
      if (i > 0) starts.push((performance.now() - began) / 1000);
      if (i < STARTS) {
        await cloud.stop();
        continue;
      }
      deps.note(`${deps.puts} PUTs, one after the other …`);
      const { bucket, store } = bucketOf(cloud.env);
      const api = apiOf(cloud.env);
      const latencies: number[] = [];
      const workflow = JSON.stringify({ run: [{ cmd: 'work', no_output: true }] });
      for (let n = 0; n < deps.puts; n += 1) {
        const put = Date.now();
        const { versionId } = await store.put(bucket, `in/${n}`, workflow, { metadata: { ld_run: 'true' } });
        const runId = await awaitRun(api, { bucket, key: `in/${n}`, versionId }, AbortSignal.timeout(30_000));
        await api.follow(runId, () => {}, AbortSignal.timeout(30_000));
        const run = await api.run(runId);
        const up = run.history.find((entry) => entry.what === 'up');
        latencies.push(Date.parse(up?.at ?? '') - put);
      }
      store.close();
      await cloud.stop();
      return [
        await freshCloneRow({ rounds: deps.clones, note: deps.note }),
        { name: 'local: second start → ready', value: median(starts), unit: 's', bar: { most: 3 } },
        { name: 'local: PUT → command running, p50', value: percentile(latencies, 0.5), unit: 'ms', bar: { most: 150 } },
        { name: 'local: PUT → command running, p99', value: percentile(latencies, 0.99), unit: 'ms' },
      ];
    }
    return [];
  } finally {
    await rm(app, { recursive: true, force: true });
  }
}
