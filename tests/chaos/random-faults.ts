// Random faults against the workers of a chaos run.
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type Arena, kill } from './arena.ts';
import { createDice, seedOf } from './dice.ts';
import { every } from './every.ts';
import { FAULTS, rearm, START_FAULTS } from './nemesis.ts';
import type { Slot } from './workers.ts';

/** Milliseconds that a worker lives on the average when many are to die. */
const LIFE_MS = 4_000;
/** Milliseconds that a run takes longer at most until each of its faults met work. */
const LONGER_MS = 240_000;

export interface RandomFaults {
  readonly seed: number;
  readonly minutes: number;
  /** Ends early when so many processes were killed. */
  readonly kills: number | undefined;
  /** Faults that are to be done, or groups of them; undefined: all. */
  readonly only: readonly string[] | undefined;
  /** Those that met live work. */
  readonly met: ReadonlySet<string>;
}

/** Random faults, every kind at least once, often two at a time. */
export async function breakThings(
  arena: Arena,
  options: RandomFaults,
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
      const other = options.only === undefined && dice.chance(0.2) ? dice.pick(kindsOf(dice.pick(['F1', 'F8', 'F12', 'F3']))) : undefined;
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

/** The faults of a group. */
const kindsOf = (group: string): readonly string[] => Object.keys(FAULTS).filter((name) => name === group || name.startsWith(`${group} `));

function isFrozen(slot: Slot): boolean {
  try {
    return readFileSync(`/proc/${slot.child?.pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .startsWith('T');
  } catch {
    return false;
  }
}
