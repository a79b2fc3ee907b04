// What goes wrong: each fault is done, noted with how much live work it met, and undone.
import { setTimeout as pause } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { resourceKey, STORE_KEY, SWEEPS_KEY, shardKeys } from '../../src/queues/keys.ts';
import type { Dice } from './dice.ts';
import { USUAL_NEWS } from './dyno-news.ts';
import type { ProxyMode } from './fault-proxy.ts';
import { NO_STORE_FAULTS } from './store-tap.ts';
import type { Slot, StartOptions } from './workers.ts';
import type { World } from './world.ts';

/** Milliseconds after a kill in which a stalled job may still wait for its recovery. */
export const RECOVERY_MS = 6_000;
/** Milliseconds of the job lock in these runs. */
const LOCK_MS = 3_000;

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

/** How a worker is started again: mostly with a bomb in it, sometimes with a wrong clock or little memory. */
export function rearm(arena: Arena, slot: Slot): StartOptions {
  const { dice } = arena;
  const roll = dice.roll();
  const points = arena.points(slot);
  if (roll < 0.6) return { failpoint: [1, 2, 3].map(() => `${dice.pick(points)}:${dice.between(1, 4)}`).join(',') };
  if (roll < 0.7)
    return {
      failpoint: `${dice.pick(['task.intent', 'task.posted', 'plan.checked', 'events.read', 'task.parking', 'finish.entered'])}:1:SIGSTOP`,
    };
  if (roll < 0.82) return { skewMs: dice.pick([-300_000, 300_000, -30_000, 30_000]) };
  if (roll < 0.88) return { node: ['--max-old-space-size=96'] };
  return {};
}

