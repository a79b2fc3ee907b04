import { serve } from '@hono/node-server';
import { checkSafety, connect } from '../queues/connection.ts';
import { readConfig } from '../schema/config.ts';
import { endWithSupervisor, stopOnSignal, tellReady } from './graceful.ts';
import { SERVER_LIMITS } from './server-limits.ts';
import { openWebApp } from './web-app.ts';
import { createLog } from './wiring.ts';

/** `autofiles web`: the HTTP side. */
export async function runWeb(env: NodeJS.ProcessEnv): Promise<void> {
  endWithSupervisor(env);
  const config = readConfig(env);
  const log = createLog(config, 'web');
  const probe = connect(config.redis, () => {});
  for (const warning of await checkSafety(probe)) log.warn({}, warning);
  probe.disconnect();
  const { app, close } = await openWebApp(config, log);
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
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // streams that follow a run would keep the server open for ever
      if ('closeAllConnections' in server) setTimeout(() => server.closeAllConnections(), 1_000).unref();
      await closed;
      await close();
    },
    (line) => log.info({}, line),
  );
}
