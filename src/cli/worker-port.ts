import { serve } from '@hono/node-server';
import { type OpsDeps, opsRoutes } from '../http/ops.ts';
import type { Config } from '../schema/config.ts';
import type { Log } from '../schema/log.ts';

/** Opens the worker's own port for health and metrics. Throws what the system says when it is taken. */
export async function openWorkerPort(
  deps: OpsDeps & { config: Pick<Config, 'httpHost'>; port: number; log: Log },
): Promise<{ port: number; close(): Promise<void> }> {
  const app = opsRoutes({ health: deps.health, ready: deps.ready, metrics: deps.metrics });
  return await new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: deps.config.httpHost, port: deps.port }, ({ port }) => {
      deps.log.info({ port }, 'worker port opened');
      resolve({
        port,
        close: async () => {
          const closed = new Promise<void>((done) => server.close(() => done()));
          if ('closeAllConnections' in server) server.closeAllConnections();
          await closed;
        },
      });
    });
    server.on('error', reject);
  });
}
