// The one module that spells Redis keys. All keys of a run share one hash tag, so that every script and the tree's
// MULTI stay in one slot of a Redis Cluster.

/** Names of the BullMQ queues under a shard's prefix. */
export const QUEUES = { plan: 'plan', task: 'task', finish: 'finish' } as const;
export type QueueName = (typeof QUEUES)[keyof typeof QUEUES];

/**
 * Streams of BullMQ's queues: nothing of ours reads their events, and BullMQ keeps 10,000 of each queue (0.6 MB) where it is not told
 * otherwise. Whoever opens a queue last tells, so everybody opens them with this.
 */
export const QUEUE_STREAMS = { events: { maxLen: 100 } } as const;

/** BullMQ's `prefix` for a shard: the hash tag alone. */
export function shardPrefix(shard: number): string {
  return `{af${shard}}`;
}

/** Shards whose keys are kept: more than anybody has, fewer than made-up ids can name. */
const MOST_KEPT = 1_024;
const kept = new Map<number, ShardKeys>();

/** Keys of one shard. `task` keys are BullMQ's own; src/queues/lua/prelude.lua says what we write there and why. */
export function shardKeys(shard: number): ShardKeys {
  const known = kept.get(shard);
  if (known !== undefined) return known;
  const keys = spell(shardPrefix(shard));
  if (shard < MOST_KEPT) kept.set(shard, keys);
  return keys;
}

function spell(p: string) {
  return {
    run: (runId: string) => `${p}:run:${runId}`,
    /** The workflow's document, beside the record: a hash without long values takes half the memory. */
    document: (runId: string) => `${p}:run:${runId}:d`,
    history: (runId: string) => `${p}:run:${runId}:h`,
    /** ZSET of runs that have not ended, score = accepted at (ms). */
    live: `${p}:live`,
    /** ZSET of ended runs that are not in the archive yet, score = ended at (ms). */
    unarchived: `${p}:unarchived`,
    /** ZSET of piles of runs whose bucket took no export (queues/archive.ts), score = when that is tried again (ms). */
    unexported: `${p}:unexported`,
    /** ZSET of a pile's ended runs that are in the archive and not in their bucket, score = since (ms). */
    unexportedOf: (pile: string) => `${p}:unexported:${pile}`,
    /** STRING that stands for a while after the bucket has taken an export although some of the resource wait in its pile. */
    takes: (resource: string) => `${p}:takes:${resource}`,
    /** ZSET of a resource's runs, score = accepted at (ms). */
    index: (resource: string) => `${p}:runs:${resource}`,
    /** ZSET of a resource's runs in one state (`retrying`: a task waits for its next attempt), score = accepted at (ms). */
    byState: (resource: string, state: string) => `${p}:state:${state}:${resource}`,
    /** STREAM of the states that a resource's runs came into, about the last 1,000. */
    feed: (resource: string) => `${p}:feed:${resource}`,
    /** Pub/sub channel of the feeds: the resource whose feed grew. */
    feeds: `${p}:feed`,
    /** ZSET of the runs that a file started, score = ms. `file`: fileDigest of its key. */
    startedBy: (resource: string, file: string) => `${p}:file:${resource}:${file}`,
    /** ZSET of the tasks (ids) that made a file, score = ms. */
    madeBy: (resource: string, file: string) => `${p}:made:${resource}:${file}`,
    /** HASH of decision kind → how many. */
    decisions: (resource: string) => `${p}:decisions:${resource}`,
    /** ZSET of quarantined events as JSON, score = ms. */
    quarantine: (resource: string) => `${p}:quarantine:${resource}`,
    /**
     * STRINGs, one an hour (`…:<hours since 1970>`): digests of the versions whose decision left no run record of their own (identity.ts);
     * outputs in the shard of their run, the rest in shard 0.
     */
    account: (resource: string) => `${p}:account:${resource}`,
    /** Counter of runs accepted in one minute. */
    rate: (resource: string) => `${p}:rate:${resource}`,
    /** HASH of the dynos that tasks wait for: dyno id (or `?<task>/<attempt>`) → what waits. */
    watch: (resource: string) => `${p}:watch:${resource}`,
    /** Stands while webhooks tell of the resource's dynos. */
    hooked: (resource: string) => `${p}:hooked:${resource}`,
    /** SET of resources whose watch hash is not empty. */
    watched: `${p}:watched`,
    /** ZSET of dynos that are to be stopped, `<resource>|<dyno id>|<dyno name>`, score = since (ms). */
    stops: `${p}:stops`,
    /** Lock of the one poller or sweeper of this shard. */
    lock: (what: string) => `${p}:lock:${what}`,
    /** Rank among the live runs at which the last sweep left off. */
    swept: `${p}:swept`,
    /** Pub/sub channel of every transition in the shard. */
    channel: `${p}:events`,
    /** The same for outputs and cancels alone: what a task processor wants to hear. */
    wakes: `${p}:events:wakes`,
    delayed: `${p}:${QUEUES.task}:delayed`,
    marker: `${p}:${QUEUES.task}:marker`,
    job: (queue: QueueName, id: string) => `${p}:${queue}:${id}`,
    /** BullMQ's own lists of a queue, to see how much is due. */
    lists: (queue: QueueName) => ({
      wait: `${p}:${queue}:wait`,
      prioritized: `${p}:${queue}:prioritized`,
      delayed: `${p}:${queue}:delayed`,
      active: `${p}:${queue}:active`,
      meta: `${p}:${queue}:meta`,
    }),
  };
}
export type ShardKeys = ReturnType<typeof spell>;

