// What happens to one task of a run. Each function is one Lua script; who calls it twice, late or out of order changes
// nothing that stands.
import type { Redis } from 'ioredis';
import { parseRunId } from '../schema/ids.ts';
import { parseWorkflow } from '../schema/parse-workflow.ts';
import type { TaskPlan } from '../schema/workflow.ts';
import { type Decision, decisionOf } from './decision.ts';
import { ACCOUNT_MS } from './identity.ts';
import { fileDigest, keysOfRun, type OutputRef, refOf, type TaskRef } from './run-record.ts';
import { run as runScript } from './scripts.ts';

/** Activations in a row that may get nowhere before a task counts as poisoned (DESIGN §4). */
const MAX_BARREN_ACTIVATIONS = 5;

/** Milliseconds that an attempt may be refused for reasons that time heals: every run ends (I17). */
const LAUNCH_PATIENCE_MS = 600_000;
/** Milliseconds, 60 days: how long it is remembered which task made a file; longer than the task's run is. */
const MADE_FOR_MS = 60 * 86_400_000;

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
  /** What the launch budget said: not asked yet, granted, or queued. `held`: it was not asked, the customer's own account has no calls. */
  readonly budget: '' | 'granted' | 'queued' | 'held';
  /** With `held`: milliseconds for which it is to be left alone. */
  readonly held?: number;
  /** With `held`: what the owner reads of it. */
  readonly why?: string;
  /** What the caller found when it looked once more at what was due. */
  readonly verdict?: { readonly code: 'timed_out' | 'exited_without_output' | 'dyno_crashed'; readonly detail: string } | 'extend';
}

export type DeliverResult = 'ok' | 'duplicate' | 'late' | 'unlaunched' | 'foreign' | 'gone';

