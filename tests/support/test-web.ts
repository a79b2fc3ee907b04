// The HTTP side of this test's own: its routes without a socket, wired as `autofiles web` wires them.
import { randomUUID } from 'node:crypto';
import { openWebApp } from '../../src/cli/web-app.ts';
import type { ObjectStore } from '../../src/clients/ports.ts';
import { readConfig } from '../../src/schema/config.ts';
import type { Log } from '../../src/schema/log.ts';
import type { TestRedis } from './redis-server.ts';

const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export interface TestWeb {
  /** The resource of the local token. */
  readonly resource: string;
  /** All routes, as Hono has them. */
  readonly routes: readonly { readonly method: string; readonly path: string }[];
  /** The local token, which may do everything. */
  readonly token: string;
  /** Sends a request; with the local token unless another one is given (undefined: none). A body is sent as JSON. */
  call(method: string, path: string, options?: CallOptions): Promise<Response>;
  /** Serves one request, for a server with a socket. */
  fetch(request: Request): Response | Promise<Response>;
  close(): Promise<void>;
}

interface CallOptions {
  readonly token?: string | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** `store` stands in for S3; `env` adds variables to the configuration. */
export async function openTestWeb(
  redis: Pick<TestRedis, 'socket' | 'cluster'>,
  options: { resource?: string; env?: Readonly<Record<string, string>>; store?: ObjectStore } = {},
): Promise<TestWeb> {
  const resource = options.resource ?? randomUUID();
  const token = randomUUID();
  const config = readConfig({
    AUTOFILES_MODE: 'test',
    ...(redis.cluster === undefined ? { AUTOFILES_REDIS_SOCKET: redis.socket } : { AUTOFILES_REDIS_CLUSTER: redis.cluster.join() }),
    AUTOFILES_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
    AUTOFILES_API_TOKEN: token,
    AUTOFILES_RESOURCE: resource,
    ...options.env,
  });
  const { app, close } = await openWebApp(config, quiet, options.store === undefined ? {} : { store: options.store });
  return {
    resource,
    token,
    routes: app.routes,
    fetch: (request) => app.fetch(request),
    call: async (method, path, { body, headers = {}, signal, ...rest } = {}) => {
      const sent = 'token' in rest ? rest.token : token;
      return await app.request(`http://127.0.0.1${path}`, {
        method,
        headers: {
          host: '127.0.0.1',
          ...(sent === undefined ? {} : { authorization: `Bearer ${sent}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
      });
    },
    close,
  };
}