/** The faults, and how often each is drawn. */
export const FAULTS: Readonly<Record<string, readonly [number, (arena: Arena) => Promise<void>]>> = {
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
  /** Redis dies and comes back, or throws its clients out, or does not answer for a while. */
  F5: [
    4,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      const way = dice.pick(['kill', 'kill', 'kill', 'kill', 'clients', 'pause']);
      if (way === 'kill') {
        await world.redisServer.crash();
        await pause(dice.chance(0.02) ? 12_000 : dice.between(20, 1_000));
        await world.redisServer.restart();
      } else if (way === 'clients') await world.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      else {
        await world.redis.call('CLIENT', 'PAUSE', String(dice.between(500, 2_500)), 'ALL');
        await world.redis.ping();
      }
      arena.note('F5', `redis: ${way}`, from, Date.now() + RECOVERY_MS, way === 'kill' ? 1 : 0);
    },
  ],
  /**
   * Redis comes back as it was a while ago. One worker sees what is lost and lives: what nobody saw nobody can miss
   * (docs/guarantees.md, "Not promised").
   */
  F6: [
    1,
    async (arena) => {
      const witness = running(arena);
      if (witness === undefined) return;
      arena.spared.add(witness.name);
      try {
        await rollBackBefore(arena, witness);
      } finally {
        arena.spared.delete(witness.name);
      }
    },
  ],
  /** A failover: Redis takes no writes and then does again. */
  F7: [
    1,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      await world.redis.call('REPLICAOF', '127.0.0.1', '1');
      await pause(dice.between(300, 2_000));
      await world.redis.call('REPLICAOF', 'NO', 'ONE');
      arena.note('F7', 'redis was read-only', from, Date.now() + RECOVERY_MS);
    },
  ],
  /** The way between one worker and Redis is bad. */
  F8: [
    4,
    async (arena) => {
      const slot = running(arena);
      if (slot === undefined) return;
      await bad(arena, 'F8', slot.redis, `${slot.name} to redis`);
    },
  ],
  /** Redis is full. */
  F9: [
    1,
    async (arena) => {
      const from = Date.now();
      const { redis } = arena.world;
      await redis.config('SET', 'maxmemory', '1mb');
      await pause(arena.dice.between(300, 1_500));
      await redis.config('SET', 'maxmemory', '0');
      arena.note('F9', 'redis was full', from, Date.now() + RECOVERY_MS);
    },
  ],
  /** Events come twice, late and in disorder; receives and deletes are done and not answered. */
  F10: [
    2,
    async (arena) => {
      const from = Date.now();
      await arena.world.setEvents({ duplicate: 0.4, reorder: 0.5, delay_ms: [0, 1_500] });
      arena.world.tap.set({ ...NO_STORE_FAULTS, lostAnswer: 0.1, partialDelete: 0.2 });
      await pause(arena.dice.between(1_500, 4_000));
      arena.world.tap.set(NO_STORE_FAULTS);
      await arena.world.setEvents({ duplicate: 0.1 });
      // what was received and not answered is hidden for half a minute
      arena.note('F10', 'events twice, late, in disorder; answers lost', from, Date.now() + 2_000);
    },
  ],
  /** S3 slows down, stalls, is away, or its process dies. */
  F11: [
    2,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      const way = dice.pick(['slow', 'down', 'kill']);
      if (way === 'kill') {
        await world.tap.hold();
        await world.killStore();
        await pause(dice.between(50, 1_500));
        await world.startStore();
        world.tap.release();
      } else {
        world.tap.set({ ...NO_STORE_FAULTS, ...(way === 'slow' ? { slowDown: 0.3, stall: 0.05 } : { down: true }) });
        await pause(dice.between(800, 3_000));
        world.tap.set(NO_STORE_FAULTS);
      }
      arena.note('F11', `store: ${way}`, from, Date.now() + RECOVERY_MS, way === 'kill' ? 1 : 0);
    },
  ],
  /** The way to the dyno platform is bad; that its answers get lost by themselves is always so. */
  F12: [
    2,
    async (arena) => {
      const slot = running(arena);
      if (slot === undefined) return;
      await bad(arena, 'F12', slot.heroku, `${slot.name} to the platform`);
    },
  ],
  /** What Heroku tells of dynos comes late, twice, in disorder, not at all or from a forger; whom it tells dies, or cannot be reached. */
  F13: [
    2,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      world.platform.setNews({ late: 0.4, twice: 0.4, lost: 0.2, forged: 0.4 });
      const way = dice.pick(['news', 'kill', 'front', 'redis']);
      if (way === 'kill' && world.web.ready) await kill(arena, 'F1', world.web);
      else if (way === 'front') await bad(arena, 'F8', world.front, 'from outside to the web process');
      else if (way === 'redis') await bad(arena, 'F8', world.web.redis, 'the web process to redis');
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

/** A worker that runs, chosen by the dice. */
function running(arena: Arena): Slot | undefined {
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

/** Milliseconds that whoever is to see a loss may take to start, and to notice it. */
const WITNESS_MS = 60_000;

/** Takes Redis back to before what the witness sees. */
async function rollBackBefore(arena: Arena, witness: Slot): Promise<void> {
  const { world, dice } = arena;
  if (witness.failpoint !== '') {
    await kill(arena, 'F1', witness);
    witness.start();
  }
  const stands = async () => {
    const [beat, epoch] = await world.redis.hmget(STORE_KEY, 'beat', 'epoch');
    return { beat: Number(beat), epoch: Number(epoch) };
  };
  const reached = async (what: () => Promise<boolean>) => {
    for (const end = Date.now() + WITNESS_MS; Date.now() < end; await pause(100))
      if (witness.child !== undefined && (await what())) return true;
    return false;
  };
  /** After a start of Redis nobody counts on for a while, and nobody launches. */
  const countedOn = async () => {
    const { beat } = await stands();
    return await reached(async () => witness.ready && (await stands()).beat > beat + world.slots.length);
  };
  if (!(await countedOn())) return;
  // half a rewritten file is no older Redis but none
  await world.redis.config('SET', 'auto-aof-rewrite-percentage', '0');
  const rewritten = () => world.redis.info('persistence').then((info) => /aof_rewrite_in_progress:0/.test(info));
  if (!(await reached(rewritten))) return;
  const from = Date.now();
  const { epoch } = await stands();
  const rollBack = await world.redisServer.remember();
  await pause(dice.between(800, 3_000));
  const seen = await countedOn();
  await rollBack();
  const until = Date.now();
  const noticed = await reached(async () => (await stands()).epoch > epoch);
  world.ledger.note({ kind: 'loss', t: from, until, seen: seen && witness.child !== undefined, noticed });
  arena.note('F6', 'redis was rolled back', from, until + RECOVERY_MS, 1);
}

async function bad(arena: Arena, fault: string, proxy: Slot['redis'], what: string): Promise<void> {
  const { dice } = arena;
  const from = Date.now();
  const mode: ProxyMode | 'cut' = dice.pick<ProxyMode | 'cut'>(['cut', 'refuse', 'deaf', 'lossy', { delayMs: dice.between(50, 400) }]);
  if (mode === 'cut') proxy.cut();
  else {
    proxy.set(mode);
    await pause(dice.between(300, 3_000));
    proxy.set('pass');
  }
  arena.note(fault, `${what}: ${typeof mode === 'object' ? `${mode.delayMs} ms late` : mode}`, from, Date.now() + RECOVERY_MS);
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
  for (const what of ['archive', 'sweep']) await world.redis.del(shardKeys(0).lock(what));
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
