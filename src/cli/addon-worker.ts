// The add-on's part of a worker process: what is done to whole resources.
import { startAddonWorker } from '../processors/addon.ts';
import { accountBeginner } from '../processors/begin-account.ts';
import { observedRuns } from '../processors/observed.ts';
import { createResourceArchive } from '../processors/resource-archive.ts';
import { connect } from '../queues/connection.ts';
import type { Layout } from '../queues/layout.ts';
import { createPurge } from '../queues/purge.ts';
import { createResourceBackup } from '../queues/resource-backup.ts';
import { createRuns } from '../queues/runs.ts';
import { createSessions } from '../queues/sessions.ts';
import { createTokens } from '../queues/tokens.ts';
import { rewrapWebhooks } from '../queues/webhook-keys.ts';
import type { Config } from '../schema/config.ts';
import type { Failpoint } from '../schema/failpoint.ts';
import { messageOf } from '../schema/failures.ts';
import type { Log } from '../schema/log.ts';
import type { Telemetry } from '../schema/telemetry.ts';
import { createProbe } from './launch-leave.ts';
import { type createClients, hookParts, queueArnOf } from './wiring.ts';
import { createAddonParts } from './wiring-addon.ts';

/** Milliseconds between two looks at all resources in production; locally they are few and somebody waits. */
const LOOK_MS = 300_000;
const LOCAL_LOOK_MS = 5_000;

/** `platform` is the one by which the engine reaches the apps: with the token that each resource brought along. */
export async function openAddonWorker(deps: {
  config: Config;
  layout: Pick<Layout, 'served'>;
  clients: ReturnType<typeof createClients>;
  failpoint: Failpoint;
  telemetry: Telemetry;
  log: Log;
}) {
  const { config, layout, clients, failpoint, log } = deps;
  const onError = (error: Error) => log.warn({ error: messageOf(error) }, 'redis connection');
  const redis = connect(config.redis, onError);
  const listeners = new Set<(remaining: number) => void>();
  const onRateLimit = (remaining: number) => {
    for (const listener of listeners) listener(remaining);
  };
  const parts = createAddonParts({ config, redis, sealer: clients.sealer, onError, onRateLimit });
  const worker = async (whole: () => Promise<number>) =>
    await startAddonWorker({
      ...parts,
      issuer: clients.issuer,
      buckets: clients.buckets,
      queueArn: async () => await queueArnOf(config, clients.queue),
      beginAccount: accountBeginner({ ...clients, ...config, log }),
      identity: clients.issuer.identity,
      runs: observedRuns(createRuns({ redis }), deps.telemetry),
      purge: createPurge({ redis, shards: layout.served }),
      tokens: createTokens({ redis, now: Date.now }),
      sessions: createSessions({ redis }),
      rewrapWebhooks: async (resource) => await rewrapWebhooks({ redis, sealer: clients.sealer }, resource),
      archive: createResourceArchive({ ...clients, ...config, backup: createResourceBackup({ redis }), log }),
      whole,
      probe: createProbe(parts, config),
      ...hookParts(config.addon.publicUrl),
      asyncDeprovision: config.addon.asyncDeprovision,
      connection: redis,
      lockMs: config.lockMs,
      lookMs: config.mode === 'production' ? LOOK_MS : LOCAL_LOOK_MS,
      now: Date.now,
      failpoint,
      log,
    });
  return {
    platform: parts.platform,
    /** Calls back whenever that platform tells how many calls are left of the one account by which all are made. */
    onRateLimit: (listener: (remaining: number) => void) => {
      listeners.add(listener);
    },
    /** Begins working; answers with the way to stop, which leaves `platform` as it is. `whole`: of the engine of this process. */
    start: async (whole: () => Promise<number>) => {
      const running = await worker(whole);
      return async () => {
        await running.stop();
        await parts.jobs.close();
      };
    },
    /** For when nobody uses `platform` any more: the token of each app is read by this connection. */
    close: () => redis.disconnect(),
  };
}
