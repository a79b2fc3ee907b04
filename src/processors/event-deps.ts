// What decides events works with.
import type { ObjectStore } from '../clients/ports.ts';
import type { Planner } from '../queues/planner.ts';
import type { Resources } from '../queues/resources.ts';
import type { Runs } from '../queues/runs.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import type { VersionRef } from '../schema/ledger-view.ts';
import type { Log } from '../schema/log.ts';
import type { Telemetry } from '../schema/telemetry.ts';
import type { PlanLimits } from './plan-limits.ts';
import type { Recall } from './recall.ts';

export interface EventDeps {
  readonly runs: Runs;
  readonly resources: Resources;
  readonly store: ObjectStore;
  /** One per shard. */
  readonly planners: readonly Planner[];
  /** Id of the run that a version causes (queues/layout.ts). `savedAt`: ms since 1970, as S3 tells. */
  readonly place: (version: VersionRef, savedAt: number | undefined) => string;
  /** Launches of a resource that wait or run, about, before `coming` more. */
  readonly outstanding: (resource: string, coming: number) => number;
  /** Runs that one resource may start in a minute: the last guard against a loop. undefined: any number, and these do not count among them. */
  readonly runsPerMinute: number | undefined;
  /** Whether somebody asks for the runs: a file that was set aside runs then, too, and is not listed so any more. */
  readonly asked?: boolean;
  /** What was lost with Redis and may be on its way back; undefined: nothing is archived. */
  readonly recall?: Recall | undefined;
  /** The epoch of the store, where it is known without `recall` that an earlier one may have had the run. */
  readonly redo?: number | undefined;
  /** What plans limit; undefined: nothing. */
  readonly limits?: PlanLimits | undefined;
  readonly now: () => number;
  readonly failpoint: Failpoint;
  readonly telemetry: Pick<Telemetry, 'eventDecided'>;
  readonly log: Log;
}
