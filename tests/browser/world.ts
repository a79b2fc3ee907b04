// What the browser tests look at: the real web side on a real Redis, behind a real port, with an engine whose dynos are
// scripts. The whole local cloud with real dynos is watched in whole.test.ts.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { openWebApp } from '../../src/cli/web-app.ts';
import { readConfig } from '../../src/schema/config.ts';
import { startRedis } from '../support/redis-server.ts';
import type { Script } from '../support/scripted-cloud.ts';
import { startTestEngine } from '../support/test-engine.ts';
import { until } from '../support/until.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Dynos by the first word of their command. */
export const SCRIPTS: Record<string, Script> = {
  quick: async (dyno) => {
    dyno.up(60);
    dyno.exit(400);
    await dyno.output(300, { ld_state: 'resized to 640 × 480' });
    return dyno.accept();
  },
  slow: async (dyno) => {
    dyno.up(100);
    dyno.exit(1400);
    await dyno.output(1300);
    return dyno.accept();
  },
  never: (dyno) => {
    dyno.up(50);
    return dyno.accept();
  },
  fails: (dyno) => {
    dyno.up(40);
    dyno.exit(260, 1);
    return dyno.accept();
  },
  second: async (dyno) => {
    dyno.up(40);
    if (dyno.post.attempt === 1) dyno.exit(200, 1);
    else {
      dyno.exit(500);
      await dyno.output(420);
    }
    return dyno.accept();
  },
};

/** Redis, engine and web side of a test's own. */
export async function startWorld(scripts: Record<string, Script> = SCRIPTS, options: Parameters<typeof startRedis>[0] = {}) {
  const redis = await startRedis(options);
  const held: (() => void)[] = [];
  const hold: Script = (dyno) => {
    dyno.up(50);
    held.push(() => {
      dyno.exit(100);
      void dyno.output(60);
    });
    return dyno.accept();
  };
  const engine = await startTestEngine(redis, { ...scripts, hold });
  const config = readConfig({
    AUTOFILES_MODE: 'local',
    AUTOFILES_REDIS_SOCKET: redis.socket,
    AUTOFILES_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
    AUTOFILES_RESOURCE: engine.resource,
    AUTOFILES_API_TOKEN: 'af_test',
    LOG_LEVEL: 'silent',
  });
  const web = await openWebApp(config, quiet, { platform: engine.cloud.platform, store: engine.cloud.store });
  const server = createAdaptorServer({ fetch: web.app.fetch });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    redis,
    engine,
    /** Lets the dynos go on whose command is `hold`. */
    release: () => {
      for (const go of held.splice(0)) go();
    },
    /** Uploads a workflow; answers with its run's id once the run has a page: until then that is one of what is not there. */
    begun: async (...order: Parameters<typeof engine.upload>): Promise<string> => {
      const id = engine.upload(...order);
      await until(`run ${id}`, async () => await engine.show(id));
      return id;
    },
    url: `http://127.0.0.1:${port}`,
    token: config.apiToken ?? '',
    stop: async () => {
      server.close();
      if ('closeAllConnections' in server) server.closeAllConnections();
      await web.close();
      await engine.stop();
      await redis.stop();
    },
  };
}
export type World = Awaited<ReturnType<typeof startWorld>>;
