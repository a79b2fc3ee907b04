// Health of the whole, as the web process tells it.
import type { Redis } from 'ioredis';
import type { OpsDeps } from '../http/ops.ts';
import { startLoop } from '../processors/loop.ts';
import { duplicate, readiness } from '../queues/connection.ts';
import { createFleet } from '../queues/fleet.ts';
import { createWorkerSigns } from '../queues/worker-signs.ts';
import type { Config } from '../schema/config.ts';
import type { Log } from '../schema/log.ts';
import { NO_TELEMETRY, relayed, type Telemetry, toAll } from '../schema/telemetry.ts';
import type { Metrics } from './metrics.ts';
import { metricsAccess, openMetrics, openTraces } from './observability.ts';

/** Milliseconds that Redis may take to answer a look at what is due. */
const LOOK_DEADLINE_MS = 5_000;

/** Starts looking at the workers; what it opens is closed with it, `redis` is the caller's. */
export async function openWebOps(deps: {
  redis: Redis;
  config: Pick<Config, 'shards' | 'stallMs' | 'mode' | 'metricsToken' | 'tracing' | 'launchesPerHour'>;
  log: Log;
}): Promise<{ ops: OpsDeps; telemetry: Telemetry; close(): Promise<void> }> {
  const { redis, config, log } = deps;
  const every = Math.min(5_000, Math.ceil(config.stallMs / 6));
  // a connection of its own that gives up: what is wrong with the other one must not hide here
  const probe = duplicate(redis, { commandTimeout: LOOK_DEADLINE_MS });
  probe.on('error', (error) => log.debug({ error: error.message }, 'health connection'));
  const shards = () => Array.from({ length: config.shards }, (_, shard) => shard);
  const fleet = createFleet({
    redis: probe,
    signs: createWorkerSigns({ redis: probe }),
    shards,
    limit: config.stallMs,
    every,
    monotonic: () => performance.now(),
  });
  const looking = startLoop({ name: 'health', every, log, turn: fleet.look });
  // counted from when somebody asks first: what a counter had before its first sample is in no rate
  let metrics: Promise<Metrics> | undefined;
  let counting: Telemetry = NO_TELEMETRY;
  const render = async () => {
    metrics ??= openMetrics({
      redis: probe,
      shards,
      perHour: config.launchesPerHour,
      stalled: () => fleet.report().problems.length,
      fleet: fleet.report,
      log,
    });
    const opened = await metrics;
    counting = opened.telemetry;
    return await opened.render();
  };
  const tracing = await openTraces({ redis, tracing: config.tracing, log });
  return {
    ops: {
      health: fleet.report,
      ready: readiness(redis),
      metrics: metricsAccess(config, render),
    },
    telemetry: toAll([relayed(() => counting), tracing.telemetry]),
    close: async () => {
      await looking.stop();
      await tracing.close();
      probe.disconnect();
    },
  };
}
