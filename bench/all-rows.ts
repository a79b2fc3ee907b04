// `npm run bench`: figures with their bars, as medians of several rounds on this machine, compared with plain BullMQ
// in the same run. `-- --quick` (two minutes), `-- --full` (with a million parked runs and the peers), `-- --peers` (with DBOS, Restate,
// graphile-worker and BullMQ on the same two steps), `-- --json`, `-- --check` (exit status 1 when a bar is missed).
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { apiRows } from './api-bench.ts';
import { plainBullmq } from './baseline.ts';
import { budgetRows, minuteRows } from './budget-bench.ts';
import { dynoRows } from './dynos-bench.ts';
import { type EngineBench, GROUP, startEngineBench } from './engine-bench.ts';
import { localRows } from './local-bench.ts';
import { peerRows } from './peers-bench.ts';
import { barText, median, percentile, type Row, verdictOf } from './rows.ts';
import { inWorld, type World } from './world.ts';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    full: { type: 'boolean' },
    peers: { type: 'boolean' },
    json: { type: 'boolean' },
    check: { type: 'boolean' },
  },
});
const note = (line: string) => console.error(line);

/** Bytes of Redis, DESIGN §10: per waiting task in a group, and per waiting 2-step run with all its keys. */
const TASK_BYTES = 1.2 * 1024;
const RUN_BYTES = 6 * 1024;
const MIB = 1024 * 1024;
/** Launches per hour of one account: nine tenths of Heroku's 4,500 calls (DESIGN §4). */
const DEFAULT_LAUNCHES = 4_050;
/** Runs, and tasks in groups, that the engine itself parks; at about 300 a second a million would take an hour. */
const MOST_PARKED = 10_000;
const MOST_GROUPED = 20_000;

const quick = {
  rounds: 3,
  runs: 600,
  jobs: 6_000,
  latencies: 100,
  grouped: [1_000, 2_000],
  parked: [1_000, 5_000],
  burst: 10_000,
  // an hour is scaled to a minute (DESIGN §10)
  budgetMs: 60_000,
  minuteMs: 75_000,
  idleMs: 30_000,
  stored: 20_000,
  puts: 20,
  clones: 1,
  peers: { rounds: 3, runs: 300, idleMs: 10_000 },
};
const usual = {
  rounds: 5,
  runs: 2_000,
  jobs: 20_000,
  latencies: 400,
  grouped: [1_000, 10_000, 100_000],
  parked: [1_000, 10_000, 100_000],
  burst: 100_000,
  budgetMs: 60_000,
  minuteMs: 150_000,
  // V8 keeps the pages of a heap that was larger, and gives them back 100 s after its last collection (kWatchdogDelayMs of its memory-reducer.h)
  idleMs: 130_000,
  stored: 100_000,
  puts: 100,
  clones: 3,
  peers: { rounds: 5, runs: 1_000, idleMs: 30_000 },
};
const size = options.quick
  ? quick
  : options.full
    ? { ...usual, parked: [...usual.parked, 1_000_000], grouped: [...usual.grouped, 1_000_000] }
    : usual;

const rows: Row[] = [
  // first: the memory of a worker that has done nothing else
  ...(await inWorld(parkedRows)),
  ...(await inWorld(groupedRows)),
  ...(await inWorld(throughputRows)),
  ...(await burstRows()),
  ...(await inWorld(overHttpRows)),
  ...(await inWorld(rememberedRows)),
  ...(await inWorld(async (world) => await budgetRows(world, size.budgetMs))),
  ...(await inWorld(async (world) => await minuteRows(world, size.minuteMs, note))),
  ...(await inWorld(async (world) => await apiRows(world, size.stored))),
  ...(await localRows({ puts: size.puts, clones: size.clones, note })),
  ...(await dynoRows({ starts: size.puts, note })),
  ...(options.peers || options.full ? await inWorld(async (world) => await peerRows(world, size.peers, note)) : []),
];
report(rows);

