// Where faults happen: the world, the dice, and the workers that a fault may touch.
import type { Dice } from './dice.ts';
import type { Slot } from './workers.ts';
import type { World } from './world.ts';

/** Milliseconds after a kill in which a stalled job may still wait for its recovery. */
export const RECOVERY_MS = 6_000;
/** Milliseconds of the job lock in these runs. */
export const LOCK_MS = 3_000;

export interface Arena {
  readonly world: World;
  readonly dice: Dice;
  /** Runs that had not ended a moment ago. */
  live(): number;
  /** Names of workers that a fault is killing: their death is noted by the fault. */
  readonly killing: Set<string>;
  /** Names of workers that were told to stop. */
  readonly stopping: Set<string>;
  /** Names of workers that no fault may touch. */
  readonly spared: Set<string>;
  /** The failpoints that a worker knows. */
  points(slot: Slot): readonly string[];
  note(fault: string, detail: string, from: number, until: number, kills?: number): void;
}

/** A worker that runs, chosen by the dice. */
export function running(arena: Arena): Slot | undefined {
  const ready = arena.world.slots.filter((slot) => slot.ready && !arena.spared.has(slot.name));
  return ready.length === 0 ? undefined : arena.dice.pick(ready);
}

/** SIGKILL of a worker; noted when it is gone. */
export async function kill(arena: Arena, fault: string, slot = running(arena)): Promise<void> {
  if (slot === undefined) return;
  const from = Date.now();
  const gone = slot.gone();
  arena.killing.add(slot.name);
  slot.signal('SIGKILL');
  await gone;
  arena.note(fault, `killed ${slot.name}`, from, Date.now() + RECOVERY_MS, 1);
}
