// What stands in a run's record, and where: shared by the transitions, the views and everybody who names a task.
import { createHash } from 'node:crypto';
import { Failure } from '../schema/failures.ts';
import { parseRunId, parseTaskId } from '../schema/ids.ts';
import { type ShardKeys, shardKeys } from './keys.ts';

export interface Trigger {
  readonly bucket: string;
  readonly key: string;
  readonly versionId: string;
  readonly etag: string;
  readonly size: number;
  /** Milliseconds since 1970, as the event tells. */
  readonly uploadedAt?: number | undefined;
}

export interface OutputRef {
  readonly key: string;
  readonly version_id: string;
  readonly etag: string;
  readonly size: number;
  readonly state?: string;
}

export interface RunFacts {
  readonly title: string;
  readonly trigger: Trigger;
  /** Outputs of the step before, by the index of their task. */
  readonly before: readonly { readonly index: number; readonly name: string; readonly output: OutputRef }[];
}

export interface TaskRef {
  readonly id: string;
  readonly runId: string;
  readonly step: number;
  readonly index: number;
}

/** The keys of a run's shard, which its id names. Throws `internal` for what is no run id. */
export function keysOfRun(runId: string): ShardKeys {
  const parts = parseRunId(runId);
  if (parts === undefined) throw new Failure('internal', `${JSON.stringify(runId)} is no run id.`);
  return shardKeys(parts.shard);
}

/** The parts of a task id; undefined when it is none. */
export function refOf(taskId: string): TaskRef | undefined {
  const parts = parseTaskId(taskId);
  return parts === undefined ? undefined : { id: taskId, runId: parts.runId, step: parts.step, index: parts.index };
}

/** Names a file in keys of Redis: an S3 key may have 1,024 bytes of anything. */
export function fileDigest(key: string): string {
  return createHash('sha256').update(key).digest('base64url').slice(0, 22);
}

/** Reads an output field `ms|json`; undefined where a task without output was merely seen up. */
export function readOutput(field: string): { at: number; ref: OutputRef } | undefined {
  const bar = field.indexOf('|');
  const json = field.slice(bar + 1);
  if (json === '') return undefined;
  // written by deliver() alone
  return { at: Number(field.slice(0, bar)), ref: JSON.parse(json) as OutputRef };
}
