// The run record: one hash per run that outlives the jobs, changed by the Lua transitions alone. Who calls one of these
// functions twice, late or out of order changes nothing that stands.
import type { Redis } from 'ioredis';
import { Failure } from '../schema/failures.ts';
import { parseRunId, parseTaskId } from '../schema/ids.ts';
import { parseWorkflow } from '../schema/parse-workflow.ts';
import type { TaskPlan, Workflow, WorkflowPlan } from '../schema/workflow.ts';
import { type ShardKeys, shardKeys } from './keys.ts';
import { defineScripts, run as runScript } from './scripts.ts';

/** Milliseconds: records of ended runs outlive everything that SQS may redeliver (14 days). */
const DEFAULT_RETENTION_MS = 30 * 86_400_000;

/** Activations in a row that may get nowhere before a task counts as poisoned (DESIGN §4). */
const MAX_BARREN_ACTIVATIONS = 5;

export interface Trigger {
  readonly bucket: string;
  readonly key: string;
  readonly versionId: string;
  readonly etag: string;
  readonly size: number;
}

export interface OutputRef {
  readonly key: string;
  readonly version_id: string;
  readonly etag: string;
  readonly size: number;
  readonly state?: string;
}

export interface Decision {
  readonly action: 'gone' | 'settled' | 'park' | 'retry' | 'check' | 'adopt' | 'launch' | 'failed';
  /** Milliseconds to park; negative: without a deadline. */
  readonly ms: number;
  readonly attempt: number;
  readonly seen: string;
  readonly detail: string;
  /** Redis' time of the decision. */
  readonly now: number;
  /** With `launch`: what the dyno is told of its run. */
  readonly facts?: RunFacts;
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

export interface EnterOptions {
  readonly ref: TaskRef;
  readonly task: TaskPlan;
  readonly resource: string;
  /** One per activation: tells an own intent from a foreign one. */
  readonly token: string;
  /** Whether this is the activation's first call. */
  readonly first: boolean;
  /** Milliseconds after which a launch of unknown fate counts as lost when nothing shows it. */
  readonly adoptAfter: number;
  /** Milliseconds to wait for the output's event after the dyno's end. */
  readonly grace: number;
  /** What the caller found when it looked once more at what was due. */
  readonly verdict?: { readonly code: 'timed_out' | 'exited_without_output' | 'dyno_crashed'; readonly detail: string } | 'extend';
}

export type DeliverResult = 'ok' | 'duplicate' | 'late' | 'unlaunched' | 'foreign' | 'gone';

export type Runs = ReturnType<typeof createRuns>;

/** The transitions on one connection. `retention`: milliseconds that an ended run's record is kept. */
export function createRuns(deps: { redis: Redis; retention?: number }) {
  const { redis } = deps;
  const retention = deps.retention ?? DEFAULT_RETENTION_MS;
  defineScripts(redis);

  const keysOf = (runId: string): ShardKeys => {
    const parts = parseRunId(runId);
    if (parts === undefined) throw new Failure('internal', `${JSON.stringify(runId)} is no run id.`);
    return shardKeys(parts.shard);
  };
  const text = async (reply: Promise<unknown>): Promise<string> => String(await reply);

  const record = async (
    runId: string,
    state: 'accepted' | 'rejected',
    resource: string,
    trigger: Trigger,
    cap: number,
    document: string,
    fields: readonly (string | number)[],
  ): Promise<string> => {
    const k = keysOf(runId);
    const why = JSON.stringify({
      reason: 'too many runs in one minute',
      bucket: trigger.bucket,
      key: trigger.key,
      version_id: trigger.versionId,
    });
    return await text(
      runScript(
        redis,
        'accept',
        [
          k.run(runId),
          k.history(runId),
          k.live,
          k.index(resource),
          k.decisions(resource),
          k.rate(resource),
          k.quarantine(resource),
          k.document(runId),
        ],
        [
          runId,
          k.channel,
          resource,
          state,
          cap,
          retention,
          why,
          document,
          'bucket',
          trigger.bucket,
          'key',
          trigger.key,
          'version',
          trigger.versionId,
          'etag',
          trigger.etag,
          'size',
          trigger.size,
          ...fields,
        ],
      ),
    );
  };

  return {
    /** Records an accepted run. Answers `new`, `capped`, or the state of the record that was there already. */
    accept: async (run: {
      runId: string;
      resource: string;
      trigger: Trigger;
      workflow: Workflow;
      plan: WorkflowPlan;
      /** Runs that one resource may start in a minute. */
      cap: number;
      /** How many runs led to this one, each by an output that started the next. */
      depth: number;
      /** A run that runs an ended one again: which, how, and the fields of the tasks that count as done. */
      again?: { of: string; how: string; kept: readonly (string | number)[] };
    }): Promise<string> => {
      const sizes = run.plan.steps.flatMap((step, k) => [`n${k}`, step.tasks.length]);
      return await record(run.runId, 'accepted', run.resource, run.trigger, run.cap, JSON.stringify(run.workflow), [
        'title',
        run.plan.title,
        'steps',
        run.plan.steps.length,
        ...(run.depth > 0 ? ['depth', run.depth] : []),
        ...(run.again === undefined ? [] : ['parent', run.again.of, 'how', run.again.how, ...run.again.kept]),
        ...sizes,
      ]);
    },

    /** Records a run that was refused before it began, with what is wrong in it. */
    reject: async (run: {
      runId: string;
      resource: string;
      trigger: Trigger;
      code: string;
      detail: string;
      cap: number;
    }): Promise<string> =>
      await record(run.runId, 'rejected', run.resource, run.trigger, run.cap, '', ['error', `${run.code}|${run.detail}`]),

    /** The one decision of a task's activation. */
    enter: async (o: EnterOptions): Promise<Decision> => {
      const { ref, task, resource } = o;
      const k = keysOf(ref.runId);
      const [code, detail] =
        o.verdict === undefined ? ['', ''] : o.verdict === 'extend' ? ['extend', ''] : [o.verdict.code, o.verdict.detail];
      const reply = await runScript(
        redis,
        'enter',
        [k.run(ref.runId), k.history(ref.runId), k.delayed, k.marker, k.watch(resource), k.watched, k.stops, k.document(ref.runId)],
        [
          ref.runId,
          k.channel,
          ref.step,
          ref.index,
          o.token,
          task.timeout * 1000,
          task.wait_for * 1000,
          task.retries,
          task.backoff.type,
          task.backoff.delay * 1000,
          task.backoff.max * 1000,
          task.no_output ? 1 : 0,
          o.adoptAfter,
          o.grace,
          code,
          detail,
          resource,
          o.first ? MAX_BARREN_ACTIVATIONS : 0,
        ],
      );
      return decisionOf(reply, ref);
    },

    /** The platform accepted the launch, or an unknown one was found. `closed`: its dyno is to be stopped. */
    launched: async (o: {
      ref: TaskRef;
      resource: string;
      attempt: number;
      timeout: number;
      noOutput: boolean;
      dyno: { readonly id: string; readonly name: string };
      up: boolean;
      adopted: boolean;
    }): Promise<'ok' | 'closed'> => {
      const { ref, resource } = o;
      const k = keysOf(ref.runId);
      const reply = await runScript(
        redis,
        'launched',
        [k.run(ref.runId), k.history(ref.runId), k.delayed, k.marker, k.watch(resource), k.watched, k.stops],
        [
          ref.runId,
          k.channel,
          `${ref.step}.${ref.index}`,
          o.attempt,
          o.timeout * 1000,
          o.dyno.id,
          o.dyno.name,
          o.noOutput ? 1 : 0,
          o.up ? 1 : 0,
          resource,
          o.adopted ? 1 : 0,
        ],
      );
      return reply === 'closed' ? 'closed' : 'ok';
    },

    /**
     * The launch was refused for certain, was not sent, or is given up as lost. `delay`: milliseconds until the attempt is
     * free again; for a lost one how long its dyno is still looked for.
     */
    refused: async (o: {
      ref: TaskRef;
      resource: string;
      attempt: number;
      kind: 'heal' | 'unsent' | 'final' | 'lost';
      delay: number;
      retries: number;
      code: 'launch_refused' | 'launch_unknown' | 'launch_lost';
      detail: string;
    }): Promise<void> => {
      const k = keysOf(o.ref.runId);
      await runScript(
        redis,
        'refused',
        [k.run(o.ref.runId), k.history(o.ref.runId), k.watch(o.resource)],
        [o.ref.runId, k.channel, `${o.ref.step}.${o.ref.index}`, o.attempt, o.kind, o.delay, o.retries, o.code, o.detail],
      );
    },

    /** An output arrived in the resource's own bucket. Recorded and rung in one script. */
    deliver: async (taskId: string, resource: string, output: OutputRef): Promise<DeliverResult> => {
      const ref = refOf(taskId);
      if (ref === undefined) return 'gone';
      const k = keysOf(ref.runId);
      const reply = await text(
        runScript(
          redis,
          'deliver',
          [k.run(ref.runId), k.history(ref.runId), k.delayed, k.marker, k.decisions(resource)],
          [ref.runId, k.channel, `${ref.step}.${ref.index}`, resource, output.version_id, JSON.stringify(output), ref.index, ref.step],
        ),
      );
      // the script answers with these words alone
      return reply as DeliverResult;
    },

    /** What the platform shows of a task's dyno. */
    observe: async (o: {
      ref: TaskRef;
      resource: string;
      attempt: number;
      kind: 'up' | 'gone' | 'crashed';
      dynoId: string;
      noOutput: boolean;
    }): Promise<string> => {
      const k = keysOf(o.ref.runId);
      return await text(
        runScript(
          redis,
          'observe',
          [k.run(o.ref.runId), k.history(o.ref.runId), k.delayed, k.marker, k.watch(o.resource)],
          [o.ref.runId, k.channel, `${o.ref.step}.${o.ref.index}`, o.attempt, o.kind, o.dynoId, o.noOutput ? 1 : 0],
        ),
      );
    },

    /** Cancels a run. Answers `cancelled` or `cancelling`, the final state it has already, or `gone`. */
    cancel: async (runId: string, by: string): Promise<string> => {
      const k = keysOf(runId);
      return await text(
        runScript(
          redis,
          'cancel',
          [k.run(runId), k.history(runId), k.delayed, k.marker, k.live, k.document(runId)],
          [runId, k.channel, by, retention],
        ),
      );
    },

    /** Ends a run whose tasks have all settled. Answers its final state, `ended:<state>`, `open` or `gone`. */
    finish: async (runId: string): Promise<string> => {
      const k = keysOf(runId);
      return await text(
        runScript(redis, 'finish', [k.run(runId), k.history(runId), k.live, k.document(runId)], [runId, k.channel, retention]),
      );
    },

    /** Rings tasks (`step.index`) of a run; answers how many were parked. */
    ring: async (runId: string, tasks: readonly string[]): Promise<number> => {
      const k = keysOf(runId);
      return Number(await runScript(redis, 'ring', [k.run(runId), k.history(runId), k.delayed, k.marker], [runId, k.channel, ...tasks]));
    },

    /** Counts a decision that leads to no run; with an entry it is also kept for the owner to see. */
    decide: async (shard: number, resource: string, kind: 'ignored' | 'quarantined', entry?: unknown): Promise<void> => {
      const k = shardKeys(shard);
      await runScript(
        redis,
        'quarantine',
        [k.decisions(resource), k.quarantine(resource)],
        ['', '', kind, entry === undefined ? '' : JSON.stringify(entry)],
      );
    },

    /** How many runs in a row led to this one. undefined: no such run. */
    depth: async (runId: string): Promise<number | undefined> => {
      const k = keysOf(runId);
      const [state, depth] = await redis.hmget(k.run(runId), 'state', 'depth');
      return state === null || state === undefined ? undefined : Number(depth ?? 0);
    },

    /** The dyno of a task's current attempt. `launchedAt`: Redis' time in ms. */
    dynoOf: async (ref: TaskRef): Promise<{ id: string; name: string; launchedAt: number } | undefined> => {
      const field = await redis.hget(keysOf(ref.runId).run(ref.runId), `dy:${ref.step}.${ref.index}`);
      const [id, name, launchedAt] = field?.split('|') ?? [];
      return id === undefined || name === undefined ? undefined : { id, name, launchedAt: Number(launchedAt) };
    },

    /** The task as its record has it, for a job whose data cannot be read. undefined: no such run or task. */
    planned: async (ref: TaskRef): Promise<{ resource: string; task: TaskPlan } | undefined> => {
      const k = keysOf(ref.runId);
      const [resource, doc] = await Promise.all([redis.hget(k.run(ref.runId), 'resource'), redis.get(k.document(ref.runId))]);
      const parsed = parseWorkflow(doc ?? '');
      const task = parsed.ok ? parsed.plan.steps[ref.step]?.tasks[ref.index] : undefined;
      return resource === null || task === undefined ? undefined : { resource, task };
    },
  };
}

/** The parts of a task id; undefined when it is none. */
export function refOf(taskId: string): TaskRef | undefined {
  const parts = parseTaskId(taskId);
  return parts === undefined ? undefined : { id: taskId, runId: parts.runId, step: parts.step, index: parts.index };
}

/** Reads an output field `ms|json`; undefined where a task without output was merely seen up. */
export function readOutput(field: string): { at: number; ref: OutputRef } | undefined {
  const bar = field.indexOf('|');
  const json = field.slice(bar + 1);
  if (json === '') return undefined;
  // written by deliver() alone
  return { at: Number(field.slice(0, bar)), ref: JSON.parse(json) as OutputRef };
}

/** Display names of a step's tasks, from a document that was validated when it was accepted. */
function taskNames(doc: string, step: number): readonly string[] {
  const entry = (JSON.parse(doc) as Workflow).run[step];
  if (entry === undefined) return [];
  return 'parallel' in entry ? entry.parallel.map((task) => task.name ?? '') : [entry.name ?? ''];
}

const ACTIONS: readonly Decision['action'][] = ['gone', 'settled', 'park', 'retry', 'check', 'adopt', 'launch', 'failed'];

function decisionOf(reply: unknown, ref: TaskRef): Decision {
  if (!Array.isArray(reply) || reply.length < 6) throw new Failure('internal', `enter answered ${JSON.stringify(reply)}.`);
  const action = ACTIONS.find((known) => known === reply[0]);
  if (action === undefined) throw new Failure('internal', `enter answered with the action ${String(reply[0])}.`);
  return {
    action,
    ms: Number(reply[1]),
    attempt: Number(reply[2]),
    seen: String(reply[3]),
    detail: String(reply[4]),
    now: Number(reply[5]),
    ...(Array.isArray(reply[6]) ? { facts: factsOf(reply[6].map(String), ref) } : {}),
  };
}

/** As enter.lua's facts() writes them. */
function factsOf(reply: readonly string[], ref: TaskRef): RunFacts {
  const [title = '', bucket = '', key = '', versionId = '', etag = '', size, document = '', ...outputs] = reply;
  const names = document === '' ? [] : taskNames(document, ref.step - 1);
  const before = outputs.flatMap((field, index) => {
    const output = field === '' ? undefined : readOutput(field);
    return output === undefined ? [] : [{ index, name: names[index] ?? '', output: output.ref }];
  });
  return { title, trigger: { bucket, key, versionId, etag, size: Number(size ?? 0) }, before };
}