/** The transitions of tasks. */
export function createTaskTransitions(deps: { redis: Redis }) {
  const { redis } = deps;
  return {
    /** The one decision of a task's activation. */
    enter: async (o: EnterOptions): Promise<Decision> => {
      const { ref, task, resource } = o;
      const k = keysOfRun(ref.runId);
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
          o.budget === 'held' ? (o.why ?? '') : detail,
          resource,
          o.first ? MAX_BARREN_ACTIVATIONS : 0,
          o.budget,
          o.held ?? 0,
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
      /** With `adopted`: an event told of it, which may overtake the launch's own answer. */
      told?: boolean;
    }): Promise<'ok' | 'closed'> => {
      const { ref, resource } = o;
      const k = keysOfRun(ref.runId);
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
          o.adopted ? (o.told ? 2 : 1) : 0,
        ],
      );
      return reply === 'closed' ? 'closed' : 'ok';
    },

    /**
     * The launch was refused for certain, was not sent, or is given up as lost. `delay`: milliseconds until the attempt is
     * free again; for a lost one how long its dyno is still looked for. What heals is refused for ten minutes at most: then
     * the attempt has failed.
     */
    refused: async (o: {
      ref: TaskRef;
      resource: string;
      attempt: number;
      kind: 'heal' | 'unsent' | 'held' | 'final' | 'lost';
      delay: number;
      retries: number;
      code: 'launch_refused' | 'launch_unknown' | 'launch_lost';
      detail: string;
    }): Promise<void> => {
      const k = keysOfRun(o.ref.runId);
      await runScript(
        redis,
        'refused',
        [k.run(o.ref.runId), k.history(o.ref.runId), k.watch(o.resource)],
        [
          o.ref.runId,
          k.channel,
          `${o.ref.step}.${o.ref.index}`,
          o.attempt,
          o.kind,
          o.delay,
          o.retries,
          o.code,
          o.detail,
          LAUNCH_PATIENCE_MS,
        ],
      );
    },

    /**
     * An output arrived in the resource's own bucket. Recorded and rung in one script, which accounts for it as well, by this `digest` (identity.ts),
     * when the answer is `ok`, `duplicate` or `late`.
     */
    deliver: async (taskId: string, resource: string, output: OutputRef, digest?: Buffer): Promise<DeliverResult> => {
      const ref = refOf(taskId);
      if (ref === undefined) return 'gone';
      const k = keysOfRun(ref.runId);
      const reply = String(
        await runScript(
          redis,
          'deliver',
          [
            k.run(ref.runId),
            k.history(ref.runId),
            k.delayed,
            k.marker,
            k.decisions(resource),
            k.madeBy(resource, fileDigest(output.key)),
            k.account(resource),
          ],
          [
            ref.runId,
            k.channel,
            `${ref.step}.${ref.index}`,
            resource,
            output.version_id,
            JSON.stringify(output),
            ref.index,
            ref.step,
            MADE_FOR_MS,
            digest ?? '',
            ACCOUNT_MS,
          ],
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
      const k = keysOfRun(o.ref.runId);
      return String(
        await runScript(
          redis,
          'observe',
          [k.run(o.ref.runId), k.history(o.ref.runId), k.delayed, k.marker, k.watch(o.resource)],
          [o.ref.runId, k.channel, `${o.ref.step}.${o.ref.index}`, o.attempt, o.kind, o.dynoId, o.noOutput ? 1 : 0],
        ),
      );
    },

    /** The budget granted a task's launch. Answers whether it still wants it. */
    granted: async (ref: TaskRef): Promise<boolean> => {
      const k = keysOfRun(ref.runId);
      const reply = await runScript(
        redis,
        'granted',
        [k.run(ref.runId), k.history(ref.runId), k.delayed, k.marker],
        [ref.runId, k.channel, `${ref.step}.${ref.index}`],
      );
      return reply === 1;
    },

    /** Of each task whether it waits for a launch, holds one, or neither (left out). */
    launchesOf: async (refs: readonly TaskRef[]): Promise<ReadonlyMap<string, 'waits' | 'holds'>> => {
      const found = new Map<string, 'waits' | 'holds'>();
      for (const ofShard of Map.groupBy(refs, (ref) => parseRunId(ref.runId)?.shard).values()) {
        const [first] = ofShard;
        if (first === undefined) continue;
        const tasks = ofShard.flatMap((ref) => [ref.runId, `${ref.step}.${ref.index}`]);
        const said = await runScript(redis, 'launches', [keysOfRun(first.runId).live], ['', '', ...tasks]);
        for (const [i, ref] of ofShard.entries()) {
          const one: unknown = Array.isArray(said) ? said[i] : '';
          if (one === 'h') found.set(ref.id, 'holds');
          else if (one === 'w') found.set(ref.id, 'waits');
        }
      }
      return found;
    },

    /** The dyno of a task's current attempt. `launchedAt`: Redis' time in ms. */
    dynoOf: async (ref: TaskRef): Promise<{ id: string; name: string; launchedAt: number } | undefined> => {
      const field = await redis.hget(keysOfRun(ref.runId).run(ref.runId), `dy:${ref.step}.${ref.index}`);
      const [id, name, launchedAt] = field?.split('|') ?? [];
      return id === undefined || name === undefined ? undefined : { id, name, launchedAt: Number(launchedAt) };
    },

    /** The task as its record has it, for a job whose data cannot be read. undefined: no such run or task. */
    planned: async (ref: TaskRef): Promise<{ resource: string; task: TaskPlan } | undefined> => {
      const k = keysOfRun(ref.runId);
      const [resource, doc] = await Promise.all([redis.hget(k.run(ref.runId), 'resource'), redis.get(k.document(ref.runId))]);
      const parsed = parseWorkflow(doc ?? '');
      const task = parsed.ok ? parsed.plan.steps[ref.step]?.tasks[ref.index] : undefined;
      return resource === null || task === undefined ? undefined : { resource, task };
    },

    /** The attempt whose launch stands in the record as intended and not as answered; undefined for any other. */
    intended: async (ref: TaskRef): Promise<number | undefined> => {
      const t = `${ref.step}.${ref.index}`;
      const [phase, attempt] = await redis.hmget(keysOfRun(ref.runId).run(ref.runId), `p:${t}`, `a:${t}`);
      return phase === 'intent' ? Number(attempt) : undefined;
    },
  };
}
