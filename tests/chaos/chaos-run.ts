// One chaos run: work, faults, calm, evidence.

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { ADDON_FAILPOINTS, FAILPOINTS } from '../../src/schema/failpoint.ts';
import { until } from '../support/until.ts';
import { reachAll } from './all-failpoints.ts';
import { type Arena, RECOVERY_MS } from './arena.ts';
import { calmDown, endNow, quiet } from './calm.ts';
import type { Evidence } from './checker/evidence.ts';
import { collect } from './collect.ts';
import { createDice, seedOf } from './dice.ts';
import { every } from './every.ts';
import { createFrontDoor } from './front-door.ts';
import { breakThings, type RandomFaults } from './random-faults.ts';
import type { Slot } from './workers.ts';
import { createWorkload, type Workload } from './workload.ts';
import { startWorld, type World } from './world.ts';

/** Milliseconds between two things that tenants do, on the average. */
const PACE_MS = 350;
/** Live runs at which the driver waits: the machine has two processors. */
const MOST_LIVE = 120;
/** The same where many workers are to die: it is their starts that take the processors. */
const PACE_OF_KILLS_MS = 900;
const MOST_LIVE_OF_KILLS = 60;
const MOST_LIVE_CI = 30;
/** Live runs before the first fault. */
const FIRST_LIVE = 5;
/** Milliseconds that all runs may take to end after the last fault; messages of dead receivers are hidden for 30 s. */
const CALM_MS = 600_000;
/** Milliseconds after which `--ci` gives up on the failpoints that are left: many times what a free machine takes. */
const MOST_MS = 900_000;
/** Milliseconds between two looks whether launches are held back that nobody means to. */
const LET_GO_MS = 1_000;
/** Milliseconds that a machine may take to start the first workers. */
const BOOT_MS = 120_000;
/** Milliseconds that this process may be late itself; a machine that is too busy for it proves nothing about deadlines. */
const LAG_MS = 400;
/** Hundredths of the time in which some process waited for a processor, above which the same holds; an average of ten seconds. */
const BUSY = 50;
const PRESSURE_MS = 10_000;

export interface ChaosOptions extends Omit<RandomFaults, 'met'> {
  readonly folder: string;
  /** Every failpoint once instead of random faults. */
  readonly ci: boolean;
  /** Milliseconds that an engine may take at most for what is left to reach, and then for what is left to do; undefined: many times what one needs. */
  readonly patience: number | undefined;
  /** The main.ts of workers and of the web process. */
  readonly main: string;
  readonly webMain: string;
  /** Of the half of the workers that run an earlier version, and the failpoints that it knows. */
  readonly earlier: { readonly main: string; readonly commit: string; readonly failpoints: readonly string[] } | undefined;
  readonly say: (line: string) => void;
}