/** Runs per second with one and with two worker processes, each against plain BullMQ in the same rounds. */
async function throughputRows(world: World): Promise<Row[]> {
  const bench = await startEngineBench(world);
  await bench.throughput(100);
  const one = await rounds(world, bench, 'one worker process');
  await bench.addWorker();
  await bench.throughput(100);
  const two = await rounds(world, bench, 'two worker processes');
  await bench.stop();
  return [
    { name: 'plain BullMQ add+process, concurrency 100', value: one.baseline, unit: 'jobs/s' },
    { name: 'whole path, 2 tasks with output, 1 worker process', value: one.runs, unit: 'runs/s' },
    { name: 'plain BullMQ jobs per run, 1 worker process', value: one.ratio, unit: '×', bar: { most: 20 } },
    { name: 'whole path, 2 tasks with output, 2 worker processes', value: two.runs, unit: 'runs/s' },
  ];
}

/** A burst straight into the handler of one worker: within the launch budget that every account has, and where every task is launched at once. */
async function burstRows(): Promise<Row[]> {
  const accepted = async (overrides: Parameters<typeof startEngineBench>[1]) =>
    await inWorld(async (world) => {
      const bench = await startEngineBench(world, overrides);
      note(`a burst of ${size.burst} events …`);
      const perSecond = await bench.burst(size.burst);
      await bench.stop();
      return perSecond;
    });
  const bar = { least: 5_000 };
  const name = `accepting a burst of ${size.burst} events`;
  return [
    { name: `${name}, default launch budget`, value: await accepted({ launchesPerHour: DEFAULT_LAUNCHES }), unit: 'events/s', bar },
    { name: `${name}, every task launched at once`, value: await accepted({}), unit: 'events/s', bar },
  ];
}

/** A burst that comes the whole way: receives, looks at objects and deletes over HTTP. */
async function overHttpRows(world: World): Promise<Row[]> {
  const bench = await startEngineBench(world);
  const events = size.burst / 10;
  note(`${events} events over HTTP …`);
  const value = await bench.burstOverHttp(events);
  await bench.stop();
  return [{ name: `accepting ${events} events from SQS over HTTP, deletes included`, value, unit: 'events/s' }];
}

async function rounds(world: World, bench: EngineBench, what: string) {
  const baseline: number[] = [];
  const runs: number[] = [];
  const ratios: number[] = [];
  for (let round = 0; round < size.rounds; round += 1) {
    note(`${what}, round ${round + 1} of ${size.rounds} …`);
    const before = await plainBullmq(world.socket, size.jobs);
    const perSecond = await bench.throughput(size.runs);
    const after = await plainBullmq(world.socket, size.jobs);
    baseline.push((before + after) / 2);
    runs.push(perSecond);
    ratios.push((before + after) / 2 / perSecond);
  }
  return { baseline: median(baseline), runs: median(runs), ratio: median(ratios) };
}

/** What waiting costs, and whether it slows down what moves: at growing numbers of parked runs. */
async function parkedRows(world: World): Promise<Row[]> {
  const bench = await startEngineBench(world);
  // a worker that has just started runs code that is not compiled yet
  await bench.throughput(size.runs);
  note('output → next POST …');
  const found: Row[] = latencyRows('', await bench.latencies(size.latencies));
  const empty = await bench.usedMemory();
  let parked = 0;
  for (const count of size.parked) {
    note(`parking ${count} runs …`);
    // as many as take minutes to park are copies of those that the engine parked
    await bench.parkRuns(Math.max(0, Math.min(count, MOST_PARKED) - parked));
    if (count > MOST_PARKED) await bench.parkCopies(count - Math.max(parked, MOST_PARKED));
    parked = count;
    const copied = count > MOST_PARKED ? `, ${count - MOST_PARKED} of them copies` : '';
    found.push({
      name: `Redis per waiting 2-step run (${count}${copied})`,
      value: ((await bench.usedMemory()) - empty) / count,
      unit: 'bytes',
      bar: { most: RUN_BYTES },
    });
    found.push(...latencyRows(`, ${count} parked${copied}`, await bench.latencies(size.latencies)));
  }
  found.push({ name: `memory of the worker that has just parked ${parked}`, value: process.memoryUsage().rss / MIB, unit: 'MiB' });
  note(`resting for ${size.idleMs / 1000} s …`);
  found.push({
    name: `CPU of the worker with ${parked} parked, idle`,
    value: 100 * (await bench.idleCpu(size.idleMs)),
    unit: '%',
    bar: { most: 1 },
  });
  found.push({
    name: `memory of the worker with ${parked} parked, after ${size.idleMs / 1000} s of rest`,
    value: process.memoryUsage().rss / MIB,
    unit: 'MiB',
    bar: { most: 200 },
  });
  await bench.stop();
  return found;
}

