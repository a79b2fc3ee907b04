// What a machine asks: is it alive, is it ready. Answers carry counts alone, since they need no token.
import { Hono } from 'hono';
import { Failure } from '../schema/failures.ts';
import { problem } from './problem.ts';
import { sameSecret } from './same-secret.ts';

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
  /** Undefined: this process has none. */
  readonly metrics: MetricsAccess | undefined;
}

export interface MetricsAccess {
  /** What a scraper must send as a bearer token; 'open' on loopback; undefined: closed until one is set. */
  readonly token: string | 'open' | undefined;
  readonly render: () => Promise<{ readonly type: string; readonly text: string }>;
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
  const { metrics } = deps;
  if (metrics !== undefined) {
    app.get('/metrics', async (c) => {
      if (metrics.token !== 'open' && !carries(c.req.header('authorization'), metrics.token)) {
        c.header('www-authenticate', 'Bearer');
        return problem(c, new Failure('unauthorized', 'Send `Authorization: Bearer <token>` with the value of AUTOFILES_METRICS_TOKEN.'));
      }
      const { type, text } = await metrics.render();
      return c.body(text, 200, { 'content-type': type });
    });
  }
  return app;
}

function carries(authorization: string | undefined, token: string | undefined): boolean {
  const found = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1];
  return token !== undefined && found !== undefined && sameSecret(found, token);
}
