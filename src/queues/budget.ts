// The launch budget: one token bucket per Heroku account, a waiting list per resource, and who may launch next. Heroku counts
// calls per account and hour; a launch that it refuses with 429 helps nobody, so we count before it does.
import type { Redis } from 'ioredis';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import { redisTime } from './due.ts';
import { ACCOUNTS_KEY, budgetKey, pausedKey } from './keys.ts';
import { revise } from './resource-revision.ts';
import { run as runScript, type ScriptName } from './scripts.ts';

/** Heroku counts calls per account; all launches go through the account of the add-on's own token. */
export const ADDON_ACCOUNT = 'addon';

/** Milliseconds that a grant holds; the task that it was given to is woken at once (bullmq-branches.md §3 no. 17). */
const GRANT_TTL_MS = 500;
/**
 * Seconds' worth of tokens that may be saved up. We take nine tenths of what the platform allows: in any stretch of time of more than nine
 * times this, what was saved up and what comes in stay within the platform's own count.
 */
const BURST_S = 0.4;
const MIN_BURST = 5;
/** Part of the budget that looking at dyno lists may take. */
const POLL_SHARE = 0.2;
/** Grants in one turn, so that a turn does not keep Redis. */
const GRANTS_AT_ONCE = 50;
/** Tasks of one list that are read at a time by an audit. */
const PAGE = 500;

/** Whose launch is asked for. `concurrency`: dynos of the resource at the same time, 0 for no limit. */
export interface LaunchRequest {
  readonly account: string;
  readonly resource: string;
  readonly task: string;
  readonly concurrency: number;
}

export interface Answer {
  /** `granted`: make it at once, or release it. `queued`: the task is rung when its turn comes. `holds`: another activation has it, may be. */
  readonly answer: 'granted' | 'queued' | 'holds';
  /** When it was given (ms by Redis' clock): tells this launch of the task from its others. */
  readonly slot: number;
}

/** What alone is released: a grant that nobody has used yet, the place in the list, or what was given from one moment to another (ms). */
export type ReleasedOnly = '' | 'grant' | 'place' | readonly [from: number, to: number];

export interface Grant {
  readonly task: string;
  readonly resource: string;
}

/** Why a resource's launches wait. */
export interface Outlook {
  readonly why: 'paused' | 'concurrency' | 'budget';
  /** Dynos that the resource's plan allows at the same time; 0 for no limit. */
  readonly limit: number;
  readonly held: number;
  readonly waiting: number;
  /** By task: seconds until it may start, about; undefined where no rate tells (paused, at the plan's limit) or it does not wait. */
  readonly seconds: ReadonlyMap<string, number>;
}

/** What the account's budget looks like, for the gauge and the metrics. Counters since the budget was first used. */
export interface BudgetState {
  readonly perHour: number;
  readonly tokens: number;
  readonly burst: number;
  readonly launches: number;
  readonly polls: number;
  readonly calls: number;
  readonly returned: number;
  readonly throttled: number;
  /** What the platform's RateLimit-Remaining said last; undefined before it said anything. */
  readonly remaining: number | undefined;
}

export type Budget = ReturnType<typeof createBudget>;

