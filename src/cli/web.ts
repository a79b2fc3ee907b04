import { serve } from '@hono/node-server';
import { checkSafety } from '../queues/connection.ts';
import { readConfig } from '../schema/config.ts';
import { drain } from './drain.ts';
import { endWithSupervisor, stopOnSignal, tellReady } from './graceful.ts';
import { SERVER_LIMITS } from './server-limits.ts';
import { openWebApp } from './web-app.ts';
import { connectFirst, createLog } from './wiring.ts';

/** Milliseconds that requests under way have when the process is to end: Heroku kills it after 30 s, and what they used is to be closed behind them. */
const DRAIN_MS = 20_000;

/** `autofiles web`: the HTTP side. */
export async function runWeb(env: NodeJS.ProcessEnv): Promise<void> {
  endWithSupervisor();
  const config = readConfig(env);
  const log = createLog(config, 'web');
  const probe = connectFirst(config.redis, log);
  for (const warning of await checkSafety(probe)) log.warn({}, warning);
  probe.disconnect();
  const { app, endStreams, close } = await openWebApp(config, log);
  const server = serve({ fetch: app.fetch, hostname: config.httpHost, port: config.httpPort, serverOptions: SERVER_LIMITS }, ({ port }) => {
    log.info({ port }, 'web started');
    tellReady(port);
  });
  server.on('error', (error: Error) => {
    log.fatal({ error: error.message }, 'web cannot listen');
    process.exit(1);
  });
  stopOnSignal(
    async () => {
      await drain(server, { endStreams, deadline: DRAIN_MS });
      await close();
    },
    (line) => log.info({}, line),
  );
}
