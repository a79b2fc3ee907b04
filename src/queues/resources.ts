import type { Redis } from 'ioredis';
import { Failure } from '../schema/failures.ts';
import { appKey, bucketKey, RESOURCES_KEY, resourceKey } from './keys.ts';
import { strike } from './resource-index.ts';
import {
  DATA_KEY,
  isAlive,
  type Resource,
  type ResourceCredentials,
  type ResourceState,
  readResource,
  SECRETS,
  type SecretKind,
  type Secrets,
  secretField,
  tombstoneOf,
} from './resource-record.ts';
import { run as runScript } from './scripts.ts';
import type { Sealer } from './secrets.ts';

export type { Resource, ResourceCredentials } from './resource-record.ts';

/** Milliseconds that a bucket's or app's resource is remembered in this process; a removed one is noticed within that time. */
const CACHE_MS = 5_000;
/** States that allow a change which asks for nothing more: the resource serves its customer. */
const ALIVE_STATES: readonly ResourceState[] = ['provisioning', 'provisioned'];

export interface ResourceChange {
  /** States in which it is made; alive ones without it. `''`: there is no record yet. */
  readonly from?: readonly (ResourceState | '')[];
  readonly set?: Partial<Omit<Resource, 'id'>> & Readonly<Record<string, string>>;
  readonly secrets?: Partial<Secrets>;
  /** Fields and kinds of secrets to be removed. */
  readonly unset?: readonly (keyof Resource | SecretKind)[];
  /** Fields, and sealed texts of secrets, that must stand as they were read: nothing is changed when somebody else was faster. */
  readonly held?: Readonly<Partial<Record<keyof Resource | SecretKind, string>>>;
}

export type Resources = ReturnType<typeof createResources>;

