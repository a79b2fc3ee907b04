// The pages of one given run on a port: the dashboard's own routes, without what stands behind them.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';
import { assetRoutes, loadAssets } from '../../src/http/dashboard/assets.ts';
import { logRoutes } from '../../src/http/dashboard/log-routes.ts';
import { runRoutes } from '../../src/http/dashboard/run-routes.ts';
import { type VisitEnv, visit } from '../../src/http/dashboard/visit.ts';
import { createStreams } from '../../src/http/streams.ts';
import type { RunView } from '../../src/schema/run-view.ts';

const unused = () => {
  throw new Error('nothing but looking is expected here');
};

/** Everybody may look, nobody is asked who they are. */
export async function serveRun(run: RunView): Promise<{ url: string; stop(): void }> {
  const assets = loadAssets();
  const app = new Hono<VisitEnv>();
  const streams = createStreams({ log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} } });
  app.route('/', assetRoutes(assets));
  app.use(
    '/runs/*',
    visit({
      assets,
      mode: 'test',
      visitors: [async () => await Promise.resolve({ kind: 'local', resource: run.resource, scope: 'write', name: 'test' } as const)],
      csrf: () => undefined,
      now: Date.now,
      ready: async () => await Promise.resolve(true),
      redisTrouble: () => ({ where: '', error: '' }),
      placeOf: async () => await Promise.resolve({ app: 'app', store: '' }),
    }),
  );
  app.route(
    '/',
    runRoutes({
      streams,
      show: async (id) => await Promise.resolve(id === run.id ? run : undefined),
      retry: unused,
      cancel: unused,
      document: unused,
      id: unused,
      listen: () => () => {},
    }),
  );
  app.route(
    '/',
    logRoutes({
      streams,
      show: async (id) => await Promise.resolve(id === run.id ? run : undefined),
      logs: { read: async () => await Promise.resolve([]), follow: async function* () {} },
      now: Date.now,
    }),
  );
  const server = createAdaptorServer({ fetch: app.fetch });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/runs/${run.id}`,
    stop: () => {
      server.close();
      if ('closeAllConnections' in server) server.closeAllConnections();
    },
  };
}
