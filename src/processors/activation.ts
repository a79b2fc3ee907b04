// What a task's activation works with, and what it knows while it lasts.
import type { Job } from 'bullmq';
import type { DynoPlatform } from '../clients/ports.ts';
import type { Budget } from '../queues/budget.ts';
import type { Transition } from '../queues/channel.ts';
import type { Parking } from '../queues/parking.ts';
import type { Resources } from '../queues/resources.ts';
import type { TaskRef } from '../queues/run-record.ts';
import type { Runs } from '../queues/runs.ts';
import type { EnterOptions } from '../queues/task-transitions.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import type { Log } from '../schema/log.ts';
import type { TaskPlan } from '../schema/workflow.ts';
import type { Allowances } from './allowance.ts';
import type { CommandCheck } from './allowed-command.ts';
import type { DynoLists } from './dyno-lists.ts';
import type { OverdueDeps } from './overdue.ts';
import type { Pauses } from './pauses.ts';

export interface TaskDeps extends OverdueDeps {
  readonly runs: Runs;
  readonly resources: Resources;
  readonly platform: DynoPlatform;
  readonly budget: Budget;
  readonly allowances: Allowances;
  readonly checkCommand: CommandCheck;
  /** Where dynos of launches of unknown fate are looked for. */
  readonly lists: DynoLists;
  /** Resources whose customers' own accounts have no calls left. */
  readonly ownLimits: Pauses;
  /** Wakes whoever hands out the launch budget. */
  readonly nudgeGrants: () => void;
  /** One per shard. */
  readonly parkings: readonly Parking[];
  /** Names the connection on which Redis was found whole (epoch.ts); undefined while it may have lost what was launched. */
  readonly whole: () => number | undefined;
  /** Tells of transitions; only ever a shortcut. */
  readonly listen: (onTransition: (transition: Transition) => void) => () => void;
  /** Milliseconds that pass after a POST could have been answered before a dyno that nothing shows counts as lost. */
  readonly adoptMarginMs: number;
  readonly graceMs: number;
  /** Wakes whoever stops dynos. */
  readonly nudge: () => void;
  /** A new token, unique per call. */
  readonly token: () => string;
  /** Milliseconds since 1970 by this machine's clock, which may be wrong and by which BullMQ promotes what was parked. */
  readonly now: () => number;
  /** Milliseconds of a clock that never jumps. */
  readonly monotonic: () => number;
  readonly random: () => number;
  readonly failpoint: Failpoint;
  readonly log: Log;
}

export interface Activation {
  readonly ref: TaskRef;
  readonly task: TaskPlan;
  readonly resource: string;
  readonly job: Job;
  readonly token: string;
  /** What the run's channel told since the last decision. */
  readonly heard: { cancel: boolean; output: boolean };
  /** The connection on which Redis was whole when the launch was prepared. */
  whole: number | undefined;
  /** Milliseconds that this machine's clock was ahead of Redis' at the last decision; what the answer took to come is in it. */
  ahead: number;
  /** What its resource's dynos are started with, read while the decision is made; `launch` uses it once. */
  launchable: ReturnType<Resources['launchable']> | undefined;
  /** What the launch budget said; `granted` until the grant was used or given back. */
  budget: EnterOptions['budget'];
  /** Which of the task's launches was granted (budget.ts). */
  slot: number;
}
