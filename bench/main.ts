// `npm run bench`: figures with their bars, as medians of several rounds on this machine, compared with plain BullMQ
// in the same run. `-- --quick` (about a minute), `-- --json`, `-- --check` (exit status 1 when a bar is missed).
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { plainBullmq } from './baseline.ts';
import { startEngineBench } from './engine-bench.ts';
import { localRows } from './local-bench.ts';
import { median, percentile, type Row, verdictOf } from './rows.ts';

const { values: options } = parseArgs({ options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, check: { type: 'boolean' } } });
const note = (line: string) => console.error(line);

/** The two-step workflow of every engine row; its outputs are awaited. */
const WORKFLOW = JSON.stringify({
  title: 'bench',
  run: [
    { cmd: 'work', timeout: 14_400 },
    { cmd: 'work', timeout: 14_400 },
  ],
});
const size = options.quick
  ? { rounds: 3, runs: 600, jobs: 6_000, latencies: 100, parked: 5_000, puts: 20 }
  : { rounds: 5, runs: 2_000, jobs: 20_000, latencies: 400, parked: 100_000, puts: 100 };

const rows: Row[] = [...(await engineRows()), ...(await localRows({ puts: size.puts, note }))];
report(rows);

async function engineRows(): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'af-bench-'));
  const socket = join(folder, 'redis.sock');
  const durability = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''];
  const redis = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--dir', folder, '--loglevel', 'warning', ...durability], {
    stdio: 'ignore',
  });
  const stub = fork(new URL('stub.ts', import.meta.url), [WORKFLOW], { execArgv: ['--disable-warning=ExperimentalWarning'] });
  try {
    const [{ port }] = (await once(stub, 'message')) as [{ port: number }];
    await listening(socket);
    const bench = await startEngineBench({ socket, port });
    const found: Row[] = [];
    const baseline: number[] = [];
    const runs: number[] = [];
    const ratios: number[] = [];
    await bench.throughput(100);
    for (let round = 0; round < size.rounds; round += 1) {
      note(`engine round ${round + 1} of ${size.rounds} …`);
      const before = await plainBullmq(socket, size.jobs);
      const perSecond = await bench.throughput(size.runs);
      const after = await plainBullmq(socket, size.jobs);
      baseline.push((before + after) / 2);
      runs.push(perSecond);
      ratios.push((before + after) / 2 / perSecond);
    }
    found.push({ name: 'plain BullMQ add+process, concurrency 100', value: median(baseline), unit: 'jobs/s' });
    found.push({ name: 'whole path, 2 tasks with output', value: median(runs), unit: 'runs/s' });
    found.push({ name: 'plain BullMQ jobs per run', value: median(ratios), unit: '×', bar: { most: 20 } });
    note('output → next POST …');
    const idle = await bench.latencies(size.latencies);
    found.push({ name: 'output message → next POST, p50', value: percentile(idle, 0.5), unit: 'ms', bar: { most: 5 } });
    found.push({ name: 'output message → next POST, p99', value: percentile(idle, 0.99), unit: 'ms', bar: { most: 20 } });
    note(`parking ${size.parked} tasks …`);
    const empty = await bench.usedMemory();
    await bench.parkTasks(size.parked);
    const full = await bench.usedMemory();
    found.push({
      name: `Redis per waiting 2-step run (${size.parked} parked)`,
      value: (full - empty) / size.parked,
      unit: 'bytes',
      bar: { most: 6_144 },
    });
    const busy = await bench.latencies(size.latencies);
    found.push({
      name: `output message → next POST, p50, ${size.parked} parked`,
      value: percentile(busy, 0.5),
      unit: 'ms',
      bar: { most: 5 },
    });
    found.push({
      name: `output message → next POST, p99, ${size.parked} parked`,
      value: percentile(busy, 0.99),
      unit: 'ms',
      bar: { most: 20 },
    });
    await bench.stop();
    return found;
  } finally {
    stub.disconnect();
    const gone = once(redis, 'exit');
    redis.kill('SIGKILL');
    await gone;
    await rm(folder, { recursive: true, force: true });
  }
}

async function listening(socket: string): Promise<void> {
  const until = Date.now() + 10_000;
  for (;;) {
    const probe = createConnection(socket);
    const ok = await Promise.race([once(probe, 'connect').then(() => true), once(probe, 'error').then(() => false)]).catch(() => false);
    probe.destroy();
    if (ok) return;
    if (Date.now() > until) throw new Error('redis-server does not listen. Is it installed?');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function report(found: readonly Row[]): void {
  const judged = found.map((row) => ({ ...row, verdict: verdictOf(row) }));
  if (options.json) {
    console.log(
      JSON.stringify({ machine: { cpus: cpus().length, model: cpus()[0]?.model }, redis: 'appendfsync everysec', rows: judged }, null, 2),
    );
  } else {
    const text = (row: Row) => `${row.value >= 100 ? row.value.toFixed(0) : row.value.toFixed(2)} ${row.unit}`;
    const bar = (row: Row) => (row.bar === undefined ? '' : `≤ ${row.bar.most}`);
    for (const row of judged) console.log(`${row.name.padEnd(60)} ${text(row).padStart(14)}  ${bar(row).padStart(8)}  ${row.verdict}`);
  }
  if (options.check && judged.some((row) => row.verdict === 'missed')) process.exitCode = 1;
}
