// What goes wrong with Redis: it dies, stands still, is full, forgets, or is another server.
import { setTimeout as pause } from 'node:timers/promises';
import { STORE_KEY } from '../../src/queues/keys.ts';
import { type Arena, kill, RECOVERY_MS, running } from './arena.ts';
import type { Slot } from './workers.ts';
import type { World } from './world.ts';

/** What a fault does, and how often it is drawn. */
export type Fault = readonly [share: number, inflict: (arena: Arena) => Promise<void>];

/** The faults of Redis. */
export const REDIS_FAULTS: Readonly<Record<string, Fault>> = {
  /** Redis is killed and comes back. */
  'F5 kill': [
    3,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      await world.redisServer.crash();
      await pause(dice.chance(0.02) ? 12_000 : dice.between(20, 1_000));
      await world.redisServer.restart();
      arena.note('F5 kill', 'redis was killed', from, Date.now() + RECOVERY_MS, 1);
    },
  ],
  /** Redis is told to end and to save nothing; its append-only file has all the same what it answered. */
  'F5 shutdown': [
    1,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      await world.redisServer.shutdown();
      await pause(dice.between(20, 1_000));
      await world.redisServer.restart();
      arena.note('F5 shutdown', 'redis was shut down without saving', from, Date.now() + RECOVERY_MS, 1);
    },
  ],
  /** Redis throws its clients out. */
  'F5 clients': [
    1,
    async (arena) => {
      const from = Date.now();
      await arena.world.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      arena.note('F5 clients', 'redis threw its clients out', from, Date.now() + RECOVERY_MS);
    },
  ],
  /** Redis holds its clients' commands. */
  'F5 pause': [
    1,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      await world.redis.call('CLIENT', 'PAUSE', String(dice.between(500, 2_500)), 'ALL');
      await world.redis.ping();
      arena.note('F5 pause', 'redis held its clients', from, Date.now() + RECOVERY_MS);
    },
  ],
  /** Redis stands still, as with DEBUG SLEEP or a slow command: connections stay, nothing is answered, and then everything. */
  'F5 still': [
    1,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      const { pid } = world.redisServer;
      process.kill(pid, 'SIGSTOP');
      await pause(dice.between(500, 5_000));
      process.kill(pid, 'SIGCONT');
      arena.note('F5 still', 'redis stood still', from, Date.now() + RECOVERY_MS);
    },
  ],
  /** Redis comes back as it was a while ago. */
  'F6 rollback': [1, async (arena) => forget(arena, 'F6 rollback', ({ redisServer }) => redisServer.remember())],
  /** The same, and its file ends within a record. */
  'F6 torn': [
    1,
    async (arena) =>
      forget(arena, 'F6 torn', async ({ redisServer }) => {
        const rollBack = await redisServer.remember();
        return async () => rollBack(arena.dice.between(1, MOST_TORN));
      }),
  ],
  /** A failover: Redis takes no writes and then does again. */
  'F7 read-only': [
    1,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      await world.redis.call('REPLICAOF', '127.0.0.1', '1');
      await pause(dice.between(300, 2_000));
      await world.redis.call('REPLICAOF', 'NO', 'ONE');
      arena.note('F7 read-only', 'redis was read-only', from, Date.now() + RECOVERY_MS);
    },
  ],
  /** A failover to a replica that had not heard of the last seconds. */
  'F7 replica': [1, async (arena) => forget(arena, 'F7 replica', ({ redisServer }) => redisServer.replicate())],
  /** Redis is full. */
  'F9 full': [
    1,
    async (arena) => {
      const from = Date.now();
      const { redis } = arena.world;
      await redis.config('SET', 'maxmemory', '1mb');
      await pause(arena.dice.between(300, 1_500));
      await redis.config('SET', 'maxmemory', '0');
      arena.note('F9 full', 'redis was full', from, Date.now() + RECOVERY_MS);
    },
  ],
  /** Redis rewrites its file while it is used, and is killed at it. */
  'F9 rewrite': [
    1,
    async (arena) => {
      const { world, dice } = arena;
      const from = Date.now();
      // one that is under way already is as good
      await world.redis.call('BGREWRITEAOF').catch(() => {});
      await pause(dice.between(0, 60));
      await world.redisServer.crash();
      await world.redisServer.restart();
      arena.note('F9 rewrite', 'redis was killed while it rewrote its file', from, Date.now() + RECOVERY_MS, 1);
    },
  ],
};

/** Milliseconds that whoever is to see a loss may take to start, and to notice it. */
const WITNESS_MS = 60_000;

/** Bytes that a torn file lacks at most: less than the two last records have. */
const MOST_TORN = 60;

/**
 * Redis forgets. `remember` keeps what is to be left of it, and answers with the way there. One worker sees what is lost and lives: what nobody
 * saw nobody can miss (docs/guarantees.md, "Not promised").
 */
async function forget(arena: Arena, fault: string, remember: (world: World) => Promise<() => Promise<void>>): Promise<void> {
  const witness = running(arena);
  if (witness === undefined) return;
  arena.spared.add(witness.name);
  try {
    await rollBackBefore(arena, witness, fault, remember);
  } finally {
    arena.spared.delete(witness.name);
  }
}

/** Takes Redis back to before what the witness sees. */
async function rollBackBefore(
  arena: Arena,
  witness: Slot,
  fault: string,
  remember: (world: World) => Promise<() => Promise<void>>,
): Promise<void> {
  const { world, dice } = arena;
  // one that is to die of the recovery alone has told of the loss by then
  if (witness.failpoint.split(',').some((point) => point !== '' && !point.startsWith('recovery.'))) {
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
  const rollBack = await remember(world);
  await pause(dice.between(800, 3_000));
  const seen = await countedOn();
  await rollBack();
  const until = Date.now();
  const noticed = await reached(async () => (await stands()).epoch > epoch);
  // one that told of the loss may have died of the recovery since
  world.ledger.note({ kind: 'loss', t: from, until, seen: seen && (noticed || witness.child !== undefined), noticed });
  arena.note(fault, 'redis forgot', from, until + RECOVERY_MS, 1);
}
