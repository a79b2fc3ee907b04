// The ways between a process and what it needs go bad, each in a way of its own.
import { setTimeout as pause } from 'node:timers/promises';
import { type Arena, RECOVERY_MS, running } from './arena.ts';
import type { Dice } from './dice.ts';
import type { FaultProxy, ProxyMode } from './fault-proxy.ts';
import type { Fault } from './redis-faults.ts';
import type { Slot } from './workers.ts';

/** How a way may be bad; `lossy` is the one by which what was done was done and nobody hears of it. */
const MODES: Readonly<Record<string, (dice: Dice) => ProxyMode | 'cut'>> = {
  cut: () => 'cut',
  refused: () => 'refuse',
  deaf: () => 'deaf',
  lossy: () => 'lossy',
  late: (dice) => ({ delayMs: dice.between(50, 400) }),
};

/** One fault for each mode, named by its group and mode, of the way that `wayOf` finds of a worker. */
export function badWays(group: string, wayOf: (slot: Slot) => FaultProxy, to: string): Readonly<Record<string, Fault>> {
  return Object.fromEntries(
    Object.keys(MODES).map((mode) => [
      `${group} ${mode}`,
      [
        1,
        async (arena) => {
          const slot = running(arena);
          if (slot !== undefined) await spoilWay(arena, group, mode, wayOf(slot), `${slot.name} to ${to}`);
        },
      ] satisfies Fault,
    ]),
  );
}

/** The same of any way, in a mode that the dice draw. */
export async function spoilSomehow(arena: Arena, group: string, proxy: FaultProxy, what: string): Promise<void> {
  await spoilWay(arena, group, arena.dice.pick(Object.keys(MODES)), proxy, what);
}

async function spoilWay(arena: Arena, group: string, name: string, proxy: FaultProxy, what: string): Promise<void> {
  const { dice } = arena;
  const from = Date.now();
  const mode = MODES[name]?.(dice) ?? 'cut';
  if (mode === 'cut') proxy.cut();
  else {
    proxy.set(mode);
    await pause(dice.between(300, 3_000));
    proxy.set('pass');
  }
  arena.note(`${group} ${name}`, `${what}: ${typeof mode === 'object' ? `${mode.delayMs} ms late` : mode}`, from, Date.now() + RECOVERY_MS);
}