/** Runs it and answers with what was seen. Throws when the world itself breaks. */
export async function runChaos(options: ChaosOptions): Promise<Evidence> {
  const { seed, say } = options;
  const dice = createDice(seedOf(seed, 'nemesis'));
  let live = 0;
  let calm = false;
  let killed = 0;
  const reached = new Set<string>();
  const met = new Set<string>();
  const toReach = Object.keys({ ...FAILPOINTS, ...ADDON_FAILPOINTS });

  const world: World = await startWorld({
    folder: options.folder,
    seed,
    main: options.main,
    webMain: options.webMain,
    earlierMain: options.earlier?.main,
    slots: 4,
    onWorkerEnd: (slot, how, served) => {
      const byFault = arena.killing.delete(slot.name);
      const cause = byFault ? 'killed' : causeOf(slot, how, arena.stopping);
      world.ledger.note({ kind: 'exit', worker: slot.name, how, served, ...(cause === undefined ? {} : { cause }) });
      // one that died otherwise was killed by a fault that notes it itself
      if (calm || byFault || how !== 'SIGKILL' || slot.passed === undefined || slot.failpoint.endsWith('SIGSTOP')) return;
      // one that met no work is reached once more
      if (live > 0) reached.add(slot.passed);
      const now = Date.now();
      arena.note(options.ci ? `F2 ${slot.passed}` : 'F2', `died at ${slot.passed}`, now, now + RECOVERY_MS, 1);
    },
  });
  const arena: Arena = {
    world,
    dice,
    live: () => live,
    killing: new Set(),
    stopping: new Set(),
    spared: new Set(),
    points: (slot) => toReach.filter((point) => !slot.earlier || options.earlier?.failpoints.includes(point)),
    note: (fault, detail, from, until, kills = 0) => {
      killed += kills;
      if (live > 0) met.add(fault);
      world.ledger.note({ kind: 'fault', t: from, until, fault, live, kills, detail });
    },
  };
  const workload = createWorkload(world, seed);
  const door = createFrontDoor(world, seed);
  for (const slot of [...world.slots, world.web]) slot.start();
  try {
    await until('the first processes', () => [...world.slots, world.web].every((slot) => slot.ready), BOOT_MS);
  } catch (error) {
    await world.stop();
    throw error;
  }
  const began = Date.now();
  const stop = new AbortController();
  const watching = every(100, stop.signal, async () => {
    live = await world.redis.zcard('{af0}:live');
  });
  const pulse = new AbortController();
  let beat = Date.now();
  let busy = 0;
  const beating = every(100, pulse.signal, async () => {
    const now = Date.now();
    if (now - beat > 100 + LAG_MS) world.ledger.note({ kind: 'lag', t: beat, until: now });
    else if (pressure() > BUSY && now - busy > 1_000) {
      busy = now;
      world.ledger.note({ kind: 'lag', t: now - PRESSURE_MS, until: now });
    }
    beat = now;
  });
  // until the end: Redis may come back as it was while launches were held back
  const letting = every(LET_GO_MS, pulse.signal, workload.letGo);
  letting.catch(() => stop.abort());
  const [pace, most] = options.ci
    ? [PACE_MS, MOST_LIVE_CI]
    : options.kills === undefined
      ? [PACE_MS, MOST_LIVE]
      : [PACE_OF_KILLS_MS, MOST_LIVE_OF_KILLS];
  const working = work(workload, { pace, mayGoOn: () => live < most, dice: createDice(seedOf(seed, 'pace')) }, stop.signal);
  // what breaks it is thrown where it is waited for, when everything has been ended
  working.catch(() => stop.abort());
  const visiting = door.run(stop.signal);
  visiting.catch(() => stop.abort());
  const holding = every(150, stop.signal, async () => {
    if (world.web.child === undefined) world.web.start();
    await Promise.resolve();
  });

  try {
    await until('work to break', () => live >= FIRST_LIVE, BOOT_MS);
    const faults = options.ci
      ? await reachAll({ arena, workload, points: toReach, reached, say, most: options.patience ?? MOST_MS, mostLive: 2 * MOST_LIVE_CI })
      : await breakThings(arena, { ...options, met }, () => killed, say);
    calm = true;
    stop.abort();
    await Promise.all([working, watching, holding]);
    const calmAt = Date.now();
    say(
      `calm after ${Math.round((calmAt - began) / 1000)} s: ${killed} kills, ${workload.uploads} uploads, waiting for ${live} runs to end`,
    );
    await calmDown(arena);
    await visiting;
    const patience = options.patience ?? CALM_MS;
    await quiet(world, say, patience);
    await Promise.all([workload.epilogue(), door.epilogue()]);
    const { drained, unaccounted } = await quiet(world, say, patience);
    // what is read now must not move any more
    for (const slot of [...world.slots, world.web]) await endNow(arena, slot);
    return await collect(world, {
      seed,
      faults,
      earlier: options.earlier?.commit,
      phases: { began, calm: calmAt, quiet: Date.now() },
      drained,
      unaccounted,
    });
  } finally {
    stop.abort();
    pulse.abort();
    await Promise.allSettled([beating, letting]);
    await world.stop();
  }
}

/** What ended a process that no fault has killed; undefined: it ended by itself. */
function causeOf(slot: Slot, how: string, stopping: ReadonlySet<string>): string | undefined {
  if (how === 'SIGKILL' && slot.passed !== undefined && !slot.failpoint.endsWith('SIGSTOP')) return `failpoint ${slot.passed}`;
  if (stopping.has(slot.name)) return 'told to stop';
  if (slot.little && (how === 'SIGABRT' || how === '134')) return 'little memory';
  return undefined;
}

/** The tenants at work: all kinds of things once, and then whatever the dice say. */
async function work(
  workload: Workload,
  { pace, mayGoOn, dice }: { pace: number; mayGoOn: () => boolean; dice: ReturnType<typeof createDice> },
  signal: AbortSignal,
): Promise<void> {
  await workload.opening();
  while (!signal.aborted) {
    if (mayGoOn()) await workload.step();
    await pause(dice.between(pace / 2, pace * 1.5), undefined, { signal }).catch(() => {});
  }
}

/** How much of the last ten seconds processes waited for a processor, in hundredths; 0 where the kernel does not tell. */
function pressure(): number {
  try {
    return Number(/some avg10=([\d.]+)/.exec(readFileSync('/proc/pressure/cpu', 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
