// The grammar of ids. A run id carries the shard that its Redis keys live on, and a task id carries the run id,
// so an output or a webhook finds its record without a look-up. Both are safe in S3 keys, Redis keys, shell
// comments and URLs as they are.

/** Shards are numbered from 0; five digits are more than Redis Cluster has slots (16,384). */
const RUN = /^r(0|[1-9]\d{0,4})-[0-9a-z]{20}$/;
/** Three digits each: a workflow has at most 100 steps and 200 tasks. Both are counted from 0. */
const TASK = /^(r(?:0|[1-9]\d{0,4})-[0-9a-z]{20})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

export interface RunIdParts {
  readonly runId: string;
  readonly shard: number;
}

export interface TaskIdParts {
  readonly runId: string;
  readonly shard: number;
  /** Position in `run`, from 0. */
  readonly step: number;
  /** Position in the step's group, from 0. */
  readonly index: number;
}

/**
 * Reads a run id, `r<shard>-<20 characters of 0-9a-z>`; undefined when the text is anything else.
 */
export function parseRunId(text: string): RunIdParts | undefined {
  const shard = RUN.exec(text)?.[1];
  return shard === undefined ? undefined : { runId: text, shard: Number(shard) };
}

/**
 * Reads a task id, `<run id>.<step>.<index>`; undefined when the text is anything else.
 */
export function parseTaskId(text: string): TaskIdParts | undefined {
  const [, runId, step, index] = TASK.exec(text) ?? [];
  const shard = runId === undefined ? undefined : parseRunId(runId)?.shard;
  if (runId === undefined || shard === undefined) return undefined;
  return { runId, shard, step: Number(step), index: Number(index) };
}

/**
 * The id of a task: `step` and `index` count from 0. It is the id of the BullMQ job, too.
 */
export function taskId(runId: string, step: number, index: number): string {
  return `${runId}.${step}.${index}`;
}

/**
 * One text per object version, different for different ones, to be hashed into the run id. A JSON array and not a
 * joined text: keys may hold any character, separators, NUL and lone surrogates included, and JSON escapes them all.
 * Without a version id (a bucket that is not versioned) the identity is that of the empty one.
 */
export function eventIdentity(event: { readonly bucket: string; readonly key: string; readonly versionId?: string | undefined }): string {
  return JSON.stringify([event.bucket, event.key, event.versionId ?? '']);
}
