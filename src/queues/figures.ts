// What Redis knows of the whole, in numbers for metrics. Read when somebody asks; nothing here is kept up to date.
import type { Redis } from 'ioredis';
import { type QueueDepth, readDepths, redisTime } from './due.ts';
import { ledgerKey, QUEUES, type QueueName, RESOURCES_KEY, shardKeys } from './keys.ts';

export interface Figures {
  /** Over all shards. */
  readonly queues: Readonly<Record<QueueName, QueueDepth>>;
  /** Runs that have not ended. */
  readonly live: number;
  /** Over all resources, as the last sweeps found them; the age in seconds, 0 when nothing is unaccounted for. */
  readonly ledger: {
    readonly inScope: number;
    readonly accountedFor: number;
    /** Saved so shortly before their sweep that nobody misses their events yet: in a bucket that is in use there is always one. */
    readonly inFlight: number;
    readonly unaccounted: number;
    readonly oldestSeconds: number;
  };
}

const NOTHING: QueueDepth = { waiting: 0, overdue: 0, parked: 0, active: 0, paused: false };

/** Throws what Redis answered. */
export async function readFigures(redis: Redis, shards: readonly number[]): Promise<Figures> {
  const now = await redisTime(redis);
  const [depths, lives, ledger] = await Promise.all([
    Promise.all(shards.map((shard) => readDepths(redis, shard, now))),
    Promise.all(shards.map((shard) => redis.zcard(shardKeys(shard).live))),
    readLedgers(redis, now),
  ]);
  const sum = (name: QueueName) => depths.map((depth) => depth[name]).reduce(add, NOTHING);
  return {
    queues: { plan: sum(QUEUES.plan), task: sum(QUEUES.task), finish: sum(QUEUES.finish) },
    live: lives.reduce((a, b) => a + b, 0),
    ledger,
  };
}

function add(a: QueueDepth, b: QueueDepth): QueueDepth {
  return {
    waiting: a.waiting + b.waiting,
    overdue: a.overdue + b.overdue,
    parked: a.parked + b.parked,
    active: a.active + b.active,
    paused: a.paused || b.paused,
  };
}

async function readLedgers(redis: Redis, now: number): Promise<Figures['ledger']> {
  const resources = await redis.smembers(RESOURCES_KEY);
  const fields = ['in_scope', 'accounted_for', 'unaccounted', 'oldest'];
  const rows = await Promise.all(resources.map((id) => redis.hmget(ledgerKey(id), ...fields)));
  const total = { inScope: 0, accountedFor: 0, inFlight: 0, unaccounted: 0, oldestSeconds: 0 };
  for (const [inScope, accountedFor, unaccounted, oldest] of rows) {
    total.inScope += Number(inScope ?? 0);
    total.accountedFor += Number(accountedFor ?? 0);
    total.inFlight += Number(inScope ?? 0) - Number(accountedFor ?? 0) - Number(unaccounted ?? 0);
    total.unaccounted += Number(unaccounted ?? 0);
    // written by writeLedger alone
    const saved = oldest ? Date.parse((JSON.parse(oldest) as { saved_at: string }).saved_at) : now;
    total.oldestSeconds = Math.max(total.oldestSeconds, (now - saved) / 1000);
  }
  return total;
}
