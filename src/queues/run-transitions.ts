// What happens to a run as a whole, and the decisions that lead to none. Each function is one Lua script; who calls it
// twice, late or out of order changes nothing that stands.
import type { Redis } from 'ioredis';
import { Failure } from '../schema/failures.ts';
import type { VersionRef } from '../schema/ledger-view.ts';
import type { Workflow, WorkflowPlan } from '../schema/workflow.ts';
import { ACCOUNT_MS, digestOf } from './identity.ts';
import { STORE_KEY, shardKeys, triesKey } from './keys.ts';
import { fileDigest, keysOfRun, type Trigger } from './run-record.ts';
import { run as runScript } from './scripts.ts';
import { entriesPastLimits } from './set-aside.ts';
import { redoIfComing } from './store-epoch.ts';

/** Milliseconds, a day, after which a try to decide a version is forgotten: between two of them are 25 minutes at most (processors/put-off.ts). */
const TRIES_MS = 86_400_000;

/** What is to be recorded of a run beside its state. */
interface Recorded {
  readonly runId: string;
  readonly resource: string;
  readonly trigger: Trigger;
  readonly cap: number | undefined;
  readonly full?: boolean;
  readonly asked?: boolean | undefined;
  /** Whether its file did not have a run before, and may be set aside. */
  readonly first: boolean;
  readonly document: string;
  readonly fields: readonly (string | number)[];
}