/** The records of installed add-ons. Secrets are sealed at rest. */
export function createResources(deps: { redis: Redis; sealer: Sealer; now: () => number }) {
  const { redis, sealer, now } = deps;
  /** The last sealed text of each secret and what was in it: opening it again for every launch would be waste. */
  const lastOpened = new Map<string, { sealed: string; value: unknown }>();
  const byBucket = new Map<string, { until: number; resource: Resource | undefined }>();
  const byApp = new Map<string, { until: number; id: string }>();

  const get = async (id: string): Promise<Resource | undefined> => {
    const found = readResource(id, await redis.hgetall(resourceKey(id)));
    return found?.state === 'removed' ? undefined : found;
  };

  const open = <Kind extends SecretKind>(
    id: string,
    kind: Kind,
    dataKey: string | null | undefined,
    sealed: string | null | undefined,
  ): Secrets[Kind] | undefined => {
    if (sealed === null || sealed === undefined) return undefined;
    const last = lastOpened.get(`${kind}:${id}`);
    // what is kept was checked by the schema of this kind
    if (last?.sealed === sealed) return last.value as Secrets[Kind];
    const parsed: unknown = JSON.parse(sealer.open(id, kind, dataKey ?? '', sealed));
    if (!SECRETS[kind].Check(parsed)) throw new Failure('internal', `The secret ${kind} of resource ${id} is damaged.`);
    lastOpened.set(`${kind}:${id}`, { sealed, value: parsed });
    return parsed as Secrets[Kind];
  };

  const change = async (id: string, order: ResourceChange): Promise<{ done: boolean; state: ResourceState | '' }> => {
    const fields: Record<string, string> = { ...order.set };
    const secrets = Object.entries(order.secrets ?? {});
    const from = order.from ?? ALIVE_STATES;
    if (secrets.length > 0) {
      // only a record that does not exist yet may get its data key here: any other has one
      const wrapped = from.includes('') ? sealer.newKey(id) : await redis.hget(resourceKey(id), DATA_KEY);
      if (wrapped === null) return { done: false, state: '' };
      if (from.includes('')) fields[DATA_KEY] = wrapped;
      for (const [kind, value] of secrets) {
        // Object.entries of Partial<Secrets> yields its kinds alone
        fields[secretField(kind as SecretKind)] = sealer.seal(id, kind, wrapped, JSON.stringify(value));
      }
    }
    const unset = (order.unset ?? []).map(fieldOf);
    const held = Object.fromEntries(Object.entries(order.held ?? {}).map(([name, text]) => [fieldOf(name), text]));
    const reply = await runScript(
      redis,
      'resource',
      [resourceKey(id)],
      ['', '', JSON.stringify(from), JSON.stringify(fields), JSON.stringify(unset), '', '', JSON.stringify(held)],
    );
    const [done, state] = Array.isArray(reply) ? reply : [];
    byBucket.clear();
    return { done: done === 1, state: String(state ?? '') as ResourceState | '' };
  };

  /** Whether the resource `id` came after the other one and serves its customer: an app has the add-on that was installed last. */
  const isNewer = async (id: string | null, other: string): Promise<boolean> => {
    if (id === null || id === other) return false;
    const [one, before] = [await get(id), await get(other)];
    return one !== undefined && isAlive(one) && Number(one.created ?? 0) > Number(before?.created ?? 0);
  };

  const index = async (resource: Pick<Resource, 'id' | 'bucket' | 'app'>): Promise<void> => {
    await redis.set(bucketKey(resource.bucket), resource.id);
    if (resource.app !== '' && !(await isNewer(await redis.get(appKey(resource.app)), resource.id)))
      await redis.set(appKey(resource.app), resource.id);
    await redis.sadd(RESOURCES_KEY, resource.id);
    byBucket.delete(resource.bucket);
  };

  return {
    /** The record as it stands; undefined when there is none, or only a tombstone. */
    get,

    /** Where the resource's life stands, tombstones included; undefined for one that never was. */
    stateOf: async (id: string): Promise<ResourceState | undefined> => {
      const found = readResource(id, await redis.hgetall(resourceKey(id)));
      return found === undefined ? undefined : (found.state ?? 'provisioned');
    },

    /** What is left of a resource that was removed; undefined of any other. */
    tombstone: async (id: string): Promise<Resource | undefined> => {
      const found = readResource(id, await redis.hgetall(resourceKey(id)));
      return found?.state === 'removed' ? found : undefined;
    },

    /** Whether the resource was there and serves its customer no more: it is being removed, was removed, or never came up. */
    gone: async (id: string): Promise<boolean> => {
      const found = readResource(id, await redis.hgetall(resourceKey(id)));
      return found !== undefined && !isAlive(found);
    },

    /**
     * Makes the record of a new resource, once: `done` says whether this call did it, `state` what stood before. Call `index` after it, also
     * when it stood before: whoever made it may have died in between.
     */
    claim: async (resource: Resource, secrets: Partial<Secrets>): Promise<{ done: boolean; state: ResourceState | '' }> => {
      const { id: _id, ...fields } = resource;
      return await change(resource.id, { from: [''], set: { ...fields, id: resource.id, created: String(now()) }, secrets });
    },

    /** Makes the resource findable by bucket and app. Idempotent. */
    index,

    /**
     * Changes fields and secrets in one step when the resource is in one of the states `from` and everything of `held` still stands; answers
     * whether that was so and which state it was in (`''`: none).
     */
    change,

    /** Idempotent by id; state and secrets of a record that stands are kept. */
    put: async (next: Resource): Promise<void> => {
      await redis.hset(resourceKey(next.id), next);
      await redis.hsetnx(resourceKey(next.id), DATA_KEY, sealer.newKey(next.id));
      await index(next);
    },

    /** Whose bucket this is: the one source of tenant identity. Undefined also for one that is being removed. */
    ofBucket: async (bucket: string): Promise<Resource | undefined> => {
      const cached = byBucket.get(bucket);
      if (cached !== undefined && cached.until > now()) return cached.resource;
      const id = await redis.get(bucketKey(bucket));
      const stored = id === null ? undefined : await get(id);
      const found = stored !== undefined && isAlive(stored) ? stored : undefined;
      // an unknown bucket is asked for again next time: it may be provisioned this very moment
      if (found !== undefined) byBucket.set(bucket, { until: now() + CACHE_MS, resource: found });
      else byBucket.delete(bucket);
      return found;
    },

    /** The id of the resource that an app (its id at Heroku) belongs to. */
    ofApp: async (app: string): Promise<string | undefined> => {
      const cached = byApp.get(app);
      if (cached !== undefined && cached.until > now()) return cached.id;
      const id = (await redis.get(appKey(app))) ?? undefined;
      if (id === undefined) byApp.delete(app);
      else byApp.set(app, { until: now() + CACHE_MS, id });
      return id;
    },

    /** All resources but the removed ones. */
    list: async (): Promise<readonly Resource[]> => {
      const found = await Promise.all((await redis.smembers(RESOURCES_KEY)).map(get));
      return found.filter((x) => x !== undefined);
    },

    /** The id of the installed resource, the newest if there are several: on one's own machine, where an app has one. Undefined without any. */
    only: async (): Promise<string | undefined> => {
      const found = await Promise.all((await redis.smembers(RESOURCES_KEY)).map(get));
      const alive = found.filter((x) => x !== undefined && isAlive(x));
      return alive.toSorted((a, b) => Number(a?.created ?? 0) - Number(b?.created ?? 0)).at(-1)?.id;
    },

    /**
     * Leaves nothing of a resource but its tombstone: secrets, indexes and all other fields are gone. `start`: on which Redis everything else
     * of it was taken away (`startOfRedis`); one that was started since may have that back. Throws Failure redis_unavailable, and leaves no
     * tombstone, on another start, or when Redis does not know that the resource is being removed: it forgot.
     */
    bury: async (resource: Resource, start?: string): Promise<void> => {
      const state = await redis.hget(resourceKey(resource.id), 'state');
      if (state === 'removed') return;
      if (state !== 'deprovisioning')
        throw new Failure('redis_unavailable', `It lost data: resource ${resource.id} is ${state ?? 'unknown'}.`);
      await strike(redis, resource);
      const { id } = resource;
      const reply = await runScript(
        redis,
        'resource',
        [resourceKey(id)],
        ['', '', '["deprovisioning"]', JSON.stringify(tombstoneOf(resource)), '["*"]', start ?? ''],
      );
      if (Array.isArray(reply) && reply[1] === 'changed')
        throw new Failure('redis_unavailable', `It was started anew while resource ${id} was removed, and may have lost a part of that.`);
      for (const kind of Object.keys(SECRETS)) lastOpened.delete(`${kind}:${id}`);
      byBucket.clear();
      byApp.clear();
    },

    setCredentials: async (id: string, credentials: ResourceCredentials): Promise<void> => {
      const { done } = await change(id, { secrets: { credentials } });
      if (!done) throw new Failure('conflict', `Resource ${id} is not installed, so it gets no credentials.`);
    },

    /** The resource with the credentials that its dynos get; undefined when it is gone or going. */
    launchable: async (id: string): Promise<{ resource: Resource; credentials: ResourceCredentials | undefined } | undefined> => {
      const record = await redis.hgetall(resourceKey(id));
      const found = readResource(id, record);
      if (found === undefined || !isAlive(found)) return undefined;
      return { resource: found, credentials: open(id, 'credentials', record[DATA_KEY], record[secretField('credentials')]) };
    },

    /** A secret of the resource; undefined when it has none of that kind. */
    secret: async <Kind extends SecretKind>(id: string, kind: Kind): Promise<Secrets[Kind] | undefined> => {
      const [dataKey, sealed] = await redis.hmget(resourceKey(id), DATA_KEY, secretField(kind));
      return open(id, kind, dataKey, sealed);
    },

    /** A secret as `secret` answers it, and its sealed text, by which `change` knows whether it still stands. */
    sealedSecret: async <Kind extends SecretKind>(
      id: string,
      kind: Kind,
    ): Promise<{ readonly value: Secrets[Kind]; readonly sealed: string } | undefined> => {
      const [dataKey, sealed] = await redis.hmget(resourceKey(id), DATA_KEY, secretField(kind));
      const value = open(id, kind, dataKey, sealed);
      return value === undefined ? undefined : { value, sealed: sealed ?? '' };
    },

    /** Wraps the resource's data key by the current master key; answers whether it was another one before. */
    rewrap: async (id: string): Promise<boolean> => {
      const wrapped = await redis.hget(resourceKey(id), DATA_KEY);
      const next = wrapped === null ? undefined : sealer.rewrap(id, wrapped);
      if (next === undefined) return false;
      await change(id, { from: ['provisioning', 'provisioned', 'failed', 'deprovisioning'], set: { [DATA_KEY]: next } });
      return true;
    },
  };
}

/** The field of the record that a name of Resource, or a kind of secret, stands for. */
function fieldOf(name: string): string {
  return Object.hasOwn(SECRETS, name) ? secretField(name as SecretKind) : name;
}
