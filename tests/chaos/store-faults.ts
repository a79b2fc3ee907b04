// What goes wrong with S3 and SQS.
import { setTimeout as pause } from 'node:timers/promises';
import { type Arena, RECOVERY_MS } from './arena.ts';
import type { Fault } from './redis-faults.ts';
import { NO_STORE_FAULTS, type StoreFaults } from './store-tap.ts';

/** The faults of S3 and SQS. */
export const STORE_FAULTS: Readonly<Record<string, Fault>> = {
  /** Events come twice, late and in disorder; receives and deletes are done and not answered. */
  'F10 disorder': [
    2,
    async (arena) => {
      const from = Date.now();
      await arena.world.setEvents({ duplicate: 0.4, reorder: 0.5, delay_ms: [0, 1_500] });
      arena.world.tap.set({ ...NO_STORE_FAULTS, lostAnswer: 0.1, partialDelete: 0.2 });
      await pause(arena.dice.between(1_500, 4_000));
      arena.world.tap.set(NO_STORE_FAULTS);
      await arena.world.setEvents({ duplicate: 0.1 });
      // what was received and not answered is hidden for half a minute
      arena.note('F10 disorder', 'events twice, late, in disorder; answers lost', from, Date.now() + 2_000);
    },
  ],
  /** Receipts have expired when what they stand for is to be deleted: it comes again. */
  'F10 receipts': [1, async (arena) => spoilt(arena, 'F10 receipts', { expired: 0.6 }, 2_000)],
  /** S3 slows down, and stalls. */
  'F11 slow': [1, async (arena) => spoilt(arena, 'F11 slow', { slowDown: 0.3, stall: 0.05 })],
  /** S3, SQS and STS refuse everything. */
  'F11 down': [1, async (arena) => spoilt(arena, 'F11 down', { down: true })],
  /** S3 lets nobody read: a policy is being changed. */
  'F11 forbidden': [1, async (arena) => spoilt(arena, 'F11 forbidden', { forbidden: 0.5 })],
  /** What S3 answers breaks off in the middle. */
  'F11 torn': [1, async (arena) => spoilt(arena, 'F11 torn', { torn: 0.6 })],
  /** Events come long after what they tell of: the dyno has ended, and was looked after, by then. */
  'F11 late': [
    1,
    async (arena) => {
      const from = Date.now();
      await arena.world.setEvents({ delay_ms: [2_000, 6_000] });
      await pause(arena.dice.between(1_500, 4_000));
      await arena.world.setEvents({ duplicate: 0.1 });
      arena.note('F11 late', 'events seconds late', from, Date.now() + RECOVERY_MS);
    },
  ],
  /** The process of the store dies. */
  'F11 kill': [
    1,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      await world.tap.hold();
      await world.killStore();
      await pause(dice.between(50, 1_500));
      await world.startStore();
      world.tap.release();
      arena.note('F11 kill', 'the store was killed', from, Date.now() + RECOVERY_MS, 1);
    },
  ],
};

async function spoilt(arena: Arena, fault: string, faults: Partial<StoreFaults>, after = RECOVERY_MS): Promise<void> {
  const from = Date.now();
  arena.world.tap.set({ ...NO_STORE_FAULTS, ...faults });
  await pause(arena.dice.between(800, 3_000));
  arena.world.tap.set(NO_STORE_FAULTS);
  arena.note(fault, `store: ${Object.keys(faults).join(' ')}`, from, Date.now() + after);
}
