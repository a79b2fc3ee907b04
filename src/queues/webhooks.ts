// Webhooks of resources, the runs that are to be told of, and the log of deliveries.
import { randomBytes } from 'node:crypto';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { Failure } from '../schema/failures.ts';
import { isFinal, type RunState } from '../schema/run-view.ts';
import type { DeliveryView, WebhookView } from '../schema/webhook-view.ts';
import { shardKeys, WEBHOOK_PREFIX, WEBHOOK_QUEUE, WEBHOOKED_KEY, webhookKeys } from './keys.ts';
import { revise } from './resource-revision.ts';
import { run as runScript } from './scripts.ts';
import type { Sealer } from './secrets.ts';
import { storedWebhook } from './webhook-keys.ts';

/** Webhooks that one resource may have, and deliveries that its log keeps. */
const MAX_WEBHOOKS = 10;
const MAX_DELIVERIES = 500;
/** Entries of a feed that are read at a time. */
const PAGE = 200;
/** Tries of one delivery, with growing pauses: 10 s, 20 s, … about 43 minutes in all. */
const ATTEMPTS = 9;
const FIRST_PAUSE_MS = 10_000;
/**
 * Deliveries that are over and stand in Redis still, so that a crash between the jobs and the place queues none twice: a day (seconds) at most, and so many,
 * about 10 MB. Such a crash is made good within seconds, far fewer of them.
 */
const KEPT = { age: 86_400, count: 10_000 } as const;
/**
 * A webhook is paused when none of so many tries was taken (about six deliveries with all theirs) in so many milliseconds, six hours: longer than a
 * server is away that somebody looks after, and however much ends meanwhile, a short outage is none.
 */
const PAUSE_TRIES = 50;
const PAUSE_MS = 21_600_000;
/** Fields of `failing`, in front of a webhook's id; lua/note-delivery.lua spells them, too. */
const FAILING = ['tries:', 'since:', 'error:', 'paused:'] as const;

/** What the sealed text is, as associated data. */
const SEALED_KIND = 'webhook';

export interface DeliveryOrder {
  /** `webhook-id`: names the delivery, and the job. */
  readonly id: string;
  readonly resource: string;
  readonly webhook: string;
  /** The run that has ended; null: nothing has happened, the webhook is being tested. */
  readonly run: string | null;
}

export type Webhooks = ReturnType<typeof createWebhooks>;

