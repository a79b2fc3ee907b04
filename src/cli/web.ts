import { randomUUID } from 'node:crypto';
import { serve } from '@hono/node-server';
import { createApp } from '../http/app.ts';
import { openChannel } from '../queues/channel.ts';
import { connect } from '../queues/connection.ts';
import { runIdOf } from '../queues/identity.ts';
import { createPlanner } from '../queues/planner.ts';
import { replay } from '../queues/replay.ts';
import { createRuns } from '../queues/runs.ts';
import { listRuns, readRun } from '../queues/views.ts';
import { readConfig } from '../schema/config.ts';
import { messageOf } from '../schema/failures.ts';
import { parseRunId } from '../schema/ids.ts';
import { endWithSupervisor, stopOnSignal, tellReady } from './graceful.ts';
import { createLog } from './wiring.ts';

/** Milliseconds that Redis may take to answer the readiness check. */
const READY_MS = 2_000;

/** `autofiles web`: the HTTP side. */
export async function runWeb(env: NodeJS.ProcessEnv): Promise<void> {
  endWithSupervisor(env);
  const config = readConfig(env);
  const log = createLog(config, 'web');
  const onError = (error: Error) => log.warn({ error: messageOf(error) }, 'redis connection');
  const redis = connect(config.redis, onError);
  const channel = await openChannel({ connection: redis, shards: config.shards, onError });
  const runs = createRuns({ redis });
  const planners = Array.from({ length: config.shards }, (_, shard) =>
    createPlanner({ shard, connection: redis, onError, failpoint: () => {} }),
  );
  const app = createApp({
    token: config.apiToken,
    resource: config.resource ?? '',
    hosts: config.mode === 'production' ? undefined : ['127.0.0.1', 'localhost', '[::1]'],
    ready: async () => {
      const late = new Promise<false>((resolve) => setTimeout(resolve, READY_MS, false).unref());
      return await Promise.race([redis.ping().then((reply) => reply === 'PONG'), late]);
    },
    show: (runId) => readRun(redis, runId),
    list: (query) => listRuns(redis, { ...query, shards: config.shards }),
    runIdOf: (event) => runIdOf(event, config.shards),
    cancel: runs.cancel,
    id: randomUUID,
    retry: async (order) => {
      const runId = await replay({ redis, runs }, { ...order, cap: config.runsPerMinute });
      await planners[parseRunId(runId)?.shard ?? 0]?.defer(runId);
      return runId;
    },
    listen: channel.listen,
    log,
  });
  const server = serve({ fetch: app.fetch, hostname: config.httpHost, port: config.httpPort }, ({ port }) => {
    log.info({ port }, 'web started');
    tellReady(port);
  });
  server.on('error', (error: Error) => {
    log.fatal({ error: error.message }, 'web cannot listen');
    process.exit(1);
  });
  stopOnSignal(
    async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // streams that follow a run would keep the server open for ever
      if ('closeAllConnections' in server) setTimeout(() => server.closeAllConnections(), 1_000).unref();
      await closed;
      channel.close();
      await Promise.all(planners.map((planner) => planner.close()));
      redis.disconnect();
    },
    (line) => log.info({}, line),
  );
}