/** The budgets of all accounts on one connection. `perHour`: calls that an account may make in an hour. */
export function createBudget(deps: { redis: Redis; perHour: number; log: Log }) {
  const { redis, perHour } = deps;
  const burst = Math.max(MIN_BURST, (perHour / 3600) * BURST_S);
  const known = new Set<string>();
  const outstanding = new Map<string, number>();
  const releases = new Set<Promise<void>>();

  const enlist = async (account: string): Promise<void> => {
    if (known.has(account)) return;
    await redis.sadd(ACCOUNTS_KEY, account);
    known.add(account);
  };

  const call = async (name: ScriptName, account: string, args: readonly (string | number)[]): Promise<unknown> =>
    await runScript(redis, name, [budgetKey(account)], [perHour, burst, ...args]);

  const release = async (
    { account, resource, task }: Omit<LaunchRequest, 'concurrency'>,
    refund: boolean,
    only: ReleasedOnly = '',
  ): Promise<boolean> => {
    const [what, [from, to]] = typeof only === 'string' ? [only, ['', '']] : ['', only];
    return Number(await call('budget-release', account, [task, resource, refund ? 1 : 0, what, from, to])) === 1;
  };

  return {
    /**
     * Asks for a launch. `knownAt`: as of when (ms by Redis' clock) the record said that the task has none, 0 when it was not asked; left out, whatever
     * the task holds is the caller's.
     */
    request: async ({ account, resource, task, concurrency }: LaunchRequest, knownAt?: number): Promise<Answer> => {
      await enlist(account);
      const reply = await call('budget-request', account, [task, resource, concurrency, knownAt ?? '']);
      const [answer, count, slot] = Array.isArray(reply) ? reply : [];
      outstanding.set(resource, Number(count));
      return { answer: answer === 'granted' || answer === 'holds' ? answer : 'queued', slot: Number(slot) };
    },

    /** Gives up a place or a grant. `refund`: nothing was sent. Answers whether somebody waits for what became free. */
    release,

    /**
     * The same without waiting for it: the caller goes on. What is lost on the way is found by the audit. `freed` is called
     * when launches wait for what became free.
     */
    releaseSoon: (held: Omit<LaunchRequest, 'concurrency'>, refund: boolean, only: ReleasedOnly, freed: () => void): void => {
      const releasing = release(held, refund, only)
        .then((waits) => {
          if (waits) freed();
        })
        .catch((error: unknown) => deps.log.warn({ taskId: held.task, error: messageOf(error) }, 'launch not released'))
        .finally(() => releases.delete(releasing));
      releases.add(releasing);
    },

    /** Resolves when what was released without waiting has been written. */
    settle: async (): Promise<void> => {
      await Promise.all(releases);
    },

    /** What the resource's plan allows now (0: no limit). Answers whether launches that wait may begin by that. */
    allow: async (account: string, resource: string, concurrency: number): Promise<boolean> =>
      Number(await call('budget-limit', account, [resource, concurrency])) === 1,

    /** Hands out what tokens there are. `again`: milliseconds until another turn is of use; undefined when nothing waits. */
    grant: async (account: string): Promise<{ grants: readonly Grant[]; again: number | undefined }> => {
      const reply = await call('budget-grant', account, [GRANT_TTL_MS, GRANTS_AT_ONCE]);
      const [again, ...pairs] = Array.isArray(reply) ? reply : [-1];
      const grants: Grant[] = [];
      for (let i = 0; i + 1 < pairs.length; i += 2) grants.push({ task: String(pairs[i]), resource: String(pairs[i + 1]) });
      return { grants, again: Number(again) < 0 ? undefined : Number(again) };
    },

    /** Whether a look at a dyno list may be made now; it is charged when it may. */
    mayPoll: async (account: string): Promise<boolean> => Number(await call('budget-charge', account, ['poll', POLL_SHARE])) === 1,

    /** Charges a call that is made in any case. */
    charge: async (account: string): Promise<void> => {
      await call('budget-charge', account, ['call', POLL_SHARE]);
    },

    /** What the platform said: calls left in its own count, or milliseconds for which it refuses (429). */
    observe: async (account: string, said: { remaining?: number; waitMs?: number }): Promise<void> => {
      await call('budget-observe', account, [said.remaining ?? -1, Math.ceil(said.waitMs ?? 0)]);
    },

    /** Calls that the bucket holds at most: what the platform still allows is of interest only below that. */
    burst,

    /** Accounts that ever launched, or were to; those that this process knows also after Redis has lost them. */
    accounts: async (): Promise<readonly string[]> => [...new Set([...(await redis.smembers(ACCOUNTS_KEY)), ...known])],

    /** Holds all launches of a resource. Answers whether it was not paused before. */
    pause: async (account: string, resource: string): Promise<boolean> => {
      await enlist(account);
      await revise(redis, resource);
      return Number(await call('budget-pause', account, [resource, 1])) === 1;
    },

    /** Lets the launches of a resource go on. Answers whether it was paused. */
    resume: async (account: string, resource: string): Promise<boolean> => {
      await revise(redis, resource);
      return Number(await call('budget-pause', account, [resource, 0])) === 1;
    },

    isPaused: async (account: string, resource: string): Promise<boolean> => (await redis.sismember(pausedKey(account), resource)) === 1,

    /**
     * Launches of the resource that wait or run, about: as the last answer to this process told, and what was announced here since.
     * Announces `coming` more, so that those of the next run come after these.
     */
    outstanding: (resource: string, coming: number): number => {
      const before = outstanding.get(resource) ?? 0;
      outstanding.set(resource, before + coming);
      return before;
    },

    /** Why tasks of a resource wait and about how long. */
    outlook: async (account: string, resource: string, tasks: readonly string[]): Promise<Outlook> => {
      const reply = await call('budget-outlook', account, [resource, ...tasks]);
      const [why, level, inRing, blocked, limit, held, waiting, ...places] = Array.isArray(reply) ? reply : [];
      const seconds = new Map<string, number>();
      if (why === 'budget') {
        for (const [i, task] of tasks.entries()) {
          const place = Number(places[i] ?? -1);
          // the resources take turns: in each round every one that waits gets one
          const ahead = (place + 1) * Math.max(1, Number(inRing)) - Math.max(0, Number(level));
          if (place >= 0) seconds.set(task, Math.max(0, Math.ceil(Number(blocked) / 1000 + (ahead / perHour) * 3600)));
        }
      }
      const reason = why === 'paused' || why === 'concurrency' ? why : 'budget';
      return { why: reason, limit: Number(limit), held: Number(held), waiting: Number(waiting), seconds };
    },

    state: async (account: string): Promise<BudgetState> => {
      const record = await redis.hgetall(budgetKey(account));
      const count = (name: string) => Number(record[name] ?? 0);
      return {
        perHour,
        tokens: record['level'] === undefined ? burst : count('level'),
        burst,
        launches: count('launches'),
        polls: count('polls'),
        calls: count('calls'),
        returned: count('returned'),
        throttled: count('throttled'),
        remaining: record['remaining'] === undefined ? undefined : count('remaining'),
      };
    },

    /** Which of the tasks neither wait nor hold a grant: somebody lost their place. */
    missing: async (account: string, resource: string, tasks: readonly string[]): Promise<readonly string[]> => {
      if (tasks.length === 0) return [];
      const base = budgetKey(account);
      const [waiting, granted] = await Promise.all([
        redis.zmscore(`${base}:wait:${resource}`, ...tasks),
        redis.zmscore(`${base}:grants`, ...tasks),
      ]);
      return tasks.filter((_, i) => waiting[i] === null && granted[i] === null);
    },

    /** Redis' time (ms) where the budget is, by which it was written when each launch was given. */
    clock: async (account: string): Promise<number> => await redisTime(redis, budgetKey(account)),

    /** Resources with launches that wait or are held, for the audit. */
    resources: async (account: string): Promise<readonly string[]> => await redis.smembers(`${budgetKey(account)}:resources`),

    /** Takes a resource off them of which nothing waits and nothing is held. */
    idle: async (account: string, resource: string): Promise<void> => {
      await call('budget-idle', account, [resource]);
    },

    /** Tasks of a resource that wait for a launch, and those that held one before `heldBefore` (ms). At most `PAGE` of each, from `offset`. */
    entries: async (
      account: string,
      resource: string,
      page: { offset: number; heldBefore: number },
    ): Promise<{ waiting: readonly string[]; held: readonly string[]; more: boolean }> => {
      const base = budgetKey(account);
      // by rank, not by score: an offset into scores is walked from its beginning
      const old = await redis.zcount(`${base}:held:${resource}`, '-inf', page.heldBefore);
      const [waiting, held] = await Promise.all([
        redis.zrange(`${base}:wait:${resource}`, String(page.offset), String(page.offset + PAGE - 1)),
        page.offset < old
          ? redis.zrange(`${base}:held:${resource}`, String(page.offset), String(Math.min(page.offset + PAGE, old) - 1))
          : [],
      ]);
      return { waiting, held, more: waiting.length === PAGE || held.length === PAGE };
    },
  };
}
