// One chaos run: work, faults, calm, evidence.

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { readLedger } from '../../src/queues/ledger.ts';
import { ADDON_FAILPOINTS, FAILPOINTS } from '../../src/schema/failpoint.ts';
import { until } from '../support/until.ts';
import { type Arena, kill, RECOVERY_MS } from './arena.ts';
import type { Evidence } from './checker/evidence.ts';
import { collect, leftoversOf } from './collect.ts';
import { createDice, seedOf } from './dice.ts';
import { createFrontDoor } from './front-door.ts';
import { FAULTS, freeLocks, loseCredentials, rearm, removeJobs, START_FAULTS, slowStore } from './nemesis.ts';
import { NO_STORE_FAULTS } from './store-tap.ts';
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
/** Milliseconds that a worker lives on the average when many are to die. */
const LIFE_MS = 4_000;
/** Milliseconds that all runs may take to end after the last fault; messages of dead receivers are hidden for 30 s. */
const CALM_MS = 600_000;
/** Milliseconds after which `--ci` gives up on the failpoints that are left: many times what a free machine takes. */
const MOST_MS = 900_000;
/** Milliseconds that a run takes longer at most until each of its faults met work. */
const LONGER_MS = 240_000;
/** Milliseconds between two things that the tenants are led to do, so that a failpoint that was not reached is. */
const LEAD_MS = 1_500;
/** Milliseconds for which S3 is slow in a run of all failpoints. */
const SLOW_MS = 5_000;
/** Milliseconds that a machine may take to start the first workers. */
const BOOT_MS = 120_000;
/** Milliseconds that this process may be late itself; a machine that is too busy for it proves nothing about deadlines. */
const LAG_MS = 400;
/** Hundredths of the time in which some process waited for a processor, above which the same holds; an average of ten seconds. */
const BUSY = 50;
const PRESSURE_MS = 10_000;

export interface ChaosOptions {
  readonly folder: string;
  readonly seed: number;
  readonly minutes: number;
  /** Ends the faults early when so many processes were killed. */
  readonly kills: number | undefined;
  /** Faults that are to be done, or groups of them; undefined: all. */
  readonly only: readonly string[] | undefined;
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
      ? await reachAll({ arena, workload, points: toReach, reached, say, most: options.patience ?? MOST_MS })
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
    await beating;
    await world.stop();
  }
}

/** Random faults, every kind at least once, often two at a time. */
async function breakThings(
  arena: Arena,
  options: ChaosOptions & { met: ReadonlySet<string> },
  killed: () => number,
  say: (line: string) => void,
): Promise<readonly string[]> {
  const { world, dice } = arena;
  const end = Date.now() + options.minutes * 60_000;
  const wanted = (name: string) => options.only?.some((one) => name === one || name.startsWith(`${one} `)) ?? true;
  const ended = () => Date.now() > end || (options.kills !== undefined && killed() >= options.kills);
  const stop = new AbortController();
  const starts = [...(options.only === undefined ? ['F2'] : []), ...START_FAULTS.filter((name) => wanted(name))];
  const owed = [...starts];
  // whoever died is started again, and whoever froze goes on
  const keeping = every(150, stop.signal, async () => {
    for (const slot of world.slots) {
      if (slot.child === undefined && !arena.spared.has(slot.name) && dice.chance(0.5)) {
        const { fault, how } = rearm(arena, slot, owed);
        slot.start(how);
        const now = Date.now();
        if (fault !== undefined && START_FAULTS.includes(fault)) arena.note(fault, `${slot.name}: ${JSON.stringify(how)}`, now, now);
        if (how.failpoint?.endsWith('SIGSTOP')) arena.note('F3', `${slot.name} will freeze at ${how.failpoint}`, now, now);
      } else if (slot.failpoint.endsWith('SIGSTOP') && isFrozen(slot) && dice.chance(0.08)) slot.signal('SIGCONT');
    }
  });
  // many deaths do not wait for one another
  const fates = createDice(seedOf(options.seed, 'killer'));
  const killing =
    options.kills === undefined
      ? Promise.resolve()
      : every(100, stop.signal, async () => {
          for (const slot of world.slots)
            if (slot.ready && !arena.spared.has(slot.name) && arena.live() > 0 && fates.chance(100 / LIFE_MS))
              await kill(arena, 'F1', slot);
        });
  const kinds = Object.keys(FAULTS).filter((name) => wanted(name));
  if (kinds.length + starts.length === 0) throw new RangeError(`none of the faults is called ${options.only?.join(' or ')}`);
  // a bad start wants a death before it
  const drawn =
    kinds.length === 0
      ? ['F1']
      : Object.entries(FAULTS).flatMap(([name, [share]]) => (wanted(name) ? Array.from({ length: share }, () => name) : []));
  const first = [...kinds].sort(() => dice.roll() - 0.5);
  const inflict = async (name: string) => {
    const fault = FAULTS[name];
    if (fault === undefined) return;
    await fault[1](arena);
  };
  try {
    let told = Date.now();
    // a fault that met nothing to do is done again; a bad start waits for a death
    const unmet = (names: readonly string[]) => names.filter((name) => !options.met.has(name));
    while (!ended() || (unmet([...kinds, ...starts]).length > 0 && Date.now() < end + LONGER_MS)) {
      if (first.length === 0 && ended()) {
        if (owed.length === 0) owed.push(...unmet(starts));
        first.push(...(owed.length === 0 ? [] : ['F1']), ...unmet(kinds));
      }
      await pause(dice.between(100, 900));
      const one = first.pop() ?? dice.pick(drawn);
      const other = options.only === undefined && dice.chance(0.2) ? dice.pick(['F1', 'F8', 'F12', 'F3']) : undefined;
      await Promise.all([inflict(one), ...(other === undefined || other === one ? [] : [inflict(other)])]);
      if (Date.now() - told > 30_000) {
        told = Date.now();
        say(`${Math.round((end - told) / 1000)} s left: ${killed()} kills, ${arena.live()} live runs`);
      }
    }
  } finally {
    stop.abort();
    await Promise.all([keeping, killing]);
  }
  return [...kinds, ...starts];
}

