// A worker's death at each failpoint.
import { setTimeout as pause } from 'node:timers/promises';
import { LOSS, reachRecovery } from './all-recoveries.ts';
import type { Arena } from './arena.ts';
import { endNow } from './calm.ts';
import { FAULTS, freeLocks, loseCredentials, removeJobs, slowStore } from './nemesis.ts';
import { plantOldRun } from './old-run.ts';
import type { Slot } from './workers.ts';
import type { Workload } from './workload.ts';

/** Milliseconds between two things that the tenants are led to do, so that a failpoint that was not reached is. */
const LEAD_MS = 1_500;
/** Milliseconds for which S3 is slow in a run of all failpoints. */
const SLOW_MS = 5_000;

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
/** The points that are reached after a loss of Redis alone, which comes last: nobody may be left who could recover from it. */
const isOfRecovery = (point: string) => point.startsWith('recovery.');

/** A worker dies at each failpoint once, while another one goes on. */
export async function reachAll(deps: {
  arena: Arena;
  workload: Workload;
  points: readonly string[];
  reached: ReadonlySet<string>;
  say: (line: string) => void;
  /** Milliseconds. */
  most: number;
  /** Live runs above which the tenants are led to do no more. */
  mostLive: number;
}): Promise<readonly string[]> {
  const { arena, workload, reached, say, mostLive } = deps;
  const [recovery, points] = [deps.points.filter(isOfRecovery), deps.points.filter((point) => !isOfRecovery(point))];
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
  const old: (() => Promise<void>)[] = [];
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
      if (some('retire.')) old.push(await plantOldRun(world));
      if (rotating) await loseCredentials(arena);
      if (some('archive.', 'sweep.', 'ledger.')) await freeLocks(arena);
      if (arena.live() < mostLive) for (const shape of new Set(left().flatMap((point) => LEADS[point] ?? []))) await workload.want(shape);
    }
    if (Date.now() - told > 20_000) {
      told = Date.now();
      say(`not reached yet: ${left().join(' ')}`);
    }
    await pause(100);
  }
  await Promise.all([news, slow]);
  world.platform.favourUnknown(false);
  for (const remove of old) await remove();
  await reachRecovery({ arena, workload, points: recovery, reached, end });
  say(`${reached.size} of ${deps.points.length} failpoints killed a worker`);
  return [...deps.points.map((point) => `F2 ${point}`), LOSS, 'F11', 'F13'];
}

/** Half of the points, of every part of the way one. */
const everyOther = (points: readonly string[]) => (points.length < 4 ? points : points.filter((_, n) => n % 2 === 0));

const pointsOf = (slot: Slot): readonly string[] => slot.failpoint.split(',').flatMap((one) => one.split(':')[0] || []);