/** HASH of a resource. */
export function resourceKey(resource: string): string {
  return `af:resource:${resource}`;
}

/** Which resource a bucket belongs to. */
export function bucketKey(bucket: string): string {
  return `af:bucket:${bucket}`;
}

/** SET of all resource ids. */
export const RESOURCES_KEY = 'af:resources';

/** HASH of what the last sweep of a resource's bucket found. */
export function ledgerKey(resource: string): string {
  return `af:ledger:${resource}`;
}

/** ZSET of resources by when their bucket is swept next (ms). */
export const SWEEPS_KEY = 'af:ledger:due';

/**
 * HASH of the store as a whole: `epoch`, `since` (ms), `beat`, a counter that only a loss of data can turn back, `starts`, the count at which
 * each start of the server was found, and while a loss is put right `coming`, `<epoch>|<ms>` of the epoch that follows.
 */
export const STORE_KEY = 'af:store';

/**
 * The same, `beat` and `starts`, for what the nodes of a cluster have: one key in each sixteenth of the slots, near its middle, so that every node of
 * a cluster of up to eight with a range of slots each has one.
 */
export const NODE_KEYS: readonly string[] = [58, 344, 25, 164, 6, 118, 33, 165, 122, 63, 148, 212, 123, 75, 303, 204].map(
  (n) => `af:store:${n}`,
);

/** HASH of an API token by the SHA-256 of its text. */
export function tokenKey(hash: string): string {
  return `af:token:${hash}`;
}

/** HASH of a resource's API tokens: id → hash of the text. */
export function tokensKey(resource: string): string {
  return `af:tokens:${resource}`;
}

/** HASH of a resource's API tokens: id → last use (ms). */
export function tokenUseKey(resource: string): string {
  return `af:tokens:${resource}:used`;
}

/** HASH of worker id → its last sign of life as JSON. */
export const WORKERS_KEY = 'af:workers';

/** SET of the accounts that have a launch budget. */
export const ACCOUNTS_KEY = '{afb}:accounts';

/** HASH of an account's launch budget; its lists are spelled from this key (lua/budget.lua) and share its hash tag. */
export function budgetKey(account: string): string {
  return `{afb}:budget:${account}`;
}

/** SET of the resources that take nothing from an account's budget at the moment; lua/budget.lua spells it, too. */
export function pausedKey(account: string): string {
  return `${budgetKey(account)}:paused`;
}

/** BullMQ prefix and queue of what is done to whole resources: provision, rotate, deprovision. One slot: it is little. */
export const ADDON_PREFIX = '{af:addon}';
export const ADDON_QUEUE = 'resource';

/** ZSET of one member, ORDERED, score = the last moment (ms) at which somebody ordered new credentials for a resource that has not had them since. */
export function rotationKey(resource: string): string {
  return `af:rotation:${resource}`;
}

/** Which resource an app belongs to. */
export function appKey(app: string): string {
  return `af:app:${app}`;
}

/** STREAM of administrative acts on a resource. */
export function auditKey(resource: string): string {
  return `af:audit:${resource}`;
}

/** What a change of a resource's plan is set back to, as JSON, until Heroku is told of it. */
export function planUndoKey(resource: string): string {
  return `af:plan-undo:${resource}`;
}

/** Lock of one piece of work on a resource (or on all of them, with the resource left out). */
export function resourceLockKey(what: string, resource = ''): string {
  return `af:lock:${what}:${resource}`;
}

/** A session, by the hash of its cookie; SET of all sessions of a resource. */
export function sessionKey(hash: string): string {
  return `af:session:${hash}`;
}
export function sessionsKey(resource: string): string {
  return `af:sessions:${resource}`;
}

/** What may be used once alone: a sign-on token that was taken (`sso`), a link that was not yet (`link`), a webhook that was seen (`hook`). */
export function onceKey(kind: 'sso' | 'link' | 'hook' | 'consent', hash: string): string {
  return `af:once:${kind}:${hash}`;
}

/** Counter of how often an object version's decision failed by itself in an epoch of the store. `version`: its digest (identity.ts) in hex. */
export function triesKey(epoch: string, version: string): string {
  return `af:tries:${epoch}:${version}`;
}

/** How much of a limit a caller has used (lua/rate.lua). */
export function rateKey(kind: string, who: string): string {
  return `af:rate:${kind}:${who}`;
}

/** BullMQ's queue of webhook deliveries. */
export const WEBHOOK_QUEUE = 'webhook';
export const WEBHOOK_PREFIX = '{af:webhooks}';
/** SET of the resources that have webhooks. */
export const WEBHOOKED_KEY = 'af:webhooked';

/** Keys of a resource's webhooks. */
export function webhookKeys(resource: string) {
  return {
    /** HASH id → JSON, its secret sealed. */
    all: `af:webhooks:${resource}`,
    /** HASH shard → id of the last entry of its feed that was worked off. */
    places: `af:webhooks:${resource}:places`,
    /** LIST of deliveries as JSON, newest first. Its hash tag is the whole of the first key: one script may have both in a cluster. */
    deliveries: `{af:webhooks:${resource}}:deliveries`,
    /** HASH of what was not taken since anything was: `tries:`, `since:` (ms), `error:` and `paused:` (ms), each with a webhook's id. */
    failing: `{af:webhooks:${resource}}:failing`,
  };
}

/** How many shards there are, as JSON: `[count, from ms]`, oldest first. */
export const LAYOUT_KEY = 'af:layout';
