// A resource as its owner sees it: plan, usage, launch budget, age of the credentials.
import type { Redis } from 'ioredis';
import type { ResourceView } from '../schema/api-views.ts';
import { PLANS, planOf } from '../schema/plans.ts';
import { ADDON_ACCOUNT, type Budget } from './budget.ts';
import { shardKeys } from './keys.ts';
import type { Resources } from './resources.ts';

const DAY_MS = 86_400_000;
/** Milliseconds, 12 hours: how long credentials live (processors/provision.ts). */
const CREDENTIAL_LIFE_MS = 43_200_000;

/** undefined: no such resource. `now`: milliseconds since 1970. */
export async function readResourceView(
  deps: { redis: Redis; resources: Pick<Resources, 'launchable'>; budget: Budget; shards: number; now: () => number },
  id: string,
): Promise<ResourceView | undefined> {
  const { redis, budget } = deps;
  const found = await deps.resources.launchable(id);
  if (found === undefined) return undefined;
  const { resource, credentials } = found;
  const since = deps.now() - DAY_MS;
  const [state, paused, ...counts] = await Promise.all([
    budget.state(ADDON_ACCOUNT),
    budget.isPaused(ADDON_ACCOUNT, id),
    ...Array.from({ length: deps.shards }, async (_, shard) => {
      const keys = shardKeys(shard);
      return await Promise.all([
        redis.zcard(keys.byState(id, 'accepted')),
        redis.zcard(keys.byState(id, 'running')),
        redis.zcard(keys.byState(id, 'retrying')),
        redis.zcount(keys.byState(id, 'failed'), since, '+inf'),
        redis.zcount(keys.index(id), since, '+inf'),
        redis.hlen(keys.watch(id)),
      ]);
    }),
  ]);
  const sum = (...columns: readonly number[]) =>
    counts.reduce((all, row) => all + columns.reduce((n, column) => n + (row[column] ?? 0), 0), 0);
  const { name, price: _price, ...limits } = planOf(resource.plan) ?? PLANS.free;
  const issuedAt = credentials === undefined ? 0 : credentials.expiresAt - CREDENTIAL_LIFE_MS;
  return {
    id,
    app: resource.app_name ?? resource.app,
    bucket: resource.bucket,
    region: resource.region,
    commands: resource.commands ?? 'any',
    permission: resource.permission ?? 'static',
    paused,
    plan: { slug: resource.plan, name, limits },
    usage: { running: sum(0, 1), retrying: sum(2), failed_24h: sum(3), runs_24h: sum(4), dynos: sum(5) },
    budget: { per_hour: state.perHour, tokens: Math.max(0, state.tokens) },
    credentials:
      credentials === undefined
        ? null
        : {
            issued_at: new Date(issuedAt).toISOString(),
            expires_at: new Date(credentials.expiresAt).toISOString(),
            age_s: Math.round((deps.now() - issuedAt) / 1000),
          },
  };
}
