// A worker's death at each step of the recovery from a loss of Redis.
import { setTimeout as pause } from 'node:timers/promises';
import { shardKeys } from '../../src/queues/keys.ts';
import type { Arena } from './arena.ts';
import { endNow } from './calm.ts';
import { FAULTS } from './nemesis.ts';
import type { Slot } from './workers.ts';
import type { Workload } from './workload.ts';

/** Milliseconds that the word of a death may take on a busy machine. */
const TOLD_MS = 2_000;
/** The loss that is recovered from. */
export const LOSS = 'F6 rollback';

/**
 * Redis is rolled back, and whoever recovers from it dies, step by step, until all `points` are reached or it is `end` (ms). All workers die at the
 * same step: nobody is left who could take it past the next one.
 */
export async function reachRecovery(deps: {
  arena: Arena;
  workload: Workload;
  points: readonly string[];
  reached: ReadonlySet<string>;
  end: number;
}): Promise<void> {
  const { arena, workload, reached, end } = deps;
  const { world } = arena;
  let loss: Promise<void> | undefined;
  const arm = (slot: Slot, point: string) => slot.start(arena.points(slot).includes(point) ? { failpoint: `${point}:1` } : {});
  const endAll = async () => {
    await Promise.all(world.slots.map(async (slot) => endNow(arena, slot)));
    // a dead worker keeps the others from it for ten seconds
    await world.redis.del(shardKeys(0).lock('epoch'));
  };
  const next = () => (Date.now() < end ? deps.points.find((point) => !reached.has(point)) : undefined);
  for (let point = next(); point !== undefined; point = next()) {
    await endAll();
    for (const slot of world.slots) arm(slot, point);
    if (loss === undefined) {
      while (!world.slots.every(({ ready }) => ready) && Date.now() < end) await pause(50);
      await workload.want('waiting');
      loss = FAULTS[LOSS]?.[1](arena).finally(() => {
        loss = undefined;
      });
    }
    // one that died when nothing was to be done has reached nothing, and a loss that somebody else recovered from comes again
    while (next() === point && loss !== undefined) {
      for (const slot of world.slots) if (slot.child === undefined) arm(slot, point);
      await pause(50);
    }
    // that a worker died of its last step is heard a moment after that the epoch was raised
    for (const over = Date.now() + TOLD_MS; next() === point && Date.now() < over; ) await pause(50);
  }
  await endAll();
  for (const slot of world.slots) slot.start();
  await loss;
}