/** What the tenants do so that a failpoint is reached; of the others there is always something. */
const LEADS: Readonly<Record<string, string>> = {
  'grant.given': 'wide',
  'grant.told': 'wide',
  'task.refused': 'refused',
  'task.due': 'timing out',
  'task.judged': 'timing out',
  'stop.due': 'timing out',
  'stop.stopped': 'timing out',
  'stop.noted': 'timing out',
};

/** A worker dies at each failpoint once, while another one goes on. */
async function reachAll(deps: {
  arena: Arena;
  workload: Workload;
  points: readonly string[];
  reached: ReadonlySet<string>;
  say: (line: string) => void;
  /** Milliseconds. */
  most: number;
}): Promise<readonly string[]> {
  const { arena, workload, points, reached, say } = deps;
  const { world } = arena;
  await world.setEvents({ duplicate: 0.1 });
  // messages come back while files cannot be read
  const slow = slowStore(arena, SLOW_MS);
  const left = () => points.filter((point) => !reached.has(point));
  const rotation = points.filter((point) => point.startsWith('rotate.'));
  const some = (...names: readonly string[]) => left().some((point) => names.some((name) => point.startsWith(name)));
  const end = Date.now() + deps.most;
  let told = Date.now();
  let led = 0;
  let news: Promise<void> | undefined;
  // one worker is spared, so that there is always something to do and to die at
  const [spared, ...others] = world.slots;
  while (left().length > 0 && Date.now() < end) {
    // a rotation comes first and by itself: without credentials nothing is launched
    const rotating = some('rotate.');
    const victims = rotating ? world.slots : others;
    if (!rotating && spared !== undefined && (spared.child === undefined || spared.failpoint !== '')) {
      await endNow(arena, spared);
      spared.start();
    }
    for (const slot of victims) {
      // each dies at what the others do not, so that none dies where one has died already
      const taken = new Set(victims.flatMap((other) => (other === slot || other.child === undefined ? [] : pointsOf(other))));
      const open = rotating ? rotation.filter((point) => !reached.has(point)) : left();
      const known = open.filter((point) => arena.points(slot).includes(point));
      const free = known.filter((point) => !taken.has(point));
      const armed = rotating || free.length === 0 ? known : everyOther(free);
      if (slot.child !== undefined) {
        // what it waits for may have been somebody else's last
        if (pointsOf(slot).some((point) => !reached.has(point))) continue;
        await endNow(arena, slot);
      }
      slot.start({ failpoint: armed.map((point) => `${point}:1`).join(',') });
    }
    world.platform.favourUnknown(some('adopt.', 'task.lost'));
    if (news === undefined)
      news = FAULTS['F13']?.[1](arena).finally(() => {
        news = undefined;
      });
    if (Date.now() - led > LEAD_MS) {
      led = Date.now();
      if (some('sweep.')) await removeJobs(arena);
      if (rotating) await loseCredentials(arena);
      if (some('archive.', 'sweep.', 'ledger.')) await freeLocks(arena);
      if (arena.live() < 2 * MOST_LIVE_CI)
        for (const shape of new Set(left().flatMap((point) => LEADS[point] ?? []))) await workload.want(shape);
    }
    if (Date.now() - told > 20_000) {
      told = Date.now();
      say(`not reached yet: ${left().join(' ')}`);
    }
    await pause(100);
  }
  await Promise.all([news, slow]);
  world.platform.favourUnknown(false);
  say(`${reached.size} of ${points.length} failpoints killed a worker`);
  return [...points.map((point) => `F2 ${point}`), 'F11', 'F13'];
}

