// The engine and its peers on the same two steps, in the same rounds on the same machine: runs per second, CPU per run, CPU at rest.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from '../src/queues/connection.ts';
import { startEngineBench } from './engine-bench.ts';
import { type PeerStore, startPostgres, startRestate } from './peer-stores.ts';
import { preparePeers } from './peers-setup.ts';
import { treeCpu } from './process-cpu.ts';
import { median, type Row } from './rows.ts';
import type { Answered, Asked } from './two-steps.ts';
import type { World } from './world.ts';

/** Runs before anything is measured: compilers, connections, caches. */
const WARM_UP = 200;
/** DESIGN §10: the engine against these two on the same two steps. */
const AGAINST_RESTATE = 2;
const AGAINST_DBOS = 4;

/** One of those compared: how it runs `n` runs at once, and the seconds of CPU that it took so far with its store. */
interface Contender {
  readonly name: string;
  /** What it waits for before it goes on, and what a loss of power may take. */
  readonly durability: string;
  readonly run: (n: number) => Promise<number>;
  readonly cpu: () => Promise<number>;
}

/** Rows for `rounds` rounds of `runs` runs at once each, the engine before and after the peers in each. Installs what is missing. */
export async function peerRows(
  world: World,
  size: { readonly rounds: number; readonly runs: number; readonly idleMs: number },
  note: (line: string) => void,
): Promise<Row[]> {
  const programs = preparePeers(note);
  const stops: (() => Promise<void>)[] = [];
  try {
    const started = async <T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> => {
      const one = await starting;
      stops.unshift(() => one.stop());
      return one;
    };
    note('starting the engine, BullMQ, graphile-worker, DBOS and Restate …');
    const bench = await started(startEngineBench(world));
    const redis = connect({ socket: world.socket }, () => {});
    stops.unshift(async () => {
      redis.disconnect();
      await Promise.resolve();
    });
    const redisCpu = async () => {
      const info = await redis.info('cpu');
      return Number(/used_cpu_user:([\d.]+)/.exec(info)?.[1]) + Number(/used_cpu_sys:([\d.]+)/.exec(info)?.[1]);
    };
    const ownCpu = () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    };
    const beside = async (file: string, store: PeerStore) => {
      const peer = await started(startPeer(file, world.endpoint, store.where));
      return {
        run: (n: number) => peer.run(n),
        looking: (n: number) => peer.run(n, true),
        cpu: async () => await Promise.resolve(treeCpu(peer.pid) + treeCpu(store.pid)),
      };
    };
    const bullmq = await started(startPeer('bullmq-peer.ts', world.endpoint, world.socket));
    const engine: Contender = {
      name: 'Autofiles, the whole path',
      durability: 'append-only file, fsync every second',
      run: bench.throughput,
      cpu: async () => ownCpu() + (await redisCpu()),
    };
    const fsynced = async (policy: 'always' | 'everysec') => {
      await redis.config('SET', 'appendfsync', policy);
    };
    // what others promise, for once
    const strict: Contender = {
      ...engine,
      name: 'Autofiles, the whole path',
      durability: 'append-only file, fsync at each write',
      run: async (n) => {
        await fsynced('always');
        const perSecond = await bench.throughput(n);
        await fsynced('everysec');
        return perSecond;
      },
    };
    const plain: Contender = {
      name: 'BullMQ, two jobs',
      durability: 'append-only file, fsync every second',
      run: (n) => bullmq.run(n),
      cpu: async () => treeCpu(bullmq.pid) + (await redisCpu()),
    };
    const restate = {
      name: 'Restate',
      durability: 'its log, fsync before it goes on',
      ...(await beside('peers/restate.ts', await started(startRestate(programs.restate)))),
    };
    const dbos = {
      name: 'DBOS on PostgreSQL',
      durability: 'fsync at each commit',
      ...(await beside('peers/dbos.ts', await started(startPostgres(programs.postgres)))),
    };
    const graphile: Contender = {
      name: 'graphile-worker on PostgreSQL, two jobs',
      durability: 'fsync at each commit',
      ...(await beside('peers/graphile-worker.ts', await started(startPostgres(programs.postgres)))),
    };
    // what S3's events cost whoever takes them, us included: the object is looked at before an event is believed
    const looking = [restate, dbos].map(
      (one): Contender => ({ ...one, name: `${one.name}, with a HEAD for each event`, run: one.looking }),
    );
    const peers: Contender[] = [plain, restate, dbos, graphile, ...looking];
    const all = [engine, strict, ...peers];
    for (const one of all) await one.run(WARM_UP);

    const speeds = new Map<Contender, number[]>(all.map((one) => [one, []]));
    const costs = new Map<Contender, number[]>(all.map((one) => [one, []]));
    const ratios = new Map<Contender, number[]>(peers.map((one) => [one, []]));
    const measure = async (one: Contender): Promise<number> => {
      const before = await one.cpu();
      const perSecond = await one.run(size.runs);
      speeds.get(one)?.push(perSecond);
      costs.get(one)?.push((1000 * ((await one.cpu()) - before)) / size.runs);
      return perSecond;
    };
    for (let round = 0; round < size.rounds; round += 1) {
      note(`the engine and its peers, round ${round + 1} of ${size.rounds} …`);
      const before = await measure(engine);
      const found: [Contender, number][] = [];
      // in another order each time, so that none always follows the same one
      for (let k = 0; k < peers.length; k += 1) {
        const peer = peers[(k + round) % peers.length];
        if (peer !== undefined) found.push([peer, await measure(peer)]);
      }
      const perSecond = (before + (await measure(engine))) / 2;
      await measure(strict);
      for (const [peer, its] of found) ratios.get(peer)?.push(perSecond / its);
    }

    note('the engine and its peers at rest …');
    const resting = [engine, plain, restate, dbos, graphile];
    const before = await Promise.all(resting.map((one) => one.cpu()));
    await new Promise((resolve) => setTimeout(resolve, size.idleMs));
    const after = await Promise.all(resting.map((one) => one.cpu()));

    const of = (one: Contender, values: Map<Contender, number[]>) => median(values.get(one) ?? []);
    const ratio = (one: Contender, least?: number): Row => ({
      name: `runs/s of Autofiles in those of ${one.name}`,
      value: of(one, ratios),
      unit: '×',
      ...(least === undefined ? {} : { bar: { least } }),
    });
    return [
      ...all.map((one) => ({ name: `${one.name} (${one.durability})`, value: of(one, speeds), unit: 'runs/s' })),
      ratio(restate, AGAINST_RESTATE),
      ratio(dbos, AGAINST_DBOS),
      ratio(graphile),
      ratio(plain),
      ...looking.map((one) => ratio(one)),
      ...[engine, ...peers].map((one) => ({ name: `CPU of worker and store, ${one.name}`, value: of(one, costs), unit: 'ms/run' })),
      ...resting.map((one, k) => ({
        name: `CPU of worker and store at rest, ${one.name}`,
        value: (100_000 * ((after[k] ?? 0) - (before[k] ?? 0))) / size.idleMs,
        unit: '%',
      })),
    ];
  } finally {
    for (const stop of stops) await stop();
  }
}

/** A peer's process, with the same Node and the same heap as the engine's. */
async function startPeer(file: string, endpoint: string, store: string) {
  const child: ChildProcess = fork(new URL(file, import.meta.url), [endpoint, store], {
    execArgv: ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=16'],
  });
  const gone = once(child, 'exit');
  const answer = async (): Promise<Answered> => {
    const early = gone.then(([code]) => {
      throw new Error(`${file} ended with ${String(code)}`);
    });
    const [answered] = (await Promise.race([once(child, 'message'), early])) as [Answered];
    if ('error' in answered) throw new Error(`${file}: ${answered.error}`);
    return answered;
  };
  await answer();
  return {
    pid: child.pid ?? 0,
    /** Runs `n` of its runs at once; answers with runs per second. */
    run: async (n: number, looks = false): Promise<number> => {
      child.send({ runs: n, looks } satisfies Asked);
      const answered = await answer();
      return 'perSecond' in answered ? answered.perSecond : Number.NaN;
    },
    stop: async (): Promise<void> => {
      if (child.connected) child.disconnect();
      const slow = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(slow);
    },
  };
}
