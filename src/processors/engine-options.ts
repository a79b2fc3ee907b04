// What an engine is started with, and what it is then.
import type { DynoPlatform, EventQueue, ObjectStore } from '../clients/ports.ts';
import type { RedisAddress } from '../queues/connection.ts';
import type { Layout } from '../queues/layout.ts';
import type { Sealer } from '../queues/secrets.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import type { Log } from '../schema/log.ts';
import type { Telemetry } from '../schema/telemetry.ts';

export interface EngineOptions {
  readonly redis: RedisAddress;
  /** Shards that it serves: all that ever held runs. */
  readonly shards: number;
  /** Which run an object version causes; by default one of these shards, as if their number had never been another. */
  readonly layout?: Layout;
  readonly sealer: Sealer;
  readonly store: ObjectStore;
  readonly queue: EventQueue;
  readonly queueUrl: string;
  readonly platform: DynoPlatform;
  readonly consumers: number;
  readonly taskConcurrency: number;
  /** Milliseconds without a sign of life after which a job's worker counts as dead. */
  readonly lockMs: number;
  readonly pollMs: number;
  readonly hookedMs: number;
  readonly sweepMs: number;
  readonly graceMs: number;
  readonly adoptMarginMs: number;
  /** Whether a grace also lasts until the queue is drained (see OverdueDeps.drained). */
  readonly graceUntilDrained: boolean;
  readonly runsPerMinute: number;
  /** Milliseconds of due work without progress after which this process counts as stalled. */
  readonly stallMs: number;
  /** Called once when it has stalled for twice as long: only a fresh process helps then. */
  readonly onDead: (what: readonly string[]) => void;
  /** Calls of the Platform API that an account may make in an hour. */
  readonly launchesPerHour: number;
  /** Tells how many calls the platform still allows, whenever an answer says so. */
  readonly onRateLimit?: (listener: (remaining: number) => void) => void;
  /** The engine-only bucket of ended runs; undefined: nothing is archived. */
  readonly archiveBucket?: string | undefined;
  /** Milliseconds that the records of a plan's ended runs are kept; by default what the plan says. */
  readonly retention?: (plan: string) => number;
  /** Milliseconds between two looks for records whose retention has passed (an hour). */
  readonly retentionMs?: number;
  /** Milliseconds between two sweeps of a bucket (60,000), and until a version without a decision counts as late (30,000). */
  readonly ledgerMs?: number;
  readonly lateMs?: number;
  readonly now: () => number;
  readonly monotonic: () => number;
  readonly random: () => number;
  readonly id: () => string;
  readonly failpoint: Failpoint;
  readonly telemetry: Telemetry;
  readonly log: Log;
}

export interface Engine {
  /**
   * Quiet (no new messages, no new activations), then drained within `deadline` ms, then closed in reverse order. `others`: resolves when whatever else
   * asks for `whole` has ended; it is waited for like what is drained.
   */
  stop(deadline: number, others?: Promise<unknown>): Promise<void>;
  /** Kinds of work (`<queue> <shard>`, `events`) that are due and of which this process serves nothing. */
  stalled(): readonly string[];
  /** The epoch, when Redis is found whole now, or made whole; 0 where nothing is archived, and so nothing can tell. Throws Failure redis_unavailable. */
  whole(): Promise<number>;
}
