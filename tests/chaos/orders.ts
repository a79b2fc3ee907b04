// What owners order at any time: that their launches are held back for a while, and that a run which has ended runs again.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { ADDON_ACCOUNT, createBudget } from '../../src/queues/budget.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { replay, type Selection } from '../../src/queues/replay.ts';
import { Failure } from '../../src/schema/failures.ts';
import type { Dice } from './dice.ts';
import { LAUNCHES_PER_HOUR } from './settings.ts';
import type { World } from './world.ts';

/** Milliseconds, at least and at most, for which launches are held back: what had its turn before is sent in the first of them. */
const PAUSE_MS = [5_000, 7_000] as const;
/** Runs that are looked at for one that may run again. */
const TRIES = 10;
/** Runs that an owner remembers. */
const RECENT = 40;
/** Runs that a resource may start in a minute: more than anybody does here. */
const CAP = 1_000_000;

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export const WAYS_TO_REPEAT = ['run', 'from', 'task', 'failed'] as const satisfies readonly Selection['mode'][];

/** The orders of the owners of both tenants; the dice decide how long, and what. */
export function createOrders({ redis, runs, ledger, tenants, firstRuns }: World, dice: Dice) {
  const budget = createBudget({ redis, perHour: LAUNCHES_PER_HOUR, log: silent });
  /** Ids of resources whose launches are meant to be held back now. */
  const held = new Set<string>();

  /** Lets launches go on that are held back and are not meant to be: an older Redis may have come back that knows of the pause alone. */
  const letGo = async (): Promise<void> => {
    for (const { id } of tenants) {
      if (held.has(id) || !(await heard(() => budget.isPaused(ADDON_ACCOUNT, id)))) continue;
      if (!held.has(id)) await heard(() => budget.resume(ADDON_ACCOUNT, id));
    }
  };

  return {
    letGo,

    /** Holds the launches of a tenant back while `work` is done and some seconds longer. */
    holdBack: async (tenant: World['tenants'][number], work: () => Promise<unknown>): Promise<void> => {
      held.add(tenant.id);
      try {
        if ((await heard(() => budget.pause(ADDON_ACCOUNT, tenant.id))) === undefined) return;
        const t = Date.now();
        await work();
        await pause(dice.between(...PAUSE_MS));
        ledger.note({ kind: 'pause', t, until: Date.now(), resource: tenant.id, app: tenant.app });
      } finally {
        held.delete(tenant.id);
        await letGo();
      }
    },

    /** Has one of the first tenant's ended runs run again. It is planned by whoever finds it, as when its caller has died. */
    repeat: async (how: Selection['mode']): Promise<void> => {
      for (let tries = 0; tries < TRIES && firstRuns.length > 0; tries += 1) {
        const of = dice.pick(firstRuns.slice(-RECENT));
        const record = await redis.hgetall(shardKeys(0).run(of));
        const found = record['end'] === undefined ? undefined : selectionOf(how, record, dice);
        if (found === undefined) continue;
        const t = Date.now();
        const order = { runId: of, selection: found.selection, nonce: randomUUID(), cap: CAP };
        const run = await heard(() => replay({ redis, runs }, order));
        if (run === undefined) continue;
        ledger.note({ kind: 'replay', t, run, of, how, kept: found.kept });
        return;
      }
    },
  };
}

/** What is to run again of a run with that record, and the tasks that count as done; undefined: this way keeps nothing, or everything, of it. */
function selectionOf(
  how: Selection['mode'],
  record: Readonly<Record<string, string>>,
  dice: Dice,
): { readonly selection: Selection; readonly kept: readonly string[] } | undefined {
  const steps = Array.from({ length: Number(record['steps'] ?? 0) }, (_, step) => step);
  const tasks = steps.flatMap((step) =>
    Array.from({ length: Number(record[`n${step}`]) }, (_, index) => ({ step, index, t: `${step}.${index}` })),
  );
  if (tasks.length === 0) return undefined;
  const one = dice.pick(tasks);
  const again = tasks.filter(({ step, t }) => {
    if (how === 'from') return step >= one.step;
    if (how === 'task') return t === one.t;
    return how === 'run' || record[`p:${t}`] !== 'succeeded';
  });
  if (how !== 'run' && (again.length === 0 || again.length === tasks.length)) return undefined;
  const kept = tasks.filter((task) => !again.includes(task)).map(({ t }) => t);
  if (how === 'from') return { selection: { mode: how, step: one.step }, kept };
  return { selection: how === 'task' ? { mode: how, step: one.step, index: one.index } : { mode: how }, kept };
}

/** undefined: it was refused, as a Redis that is full or takes no writes refuses it, or as it may be. */
async function heard<T>(order: () => Promise<T>): Promise<T | undefined> {
  try {
    return await order();
  } catch (error) {
    if (error instanceof Failure || (error instanceof Error && error.name === 'ReplyError')) return undefined;
    throw error;
  }
}
