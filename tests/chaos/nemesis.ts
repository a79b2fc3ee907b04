// What goes wrong: each fault is done, noted with how much live work it met, and undone.
import { setTimeout as pause } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { resourceKey, SWEEPS_KEY, shardKeys } from '../../src/queues/keys.ts';
import { type Arena, kill, LOCK_MS, RECOVERY_MS, running } from './arena.ts';
import { badWays, spoilSomehow } from './bad-ways.ts';
import { USUAL_NEWS } from './dyno-news.ts';
import { NO_PLATFORM_FAULTS, type PlatformFaults } from './dyno-platform.ts';
import { type Fault, REDIS_FAULTS } from './redis-faults.ts';
import { STORE_FAULTS } from './store-faults.ts';
import { NO_STORE_FAULTS } from './store-tap.ts';
import type { Slot, StartOptions } from './workers.ts';

/** Ways to start a worker badly, and their share in hundredths; what is left starts well. */
const STARTS: Readonly<Record<string, readonly [number, (arena: Arena, points: readonly string[]) => StartOptions]>> = {
  F2: [60, ({ dice }, points) => ({ failpoint: [1, 2, 3].map(() => `${dice.pick(points)}:${dice.between(1, 4)}`).join(',') })],
  F3: [
    10,
    ({ dice }) => ({
      failpoint: `${dice.pick(['task.intent', 'task.posted', 'plan.checked', 'events.read', 'task.parking', 'finish.entered'])}:1:SIGSTOP`,
    }),
  ],
  'F14 wrong': [6, ({ dice }) => ({ skewMs: dice.pick([-300_000, 300_000, -30_000, 30_000]) })],
  'F14 jump': [3, ({ dice }) => ({ jumpMs: dice.pick([-300_000, 300_000, -5_000, 5_000]) })],
  'F14 drift': [3, ({ dice }) => ({ driftMs: dice.pick([-200, 200]) })],
  'F15 memory': [4, () => ({ node: ['--max-old-space-size=96'] })],
  'F15 files': [2, () => ({ files: FEW_FILES })],
};

/** Files and connections of a worker that may have few of them: an idle one has forty, a busy one sixty. */
const FEW_FILES = 48;

/** The bad starts that are noted when they are made. */
export const START_FAULTS = Object.keys(STARTS).filter((name) => /^F1[45]/.test(name));

/** How a worker is started again: mostly with a bomb in it. `owed`: bad starts that are to come first. */
export function rearm(arena: Arena, slot: Slot, owed: string[]): { readonly fault: string | undefined; readonly how: StartOptions } {
  let roll = arena.dice.roll() * 100;
  const drawn = Object.keys(STARTS).find((name) => {
    roll -= STARTS[name]?.[0] ?? 0;
    return roll < 0;
  });
  const fault = (arena.live() > 0 ? owed.pop() : undefined) ?? drawn;
  return { fault, how: (fault === undefined ? undefined : STARTS[fault]?.[1](arena, arena.points(slot))) ?? {} };
}

/** Milliseconds that a dyno must live to be found: lists of one app are two seconds apart. */
const ADOPTABLE_MS = 5_000;