/** `now`: milliseconds since 1970; `shards`: how many have, or may have, runs at the time of a call. */
export function createWebhooks(deps: {
  redis: Redis;
  sealer: Pick<Sealer, 'newKey' | 'seal' | 'open'>;
  shards: () => number;
  now: () => number;
  onError: (error: Error) => void;
}) {
  const { redis, sealer } = deps;
  const queue = new Queue<DeliveryOrder>(WEBHOOK_QUEUE, { connection: redis, prefix: WEBHOOK_PREFIX });
  queue.on('error', deps.onError);

  const find = async (resource: string, id: string): Promise<{ url: string; secret: string; paused: boolean } | undefined> => {
    const { all, failing } = webhookKeys(resource);
    const [text, paused] = await Promise.all([redis.hget(all, id), redis.hexists(failing, `paused:${id}`)]);
    const record: unknown = text === null ? undefined : JSON.parse(text);
    if (!storedWebhook.Check(record)) return undefined;
    return { url: record.url, secret: sealer.open(resource, SEALED_KIND, record.key, record.secret), paused: paused === 1 };
  };

  /**
   * Takes a resource without webhooks off the list, which is in another slot than they are. One that is added meanwhile has put it there already, or will:
   * only a look afterwards tells. Who dies before that look leaves it to `rewrapWebhooks`.
   */
  const strike = async (resource: string): Promise<void> => {
    const keys = webhookKeys(resource);
    await redis.del(keys.places);
    await redis.srem(WEBHOOKED_KEY, resource);
    if ((await redis.exists(keys.all)) === 1) await redis.sadd(WEBHOOKED_KEY, resource);
  };

  /** Where to begin in a feed without a place, be it that the shard is new: when the oldest webhook was added. Ids of a feed begin with milliseconds. */
  const beginning = async (all: string): Promise<string> => {
    const records: unknown[] = (await redis.hvals(all)).map((text) => JSON.parse(text));
    const added = records.filter((record) => storedWebhook.Check(record)).map(({ created_at }) => Date.parse(created_at));
    return added.length === 0 ? '0-0' : `${Math.min(...added)}-0`;
  };

  /** Reads on in the feeds of one resource. Ends when its last webhook is gone. */
  const dispatchOf = async (resource: string): Promise<void> => {
    const keys = webhookKeys(resource);
    for (let shard = 0; shard < deps.shards(); shard += 1) {
      for (;;) {
        const place = (await redis.hget(keys.places, String(shard))) ?? (await beginning(keys.all));
        const rows = await redis.xrange(shardKeys(shard).feed(resource), `(${place}`, '+', 'COUNT', PAGE);
        const last = rows.at(-1)?.[0];
        if (last === undefined) break;
        const hooks = await redis.hkeys(keys.all);
        const jobs = rows.flatMap(([, [, run = '', , state = '']]) =>
          state !== 'retrying' && isFinal(state as RunState)
            ? hooks.map((webhook) => ({ id: `${run}.${webhook}`, resource, webhook, run }))
            : [],
        );
        await queue.addBulk(
          jobs.map((data) => ({
            name: 'run.ended',
            data,
            opts: {
              jobId: data.id,
              attempts: ATTEMPTS,
              backoff: { type: 'exponential', delay: FIRST_PAUSE_MS },
              removeOnComplete: KEPT,
              removeOnFail: KEPT,
            },
          })),
        );
        await redis.hset(keys.places, String(shard), last);
        // a removal takes the webhooks before it looks for everything else: it finds the place, or this finds the webhooks gone
        if ((await redis.exists(keys.all)) === 0) return await strike(resource);
      }
    }
  };

  return {
    /** Adds a webhook; its secret is answered this once. Throws Failure conflict when there are too many. */
    add: async (resource: string, url: string): Promise<WebhookView & { secret: string }> => {
      const keys = webhookKeys(resource);
      const tooMany = () => new Failure('conflict', `Found ${MAX_WEBHOOKS} webhooks, which is the most. Remove one first.`);
      if ((await redis.hlen(keys.all)) >= MAX_WEBHOOKS) throw tooMany();
      const secret = `whsec_${randomBytes(32).toString('base64')}`;
      const view = { id: randomBytes(6).toString('hex'), url, created_at: new Date(deps.now()).toISOString() };
      // from now on: what ended before is not told
      for (let shard = 0; shard < deps.shards(); shard += 1) {
        const [last] = await redis.xrevrange(shardKeys(shard).feed(resource), '+', '-', 'COUNT', 1);
        await redis.hsetnx(keys.places, String(shard), last?.[0] ?? '0-0');
      }
      const key = sealer.newKey(resource);
      await revise(redis, resource);
      const record = JSON.stringify({ ...view, key, secret: sealer.seal(resource, SEALED_KIND, key, secret) });
      // counted once more in the same step: of many that come together each found room
      if ((await runScript(redis, 'add-webhook', [keys.all], ['', '', view.id, record, MAX_WEBHOOKS])) !== 1) throw tooMany();
      await redis.sadd(WEBHOOKED_KEY, resource);
      return { ...view, paused: null, secret };
    },

    list: async (resource: string): Promise<readonly WebhookView[]> => {
      const keys = webhookKeys(resource);
      const [all, failing] = await Promise.all([redis.hgetall(keys.all), redis.hgetall(keys.failing)]);
      const records: unknown[] = Object.values(all).map((text) => JSON.parse(text));
      return records
        .filter((record) => storedWebhook.Check(record))
        .map(({ id, url, created_at }) => ({ id, url, created_at, paused: pauseOf(failing, id) }));
    },

    /** Throws Failure not_found. */
    remove: async (resource: string, id: string): Promise<void> => {
      const keys = webhookKeys(resource);
      await revise(redis, resource);
      if ((await redis.hdel(keys.all, id)) === 0) throw new Failure('not_found', `Found no webhook ${id}.`);
      await redis.hdel(keys.failing, ...FAILING.map((name) => `${name}${id}`));
      // or who adds, tests and removes one webhook after the other has any number of tests wait
      const test = await queue.getDeduplicationJobId(testOf(id));
      if (test !== null) await queue.remove(test);
      if ((await redis.hlen(keys.all)) === 0) await strike(resource);
    },

    find,

    /**
     * Sends one delivery that tells of nothing, once; answers with its id. Of the tests of one webhook one waits at most, beside one that is under way: whose
     * has to wait answers for all that are asked for meanwhile, since Redis is everybody's. Throws Failure not_found.
     */
    ping: async (resource: string, webhook: string): Promise<string> => {
      if ((await redis.hexists(webhookKeys(resource).all, webhook)) === 0) throw new Failure('not_found', `Found no webhook ${webhook}.`);
      const id = `ping-${randomBytes(9).toString('hex')}.${webhook}`;
      const order = { id, resource, webhook, run: null };
      const opts = { jobId: id, attempts: 1, deduplication: { id: testOf(webhook) }, removeOnComplete: true, removeOnFail: true };
      // BullMQ answers with the id of the one that waits already; processors/webhook.ts lets the next one wait when it sends this
      return (await queue.add('webhook.ping', order, opts)).id ?? id;
    },

    /** The newest deliveries first. */
    deliveries: async (resource: string, limit: number): Promise<readonly DeliveryView[]> =>
      // written by note alone
      (await redis.lrange(webhookKeys(resource).deliveries, 0, limit - 1)).map((text) => JSON.parse(text) as DeliveryView),

    /** Notes what came of a try, and pauses or wakes the webhook by it; nothing where it was removed meanwhile. */
    note: async (resource: string, delivery: DeliveryView): Promise<void> => {
      const { all, deliveries, failing } = webhookKeys(resource);
      const { webhook, run, error } = delivery;
      const outcome = error === null ? 'taken' : run === null ? 'tested' : 'missed';
      const entry = JSON.stringify(delivery);
      const args = ['', '', webhook, entry, MAX_DELIVERIES, outcome, error ?? '', PAUSE_TRIES, PAUSE_MS];
      await runScript(redis, 'note-delivery', [all, deliveries, failing], args);
    },

    /**
     * Reads on in the feeds of all resources with webhooks and queues a delivery for every run that has ended. The place is
     * written after the jobs, whose ids are those of run and webhook: a crash in between queues nothing twice.
     */
    dispatch: async (): Promise<void> => {
      for (const resource of await redis.smembers(WEBHOOKED_KEY)) {
        const keys = webhookKeys(resource);
        // a removal that broke off may have left it here
        if ((await redis.exists(keys.all)) === 0) {
          await strike(resource);
          continue;
        }
        await dispatchOf(resource);
      }
    },

    close: async (): Promise<void> => {
      await queue.close();
    },
  };
}

/** What BullMQ calls the one test of a webhook that waits. */
function testOf(webhook: string): string {
  return `ping.${webhook}`;
}

function pauseOf(failing: Readonly<Record<string, string>>, id: string): WebhookView['paused'] {
  const [tries, since, error, paused] = FAILING.map((name) => failing[`${name}${id}`]);
  if (paused === undefined) return null;
  const iso = (ms: string | undefined) => new Date(Number(ms ?? paused)).toISOString();
  return { at: iso(paused), why: `None of the last ${tries} tries since ${iso(since)} was taken. The last one: ${error}` };
}
