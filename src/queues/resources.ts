import type { Redis } from 'ioredis';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure } from '../schema/failures.ts';
import { bucketKey, RESOURCES_KEY, resourceKey } from './keys.ts';
import type { Sealer } from './secrets.ts';

/** One installed add-on: one app, one bucket, one set of credentials, one plan. */
export const Resource = Type.Object({
  id: Type.String(),
  app: Type.String(),
  bucket: Type.String(),
  region: Type.String(),
  plan: Type.String(),
  /** Whether tasks may run any command, or process types of the Procfile alone; without it any. */
  commands: Type.Optional(Type.Union([Type.Literal('any'), Type.Literal('procfile')])),
});
export type Resource = Static<typeof Resource>;

const Credentials = Type.Object({
  accessKeyId: Type.String(),
  secretAccessKey: Type.String(),
  sessionToken: Type.String(),
  expiresAt: Type.Number(),
});
export type ResourceCredentials = Static<typeof Credentials>;

const resource = Compile(Resource);
const credentials = Compile(Credentials);

/** Milliseconds that a bucket's resource is remembered in this process; a removed one is noticed within that time. */
const CACHE_MS = 5_000;

export type Resources = ReturnType<typeof createResources>;

/** The records of installed add-ons. Credentials are sealed at rest. */
export function createResources(deps: { redis: Redis; sealer: Sealer; now: () => number }) {
  const { redis, sealer, now } = deps;
  /** The last sealed text of each resource and what was in it: opening it again for every launch would be waste. */
  const lastOpened = new Map<string, { sealed: string; credentials: ResourceCredentials }>();
  const byBucket = new Map<string, { until: number; resource: Resource | undefined }>();

  const get = async (id: string): Promise<Resource | undefined> => readResource(id, await redis.hgetall(resourceKey(id)));

  const opened = (id: string, sealed: string | undefined): ResourceCredentials | undefined => {
    if (sealed === undefined) return undefined;
    const last = lastOpened.get(id);
    if (last?.sealed === sealed) return last.credentials;
    const parsed: unknown = JSON.parse(sealer.open(id, sealed));
    if (!credentials.Check(parsed)) throw new Failure('internal', `The credentials of resource ${id} are damaged.`);
    lastOpened.set(id, { sealed, credentials: parsed });
    return parsed;
  };

  return {
    get,

    /** Idempotent by id. */
    put: async (next: Resource): Promise<void> => {
      await redis.hset(resourceKey(next.id), next);
      await redis.set(bucketKey(next.bucket), next.id);
      await redis.sadd(RESOURCES_KEY, next.id);
      byBucket.delete(next.bucket);
    },

    /** Whose bucket this is: the one source of tenant identity. */
    ofBucket: async (bucket: string): Promise<Resource | undefined> => {
      const cached = byBucket.get(bucket);
      if (cached !== undefined && cached.until > now()) return cached.resource;
      const id = await redis.get(bucketKey(bucket));
      const found = id === null ? undefined : await get(id);
      // an unknown bucket is asked for again next time: it may be provisioned this very moment
      if (found !== undefined) byBucket.set(bucket, { until: now() + CACHE_MS, resource: found });
      else byBucket.delete(bucket);
      return found;
    },

    list: async (): Promise<readonly Resource[]> => {
      const found = await Promise.all((await redis.smembers(RESOURCES_KEY)).map(get));
      return found.filter((x) => x !== undefined);
    },

    setCredentials: async (id: string, next: ResourceCredentials): Promise<void> => {
      await redis.hset(resourceKey(id), 'credentials', sealer.seal(id, JSON.stringify(next)));
    },

    /** The resource with the credentials that its dynos get; undefined when it is gone. */
    launchable: async (id: string): Promise<{ resource: Resource; credentials: ResourceCredentials | undefined } | undefined> => {
      const record = await redis.hgetall(resourceKey(id));
      const found = readResource(id, record);
      return found === undefined ? undefined : { resource: found, credentials: opened(id, record['credentials']) };
    },

    /** The credentials that dynos get; undefined before the first were issued. */
    credentials: async (id: string): Promise<ResourceCredentials | undefined> =>
      opened(id, (await redis.hget(resourceKey(id), 'credentials')) ?? undefined),
  };
}

/** undefined: no such record. Throws Failure internal for a damaged one. */
function readResource(id: string, record: Readonly<Record<string, string>>): Resource | undefined {
  if (Object.keys(record).length === 0) return undefined;
  const { credentials: _sealed, ...plain } = record;
  if (!resource.Check(plain)) throw new Failure('internal', `The record of resource ${id} is damaged.`);
  return plain;
}
