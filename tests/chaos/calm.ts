// The end of a chaos run: everything works again, and nothing is left to do.
import { setTimeout as pause } from 'node:timers/promises';
import { readLedger } from '../../src/queues/ledger.ts';
import type { Arena } from './arena.ts';
import type { Evidence } from './checker/evidence.ts';
import { leftoversOf } from './collect.ts';
import { NO_STORE_FAULTS } from './store-tap.ts';
import type { Slot } from './workers.ts';
import type { World } from './world.ts';

/** Everything works again: fresh workers and nothing in their way; of an earlier version alone where there is one: it was rolled back. */
export async function calmDown(arena: Arena): Promise<void> {
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
export async function endNow({ killing }: Arena, slot: Slot): Promise<void> {
  if (slot.child === undefined) return;
  killing.add(slot.name);
  slot.signal('SIGKILL');
  await slot.gone();
}

/** Waits until nothing is left to do; answers whether the queue was empty then, and what had no decision. */
export async function quiet(world: World, say: (line: string) => void, most: number): Promise<Pick<Evidence, 'drained' | 'unaccounted'>> {
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
