// Metrics and traces of one process, each loaded only where somebody asked for it.
import type { Redis } from 'ioredis';
import { within } from '../clients/deadline.ts';
import type { MetricsAccess } from '../http/ops.ts';
import { sharedCall } from '../processors/shared-call.ts';
import { ADDON_ACCOUNT, createBudget } from '../queues/budget.ts';
import { readFigures } from '../queues/figures.ts';
import type { FleetReport } from '../queues/fleet.ts';
import { shardKeys } from '../queues/keys.ts';
import { readRun } from '../queues/views.ts';
import type { Config } from '../schema/config.ts';
import { messageOf } from '../schema/failures.ts';
import { parseRunId } from '../schema/ids.ts';
import type { Log } from '../schema/log.ts';
import { spansOf } from '../schema/run-spans.ts';
import { NO_TELEMETRY, type Telemetry } from '../schema/telemetry.ts';
import type { Metrics } from './metrics.ts';

/** Ended runs whose spans may be read at the same time; more than these in a moment go without a trace. */
const TRACES_AT_ONCE = 200;

/** Milliseconds that Redis may take to tell the figures; Prometheus waits for ten seconds for all of an answer. */
const FIGURES_MS = 5_000;

/** The metrics of this process. `redis` is the caller's and used for reading alone. */
export async function openMetrics(deps: {
  redis: Redis;
  shards: () => readonly number[];
  /** Platform API calls that the account may make in an hour. */
  perHour: number;
  /** Kinds of work that are due and not served. */
  stalled: () => number;
  fleet?: () => FleetReport;
  log: Log;
}): Promise<Metrics> {
  const { createMetrics } = await import('./metrics.ts');
  const budget = createBudget({ redis: deps.redis, perHour: deps.perHour, log: deps.log });
  return createMetrics({
    budget: inTime(() => budget.state(ADDON_ACCOUNT)),
    figures: inTime(() => readFigures(deps.redis, deps.shards())),
    runSeconds: async (runId) => {
      const [at, end] = await numbersOf(deps.redis, runId, 'at', 'end');
      return at === undefined || end === undefined ? undefined : (end - at) / 1000;
    },
    stalled: deps.stalled,
    ...(deps.fleet === undefined ? {} : { fleet: deps.fleet }),
    onError: (error) => deps.log.debug({ error: messageOf(error) }, 'figures not read'),
  });
}

/**
 * Gives a read up in time, whatever its connection does: ioredis keeps what is asked while Redis is away, and a cluster does so without any timeout. Whoever
 * asks meanwhile gets the answer to the same read, so that there are no more of them the longer Redis is away.
 */
function inTime<T>(read: () => Promise<T>): () => Promise<T> {
  const shared = sharedCall(read);
  return async () => await within({}, FIGURES_MS, shared);
}

/** Who may read the metrics: on a developer's machine everybody, in production whoever has the token. */
export function metricsAccess(config: Pick<Config, 'mode' | 'metricsToken'>, render: Metrics['render']): MetricsAccess {
  return { token: config.metricsToken ?? (config.mode === 'production' ? undefined : 'open'), render };
}

/** One trace per ended run, where an endpoint is set. `close` sends what is left. */
export async function openTraces(deps: {
  redis: Redis;
  tracing: Config['tracing'];
  log: Log;
}): Promise<{ readonly telemetry: Telemetry; close(): Promise<void> }> {
  const { redis, log } = deps;
  if (deps.tracing === undefined) return { telemetry: NO_TELEMETRY, close: async () => await Promise.resolve() };
  const { openTracing } = await import('./tracing.ts');
  const tracing = openTracing(deps.tracing.service);
  const reading = new Set<Promise<void>>();
  const trace = async (runId: string) => {
    const [run, [uploaded]] = await Promise.all([readRun(redis, runId), numbersOf(redis, runId, 'uploaded')]);
    if (run === undefined) return;
    const spans = spansOf(run, uploaded);
    if (!tracing.send(runId, spans)) log.warn({ runId, spans: spans.length }, 'trace not sent: too many spans wait for the collector');
  };
  return {
    telemetry: {
      ...NO_TELEMETRY,
      runEnded: (runId) => {
        if (reading.size >= TRACES_AT_ONCE) {
          log.warn({ runId }, 'trace not sent: too many runs ended at once');
          return;
        }
        const work: Promise<void> = trace(runId)
          .catch((error: unknown) => log.warn({ runId, error: messageOf(error) }, 'trace not sent'))
          .finally(() => reading.delete(work));
        reading.add(work);
      },
    },
    close: async () => {
      await Promise.all(reading);
      await tracing.close();
    },
  };
}

/** Numbers of a run's record. */
async function numbersOf(redis: Redis, runId: string, ...names: string[]): Promise<(number | undefined)[]> {
  const shard = parseRunId(runId)?.shard ?? 0;
  return (await redis.hmget(shardKeys(shard).run(runId), ...names)).map((text) => (text === null ? undefined : Number(text)));
}
