// What a machine asks: is it alive, is it ready. Answers carry counts alone, since they need no token.
import { Hono } from 'hono';
import { Failure } from '../schema/failures.ts';
import { problem } from './problem.ts';

/** Whether what should happen happens, and in a sentence each what does not. */
export interface Health {
  readonly healthy: boolean;
  readonly problems: readonly string[];
}

export interface OpsDeps {
  /** Liveness is progress: red when work is due and nobody serves it. */
  readonly health: () => Health;
  /** Whether this process can answer requests: Redis answers. Never rejects. */
  readonly ready: () => Promise<boolean>;
}

export function opsRoutes(deps: OpsDeps): Hono {
  const app = new Hono();
  app.get('/healthz', (c) => {
    const { healthy, ...more } = deps.health();
    return c.json({ status: healthy ? 'ok' : 'stalled', ...more }, healthy ? 200 : 503, { 'cache-control': 'no-store' });
  });
  app.get('/readyz', async (c) =>
    (await deps.ready()) ? c.json({ status: 'ready' }) : problem(c, new Failure('redis_unavailable', 'Look at the process that runs it.')),
  );
  return app;
}