/** The transitions of runs. `retention`: milliseconds; `shards`: how many have, or may have, runs at the time of a call. */
export function createRunTransitions(deps: { redis: Redis; retention: number; shards: () => number }) {
  const { redis, retention } = deps;
  const tryToRecord = async (state: 'accepted' | 'rejected', run: Recorded, room: number | 'day' | '', share = ''): Promise<string> => {
    const { runId, resource, trigger } = run;
    const k = keysOfRun(runId);
    return String(
      await runScript(
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
          k.startedBy(resource, fileDigest(trigger.key)),
        ],
        [
          runId,
          k.channel,
          resource,
          state,
          room,
          retention,
          ...(run.first ? entriesPastLimits(trigger) : ['', '']),
          run.document,
          run.asked === true ? 1 : '',
          share,
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
          ...(trigger.uploadedAt === undefined ? [] : ['uploaded', trigger.uploadedAt]),
          ...run.fields,
        ],
      ),
    );
  };

  /** The last minute (since 1970), by resource, that was found to have no more. */
  const spent = new Map<string, string>();
  /** Whether the shards together have taken fewer than `cap` runs of the resource in that minute (since 1970). */
  const hasRoom = async (resource: string, minute: string, cap: number): Promise<boolean> => {
    const counters = Array.from({ length: deps.shards() }, (_, shard) => `${shardKeys(shard).rate(resource)}:${minute}`);
    const counts = await Promise.all(counters.map(async (counter) => Number((await redis.get(counter)) ?? 0)));
    if (counts.reduce((sum, count) => sum + count, 0) < cap) return true;
    spent.set(resource, minute);
    return false;
  };

  /**
   * A shard takes its share of the cap by itself. Few runs are spread unevenly, so only past that are the other shards asked, and what they have not
   * used is taken. Beyond the cap goes what is recorded at the same time, and what a shard had left of its share when the others had taken all.
   */
  const record = async (state: 'accepted' | 'rejected', run: Recorded): Promise<string> => {
    const shards = deps.shards();
    const { cap } = run;
    if (run.full === true) return await tryToRecord(state, run, 'day');
    // what no cap is for takes none of its room
    if (cap === undefined) return await tryToRecord(state, run, '');
    if (shards === 1) return await tryToRecord(state, run, cap);
    const answer = await tryToRecord(state, run, Math.floor(cap / shards), spent.get(run.resource) ?? '?');
    const minute = /^over:(\d+)$/.exec(answer)?.[1];
    if (minute === undefined) return answer;
    return await tryToRecord(state, run, (await hasRoom(run.resource, minute, cap)) ? cap : 0);
  };

  /** Of one epoch: a Redis that was rolled back has the count of tries that nobody remembers. */
  const triesOf = async (version: VersionRef): Promise<string> =>
    triesKey((await redis.hget(STORE_KEY, 'epoch')) ?? '1', digestOf(version).toString('hex'));

  const conclude = async (shard: number, resource: string, kind: string, entry: string, version: VersionRef | undefined, start = '') => {
    const k = shardKeys(shard);
    return await runScript(
      redis,
      'quarantine',
      [k.decisions(resource), k.quarantine(resource), k.account(resource)],
      ['', '', kind, entry, version === undefined ? '' : digestOf(version), ACCOUNT_MS, start],
    );
  };

  return {
    /**
     * Records an accepted run. Answers `new`, `capped` (its file is set aside now), `aside` (it was before), or the state of the record that was there
     * already.
     */
    accept: async (run: {
      runId: string;
      resource: string;
      trigger: Trigger;
      workflow: Workflow;
      plan: WorkflowPlan;
      /** Runs that one resource may start in a minute; undefined: any number, and this one is not among them. */
      cap: number | undefined;
      /** Whether the plan has no more runs today. */
      full?: boolean;
      /** Whether somebody asks for it: that its file was set aside does not count then. */
      asked?: boolean | undefined;
      /** How many runs led to this one, each by an output that started the next. */
      depth: number;
      /** A run that runs an ended one again: which, how, by which order (a digest), and the fields of the tasks that count as done. */
      again?: { of: string; how: string; order: string; kept: readonly (string | number)[] };
      /** Milliseconds since 1970: when its file was saved, where that is long ago. */
      saved?: number | undefined;
      /** The epoch of the store, where the run may have been made before, in an earlier one. */
      redo?: number | undefined;
    }): Promise<string> => {
      const sizes = run.plan.steps.flatMap((step, k) => [`n${k}`, step.tasks.length]);
      return await record('accepted', {
        ...run,
        first: run.again === undefined,
        document: JSON.stringify(run.workflow),
        fields: [
          'title',
          run.plan.title,
          'steps',
          run.plan.steps.length,
          ...(run.plan.timeout > 0 ? ['timeout', run.plan.timeout * 1000] : []),
          ...(run.depth > 0 ? ['depth', run.depth] : []),
          ...(run.saved === undefined ? [] : ['saved', run.saved]),
          ...(run.redo === undefined ? [] : ['redo', run.redo]),
          ...(run.again === undefined ? [] : ['parent', run.again.of, 'how', run.again.how, 'order', run.again.order, ...run.again.kept]),
          ...sizes,
        ],
      });
    },

    /** Records a run that was refused before it began, with what is wrong in it. */
    reject: async (run: {
      runId: string;
      resource: string;
      trigger: Trigger;
      code: string;
      detail: string;
      cap: number | undefined;
      asked?: boolean | undefined;
    }): Promise<string> => await record('rejected', { ...run, first: true, document: '', fields: ['error', `${run.code}|${run.detail}`] }),

    /** Cancels a run. Answers `cancelled` or `cancelling`, `ended:<state>` when it has ended already, or `gone`. */
    cancel: async (runId: string, by: string): Promise<string> => {
      const k = keysOfRun(runId);
      await redoIfComing(redis, runId);
      return String(
        await runScript(redis, 'cancel', [k.run(runId), k.history(runId), k.delayed, k.marker, k.live], [runId, k.channel, by, '']),
      );
    },

    /** Ends a run that took longer than it may: its dynos are stopped, and it has failed. Answers `failed` when that ends it, else like `cancel`. */
    expire: async (runId: string, seconds: number): Promise<string> => {
      const k = keysOfRun(runId);
      await redoIfComing(redis, runId);
      const why = `|run_timed_out|not ended within ${seconds} s`;
      return String(
        await runScript(redis, 'cancel', [k.run(runId), k.history(runId), k.delayed, k.marker, k.live], [runId, k.channel, 'timeout', why]),
      );
    },

    /** Ends a run whose tasks have all settled. Answers its final state, `ended:<state>`, `open` or `gone`. */
    finish: async (runId: string): Promise<string> => {
      const k = keysOfRun(runId);
      return String(await runScript(redis, 'finish', [k.run(runId), k.history(runId), k.live], [runId, k.channel]));
    },

    /** Rings tasks (`step.index`) of a run; answers how many were parked. */
    ring: async (runId: string, tasks: readonly string[]): Promise<number> => {
      const k = keysOfRun(runId);
      return Number(await runScript(redis, 'ring', [k.run(runId), k.history(runId), k.delayed, k.marker], [runId, k.channel, ...tasks]));
    },

    /**
     * Counts a decision that leads to no run; with an entry it is also kept for the owner to see. `version`: the object version
     * whose decision is complete with that, and which the sweep will find accounted for.
     */
    decide: async (
      shard: number,
      resource: string,
      kind: 'ignored' | 'quarantined',
      entry?: unknown,
      version?: VersionRef,
    ): Promise<void> => {
      await conclude(shard, resource, kind, entry === undefined ? '' : JSON.stringify(entry), version);
    },

    /**
     * Accounts for a version whose decision stands elsewhere but not under its own run id: an output, a run past the cap. `start`: which start of
     * Redis that was written to (store-epoch.ts). Throws Failure redis_unavailable when this is another one.
     */
    account: async (resource: string, version: VersionRef, start: string | undefined): Promise<void> => {
      if ((await conclude(0, resource, '', '', version, start)) === 'changed')
        throw new Failure('redis_unavailable', 'It was started anew while an event was decided, and may have lost a part of the decision.');
    },

    /** Counts that a version could not be decided, by a fault that is no outage; answers how often that was so, in this epoch of the store. */
    failedToDecide: async (version: VersionRef): Promise<number> => {
      return Number(await runScript(redis, 'tried', [await triesOf(version)], ['', '', TRIES_MS]));
    },

    /** Forgets how often a version could not be decided: it has been, and has all its tries when it is to be decided again. */
    decidedAtLast: async (version: VersionRef): Promise<void> => {
      await redis.del(await triesOf(version));
    },

    /** How many runs in a row led to this one. undefined: no such run. */
    depth: async (runId: string): Promise<number | undefined> => {
      const k = keysOfRun(runId);
      const [state, depth] = await redis.hmget(k.run(runId), 'state', 'depth');
      return state === null || state === undefined ? undefined : Number(depth ?? 0);
    },
  };
}