/** Half of the points, of every part of the way one. */
const everyOther = (points: readonly string[]) => (points.length < 4 ? points : points.filter((_, n) => n % 2 === 0));

const pointsOf = (slot: Slot): readonly string[] => slot.failpoint.split(',').flatMap((one) => one.split(':')[0] || []);

/** Everything works again: fresh workers and nothing in their way; of an earlier version alone where there is one: it was rolled back. */
async function calmDown(arena: Arena): Promise<void> {
  const { world, note } = arena;
  const mixed = world.slots.some(({ earlier }) => earlier);
  world.tap.set(NO_STORE_FAULTS);
  world.platform.behave();
  await world.redis.config('SET', 'maxmemory', '0');
  world.front.set('pass');
  for (const slot of [...world.slots, world.web]) {
    for (const proxy of [slot.redis, slot.store, slot.heroku]) proxy.set('pass');
    await endNow(arena, slot);
    if (slot !== world.web && mixed && !slot.earlier) continue;
    slot.start();
  }
  if (mixed) note('F4', 'the later version was rolled back', Date.now(), Date.now());
  await world.setEvents({});
}

/** Kills whatever runs there, as part of the harness: no fault, and nobody's death. */
async function endNow({ killing }: Arena, slot: Slot): Promise<void> {
  if (slot.child === undefined) return;
  killing.add(slot.name);
  slot.signal('SIGKILL');
  await slot.gone();
}

/** What ended a process that no fault has killed; undefined: it ended by itself. */
function causeOf(slot: Slot, how: string, stopping: ReadonlySet<string>): string | undefined {
  if (how === 'SIGKILL' && slot.passed !== undefined && !slot.failpoint.endsWith('SIGSTOP')) return `failpoint ${slot.passed}`;
  if (stopping.has(slot.name)) return 'told to stop';
  if (slot.little && (how === 'SIGABRT' || how === '134')) return 'little memory';
  return undefined;
}

/** Waits until nothing is left to do; answers whether the queue was empty then, and what had no decision. */
async function quiet(world: World, say: (line: string) => void, most: number): Promise<Pick<Evidence, 'drained' | 'unaccounted'>> {
  const since = Date.now();
  const end = since + most;
  for (;;) {
    const drained = await world.clients.queue.drained(world.queueUrl);
    const unaccounted = await unaccountedOf(world, since);
    const left = [...(await leftoversOf(world)), ...unaccounted];
    if (drained && left.length === 0) return { drained, unaccounted };
    if (Date.now() > end) {
      say(`not quiet after ${most / 1000} s: ${left.slice(0, 5).join('; ')}`);
      return { drained, unaccounted };
    }
    await pause(500);
  }
}

/** Buckets in which a version has no decision yet, or that were not compared since then (ms): what was lost may come back. */
async function unaccountedOf(world: World, since: number): Promise<readonly string[]> {
  const found = await Promise.all(world.tenants.map(async (tenant) => await readLedger(world.redis, tenant, 1)));
  return found.flatMap(({ bucket, unaccounted, in_flight, swept_at }) => {
    const open = unaccounted + in_flight;
    return open === 0 && Date.parse(swept_at ?? '') > since ? [] : [`${open} versions of ${bucket} without a decision`];
  });
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

async function every(ms: number, signal: AbortSignal, turn: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await turn();
    await pause(ms, undefined, { signal }).catch(() => {});
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

function isFrozen(slot: Slot): boolean {
  try {
    return readFileSync(`/proc/${slot.child?.pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .startsWith('T');
  } catch {
    return false;
  }
}
