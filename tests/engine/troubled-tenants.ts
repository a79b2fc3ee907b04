// An engine with two tenants, of whom one is in trouble. Whoever imports this has it ended after each test.
import { afterEach } from 'vitest';
import type { DynoPlatform, LaunchOutcome } from '../../src/clients/ports.ts';
import type { EngineOptions } from '../../src/processors/engine.ts';
import { shardKeys } from '../../src/queues/keys.ts';
import { startRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';

/** What is to be ended after the test, last first. */
export const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** The keys of its one shard. */
export const keys = shardKeys(0);
/** A task without retries. */
export const task = (cmd: string, more: Record<string, unknown> = {}) => ({ cmd, timeout: 600, retries: 0, ...more });
/** A step of so many tasks. */
export const group = (n: number, cmd: string) => ({ parallel: Array.from({ length: n }, () => task(cmd)) });
const unknown: LaunchOutcome = { outcome: 'unknown', cause: 'HTTP 503' };
/** Makes launches of unknown fate count as lost 400 ms after their intent, where the list says so. */
export const SOON_LOST = { adoptMarginMs: -10_600 };
/** Milliseconds. */
export const DAY_MS = 86_400_000;
/** Says nothing. */
export const log = { debug() {}, info() {}, warn() {}, error() {} };

/** An engine with two tenants, of whom A is in trouble: what `change` says of the platform. */
export async function start(
  change: (platform: DynoPlatform, appOfA: () => string) => Partial<DynoPlatform>,
  overrides: Partial<EngineOptions> = {},
) {
  const server = await startRedis();
  ends.push(server.stop);
  let late: Parameters<Script>[0] | undefined;
  let refusals = 0;
  const engine = await startTestEngine(
    server,
    {
      live: (dyno) => dyno.accept('up'),
      ok: async (dyno) => {
        await dyno.output(5);
        return dyno.accept('up');
      },
      crash: (dyno) => {
        dyno.exit(5, 3);
        return dyno.accept();
      },
      unknown: (dyno) => {
        if (dyno.post.attempt > 1) return dyno.accept('up');
        late = dyno;
        return unknown;
      },
      throttled: () => ({ outcome: 'refused', heal: true, status: 429, id: 'rate_limit', message: 'no calls left' }),
      again_and_again: () => ({
        outcome: 'refused',
        heal: true,
        status: 429,
        id: 'rate_limit',
        message: 'no calls left',
        retryAfter: 0.1,
      }),
      for_long: () => {
        refusals += 1;
        const retryAfter = refusals === 1 ? 1 : 60;
        return { outcome: 'refused', heal: true, status: 429, id: 'rate_limit', message: 'no calls left', retryAfter };
      },
    },
    overrides,
  );
  ends.push(async () => await engine.stop());
  const [a, b] = [await engine.otherResource(), await engine.otherResource()];
  Object.assign(
    engine.cloud.platform,
    change({ ...engine.cloud.platform }, () => a.app),
  );
  const uploadTo = (one: typeof a, ...run: unknown[]) => engine.upload(run, undefined, one.bucket);
  const postsOf = (one: typeof a) => engine.cloud.posts.filter(({ order }) => order.env['LD_S3_BUCKET'] === one.bucket);
  return { server, engine, a, b, uploadTo, postsOf, appears: () => late?.accept('up') };
}