/** The faults, and how often each is drawn. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  /** SIGKILL of a worker. */
  F1: [12, async (arena) => kill(arena, 'F1')],
  /** SIGSTOP for half to twice the lock, then SIGCONT: a zombie. */
  F3: [
    2,
    async (arena) => {
      const slot = running(arena);
      if (slot === undefined) return;
      const from = Date.now();
      slot.signal('SIGSTOP');
      await pause(arena.dice.between(LOCK_MS / 2, LOCK_MS * 2));
      slot.signal('SIGCONT');
      arena.note('F3', `froze ${slot.name}`, from, Date.now() + RECOVERY_MS);
    },
  ],
  /** SIGTERM: a deploy. */
  F4: [
    1,
    async (arena) => {
      const slot = running(arena);
      if (slot === undefined) return;
      const from = Date.now();
      const bomb = slot.failpoint !== '';
      arena.stopping.add(slot.name);
      slot.signal('SIGTERM');
      const how = await slot.gone();
      arena.stopping.delete(slot.name);
      arena.note('F4', `SIGTERM: ended with ${how}${bomb ? ' (armed)' : ''} in ${Date.now() - from} ms`, from, Date.now() + 1_000);
    },
  ],
  ...REDIS_FAULTS,
  /** The way between one worker and Redis is bad. */
  ...badWays('F8', ({ redis }) => redis, 'redis'),
  ...STORE_FAULTS,
  /** The way to the dyno platform is bad; that its answers get lost by themselves is always so. */
  ...badWays('F12', ({ heroku }) => heroku, 'the platform'),
  /** The platform takes no token for a while. */
  'F12 unauthorized': [1, async (arena) => misbehave(arena, 'F12 unauthorized', { unauthorized: 0.5 })],
  /** More launches than not are of unknown fate. */
  'F12 unknown': [
    1,
    async ({ world, dice, note }) => {
      const from = Date.now();
      world.platform.favourUnknown(true, ADOPTABLE_MS);
      await pause(dice.between(3_000, 6_000));
      world.platform.favourUnknown(false);
      note('F12 unknown', 'launches were not answered', from, Date.now() + RECOVERY_MS);
    },
  ],
  /** The platform answers half of its calls with an error page. */
  'F12 unavailable': [1, async (arena) => misbehave(arena, 'F12 unavailable', { unavailable: 0.5 })],
  /** What Heroku tells of dynos comes late, twice, in disorder, not at all or from a forger; whom it tells dies, or cannot be reached. */
  F13: [
    2,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      world.platform.setNews({ late: 0.4, twice: 0.4, lost: 0.2, forged: 0.4 });
      const way = dice.pick(['news', 'kill', 'front', 'redis']);
      if (way === 'kill' && world.web.ready) await kill(arena, 'F1', world.web);
      else if (way === 'front') await spoilSomehow(arena, 'F8 web', world.front, 'from outside to the web process');
      else if (way === 'redis') await spoilSomehow(arena, 'F8 web', world.web.redis, 'the web process to redis');
      await pause(dice.between(1_500, 4_000));
      world.platform.setNews(USUAL_NEWS);
      arena.note('F13', `events of dynos: ${way}`, from, Date.now() + RECOVERY_MS);
    },
  ],
  /** Credentials are gone and config vars changed by somebody: the next worker to start rotates. */
  F16: [
    1,
    async (arena) => {
      const { world } = arena;
      const from = Date.now();
      await loseCredentials(arena);
      await kill(arena, 'F1');
      world.tap.set({ ...NO_STORE_FAULTS, stall: 0.1 });
      await pause(800);
      world.tap.set(NO_STORE_FAULTS);
      arena.note('F16', 'credentials spoiled', from, Date.now() + 1_000);
    },
  ],
  /** The same while STS refuses, and config vars are not set, or are and nobody hears of it. */
  'F16 refused': [
    1,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      world.tap.set({ ...NO_STORE_FAULTS, sts: 0.7 });
      world.platform.setFaults({ ...NO_PLATFORM_FAULTS, config: 0.7 });
      await loseCredentials(arena);
      await kill(arena, 'F1');
      await pause(dice.between(2_000, 5_000));
      world.tap.set(NO_STORE_FAULTS);
      world.platform.setFaults(NO_PLATFORM_FAULTS);
      arena.note('F16 refused', 'credentials and config vars were refused', from, Date.now() + 1_000);
    },
  ],
  /** Somebody removes jobs in bull-board. */
  F18: [
    1,
    async (arena) => {
      const from = Date.now();
      const removed = await removeJobs(arena);
      if (removed > 0) arena.note('F18', `${removed} jobs removed by hand`, from, Date.now() + RECOVERY_MS);
    },
  ],
};

async function misbehave(arena: Arena, fault: string, faults: Partial<PlatformFaults>): Promise<void> {
  const from = Date.now();
  arena.world.platform.setFaults({ ...NO_PLATFORM_FAULTS, ...faults });
  await pause(arena.dice.between(800, 3_000));
  arena.world.platform.setFaults(NO_PLATFORM_FAULTS);
  arena.note(fault, 'the platform refused calls', from, Date.now() + RECOVERY_MS);
}

/** S3 refuses one read of three for so many milliseconds. */
export async function slowStore({ world, note }: Arena, ms: number): Promise<void> {
  const from = Date.now();
  world.tap.set({ ...NO_STORE_FAULTS, slowDown: 0.3 });
  await pause(ms);
  world.tap.set(NO_STORE_FAULTS);
  note('F11', 'store: slow', from, Date.now() + RECOVERY_MS);
}

/** Takes the credentials of all resources away, and whoever rotates off its post. */
export async function loseCredentials({ world }: Arena): Promise<void> {
  for (const { id, app } of world.tenants) {
    world.platform.spoil(app);
    await world.redis.hdel(resourceKey(id), 's:credentials');
  }
  await world.redis.del('af:lock:resources:');
}

/** Lets the locks and claims of workers that died run out at once: the archive's takes half a minute, and nothing else waits for it. */
export async function freeLocks({ world }: Arena): Promise<void> {
  for (const what of ['archive', 'export', 'sweep']) await world.redis.del(shardKeys(0).lock(what));
  for (const id of await world.redis.zrange(SWEEPS_KEY, '0', '-1')) await world.redis.zadd(SWEEPS_KEY, 'XX', 0, id);
}

/** Removes some parked or waiting jobs of tasks, as somebody with bull-board may; answers how many. */
export async function removeJobs({ world, dice }: Arena): Promise<number> {
  const queue = new Queue('task', { connection: world.redis, prefix: '{af0}' });
  try {
    const jobs = await queue.getJobs(['delayed', 'prioritized', 'wait'], 0, 20);
    let removed = 0;
    for (const job of jobs) {
      if (job === undefined || !dice.chance(0.3)) continue;
      // one that has children, or is being worked on, cannot be removed
      removed += await job.remove({ removeChildren: false }).then(
        () => 1,
        () => 0,
      );
    }
    return removed;
  } finally {
    await queue.close();
  }
}
