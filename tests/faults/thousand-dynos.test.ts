// 1,000 real processes that write their output and exit in the next instruction, with status 0 or 1, while every event
// is five seconds late: all succeed, and none is launched a second time.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RunView } from '../../src/schema/run-view.ts';
import { type LocalCloud, startLocalCloud, storeOf } from '../support/local-cloud.ts';

const RUNS = 5;
const TASKS = 200;

let cloud: LocalCloud;
let app: string;
let signer: Server;
let store: ReturnType<typeof storeOf>;
let bucket: string;
/** How many processes asked for the proof of a task. */
const proofs = new Map<string, number>();

beforeAll(async () => {
  app = await mkdtemp(join(tmpdir(), 'af-thousand-'));
  await writeFile(join(app, 'Procfile'), 'prove: bash prove.sh\n');
  // the request to the signer returns when the object is saved; the very next instruction is the exit
  await writeFile(
    join(app, 'prove.sh'),
    [
      'id=$' + '{line_D#*\\"task_id\\":\\"}',
      'id=$' + '{id%%\\"*}',
      'exec 3<>"/dev/tcp/127.0.0.1/$SIGNER"',
      'printf "GET /%s HTTP/1.0\\r\\n\\r\\n" "$id" >&3',
      'read -r answer <&3',
      'exit "$1"',
      '',
    ].join('\n'),
  );
  cloud = await startLocalCloud({ app, env: { AUTOFILES_CHAOS: JSON.stringify({ delay_ms: 5000 }) } });
  const { variables: v } = cloud;
  bucket = v['LD_S3_BUCKET'] ?? '';
  store = storeOf(cloud);
  // signs and sends the dyno's PUT, since a shell cannot; the key is not out/<id>, so that only the event can tell
  signer = createServer((request, response) => {
    const id = (request.url ?? '').slice(1);
    proofs.set(id, (proofs.get(id) ?? 0) + 1);
    store.put(bucket, `proofs/${id}`, 'proof', { metadata: { ld_task_id: id }, deadline: 60_000 }).then(
      () => response.end('saved'),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((resolve) => signer.listen(0, '127.0.0.1', resolve));
}, 150_000);

afterAll(async () => {
  signer?.close();
  store?.close();
  await cloud?.stop();
  await rm(app, { recursive: true, force: true });
}, 90_000);

it('lets 1,000 tasks succeed whose dynos are gone long before their events come', { timeout: 300_000 }, async () => {
  const address = signer.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const task = (i: number) => ({ cmd: `prove ${i % 2}`, timeout: 240, options: [`SIGNER=${port}`] });
  const workflow = JSON.stringify({ run: [{ parallel: Array.from({ length: TASKS }, (_, i) => task(i)) }] });
  for (let n = 0; n < RUNS; n += 1) await store.put(bucket, `in/${n}`, workflow, { metadata: { ld_run: 'true' } });
  for (let n = 0; n < RUNS; n += 1) {
    const run: RunView = await cloud.ended(`in/${n}`);
    expect(run.state, JSON.stringify(run.error)).toBe('succeeded');
    const tasks = run.steps.flatMap((step) => step.tasks);
    expect(tasks).toHaveLength(TASKS);
    const again = tasks.filter((one) => one.state !== 'succeeded' || one.attempt !== 1);
    const stories = again.map((one) =>
      run.history.filter((entry) => entry.task === one.id).map((entry) => `${entry.at} ${entry.what} ${entry.detail}`),
    );
    expect(stories).toEqual([]);
    // the dynos themselves tell how often each was started
    expect(tasks.map((one) => proofs.get(one.id))).toEqual(tasks.map(() => 1));
  }
});