/** The same in groups of tasks: at growing numbers of those that wait. */
async function groupedRows(world: World): Promise<Row[]> {
  const bench = await startEngineBench(world);
  await bench.throughput(size.runs);
  const found: Row[] = [];
  const empty = await bench.usedMemory();
  let parked = 0;
  for (const count of size.grouped) {
    note(`parking ${count} tasks in groups …`);
    const byEngine = Math.min(count, MOST_GROUPED) - Math.min(parked, MOST_GROUPED);
    if (byEngine > 0) await bench.parkGroups(byEngine);
    const byCopy = Math.max(count - MOST_GROUPED, 0) - Math.max(parked - MOST_GROUPED, 0);
    if (byCopy > 0) await bench.parkCopies(byCopy / GROUP);
    parked = count;
    const copied = count > MOST_GROUPED ? `, ${count - MOST_GROUPED} of them copies` : '';
    found.push({
      name: `Redis per waiting task in a group (${count}${copied})`,
      value: ((await bench.usedMemory()) - empty) / count,
      unit: 'bytes',
      bar: { most: TASK_BYTES },
    });
  }
  found.push(...latencyRows(`, ${parked} parked in groups`, await bench.latencies(size.latencies)));
  await bench.stop();
  return found;
}

/** What is left of runs whose retention has passed, so that their events do not run twice: three events a run, its file's and two outputs'. */
async function rememberedRows(world: World): Promise<Row[]> {
  // a resource's file and task lists stand beside the stub for 60 days: which runs a file started, which task made it
  const bench = await startEngineBench(world, { retention: () => 0, retentionMs: 500 });
  await bench.throughput(100);
  await bench.retired();
  note(`retiring ${size.runs} runs …`);
  const before = await bench.usedMemory();
  await bench.throughput(size.runs);
  await bench.retired();
  const bytes = (await bench.usedMemory()) - before;
  await bench.stop();
  return [{ name: `Redis per remembered event (${3 * size.runs} of ${size.runs} runs)`, value: bytes / size.runs / 3, unit: 'bytes' }];
}

function latencyRows(when: string, measured: readonly number[]): Row[] {
  return [
    { name: `output message → next POST, p50${when}`, value: percentile(measured, 0.5), unit: 'ms', bar: { most: 5 } },
    { name: `output message → next POST, p99${when}`, value: percentile(measured, 0.99), unit: 'ms', bar: { most: 20 } },
  ];
}

function report(found: readonly Row[]): void {
  const judged = found.map((row) => ({ ...row, verdict: verdictOf(row) }));
  if (options.json) {
    console.log(
      JSON.stringify({ machine: { cpus: cpus().length, model: cpus()[0]?.model }, redis: 'appendfsync everysec', rows: judged }, null, 2),
    );
  } else {
    const text = (row: Row) => `${row.value >= 100 ? row.value.toFixed(0) : row.value.toFixed(2)} ${row.unit}`;
    for (const row of judged) {
      console.log(`${row.name.padEnd(78)} ${text(row).padStart(16)}  ${barText(row).padStart(8)}  ${row.verdict}`);
    }
  }
  if (options.check && judged.some((row) => row.verdict === 'missed')) process.exitCode = 1;
}
