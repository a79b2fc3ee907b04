// A route of the REST API and its entry in the OpenAPI document are one thing: the schemas that check a call are the
// schemas that describe it, so neither can be without the other.
import { createHash } from 'node:crypto';
import { type Context, Hono } from 'hono';
import Type, { type Static, type TObject, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Failure, type FailureCode } from '../schema/failures.ts';
import type { PrincipalEnv } from './principal.ts';
import { readBody } from './read-body.ts';
import { queryReader } from './read-query.ts';

/** A call as a reader of the document would make it; the API's tests make it, too. */
export interface ApiExample {
  readonly summary: string;
  /** Values of the `{…}` in the path. */
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export interface ApiOperation {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** Below `/v1`, with OpenAPI's `{name}` for parameters; `{name...}` takes slashes, too. */
  readonly path: string;
  /** operationId. */
  readonly id: string;
  readonly tag: string;
  /** One line. */
  readonly summary: string;
  readonly description?: string;
  /** What the parameters in the path are. */
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: TObject;
  readonly body?: TSchema;
  readonly status?: 200 | 201 | 202 | 204;
  readonly reply?: TSchema;
  /** The media type of the answer when it is not JSON. */
  readonly media?: 'text/event-stream' | 'text/plain';
  /** What can go wrong beside what every route answers (openapi.ts: ALWAYS). */
  readonly failures?: readonly FailureCode[];
  readonly examples: readonly [ApiExample, ...ApiExample[]];
  /** Whether a POST changes nothing, so that the scope `read` is enough. */
  readonly retrieves?: boolean;
}

export interface ApiRoute {
  readonly operation: ApiOperation;
  readonly handle: (c: Context<PrincipalEnv>) => Promise<Response>;
}

interface Call<Q, B> {
  readonly c: Context<PrincipalEnv>;
  /** The resource that the caller may see and act on. */
  readonly resource: string;
  readonly query: Q;
  readonly body: B;
  /** A parameter of the path, decoded. */
  readonly param: (name: string) => string;
}

const Nothing = Type.Object({});

/**
 * Makes a route of its entry and what it does. Query and body are checked before `handle` is called; what it answers is
 * sent with the entry's status, a Response as it is.
 */
export function apiRoute<R extends TSchema, Q extends TObject = typeof Nothing, B extends TSchema = typeof Nothing>(
  operation: Omit<ApiOperation, 'query' | 'body' | 'reply'> & { readonly query?: Q; readonly body?: B; readonly reply?: R },
  handle: (call: Call<Static<Q>, Static<B>>) => Promise<Static<R> | Response>,
): ApiRoute {
  const readQuery = queryReader(operation.query ?? Nothing);
  const body = operation.body === undefined ? undefined : Compile(operation.body);
  return {
    operation,
    handle: async (c) => {
      const reply = await handle({
        c,
        resource: c.var.principal.resource,
        query: readQuery(c.req.queries()) as Static<Q>,
        // Compile's check is the type's proof
        body: (body === undefined ? {} : await readBody(c, body)) as Static<B>,
        param: (name) => c.req.param(name) ?? '',
      });
      if (reply instanceof Response) return reply;
      const status = operation.status ?? 200;
      if (status === 204) return c.body(null, 204);
      const text = JSON.stringify(reply);
      const headers = { 'content-type': 'application/json' };
      if (operation.method !== 'get') return c.body(text, status, headers);
      // whoever asks again and again is told that nothing has changed, and saves the transfer
      const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
      const cached = { etag, 'cache-control': 'private, no-cache', vary: 'authorization, cookie' };
      if (isKnown(c.req.header('if-none-match'), etag)) return c.body(null, 304, cached);
      return c.body(text, status, { ...headers, ...cached });
    },
  };
}

/** If-None-Match (RFC 9110, 13.1.2): compared weakly. */
function isKnown(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.trim() === '*' || header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

/** The routes as an app to be mounted at `/v1`. */
export function mountRoutes(routes: readonly ApiRoute[]): Hono<PrincipalEnv> {
  const app = new Hono<PrincipalEnv>();
  for (const { operation, handle } of routes) app.on(operation.method.toUpperCase(), honoPath(operation.path), handle);
  return app;
}

/** Whether a POST to this path only asks. */
export function retrievingPaths(routes: readonly ApiRoute[]): (path: string) => boolean {
  const paths = routes.flatMap(({ operation }) => (operation.retrieves ? [`/v1${operation.path}`] : []));
  return (path) => paths.includes(path);
}

/** `/files/{key...}` as Hono spells it. */
function honoPath(path: string): string {
  return path.replace(/\{(\w+)\.\.\.\}/g, ':$1{.+}').replace(/\{(\w+)\}/g, ':$1');
}

/** Throws the failure of a thing that is not there, or that belongs to somebody else: the same answer for both. */
export function notFound(what: string): Failure {
  return new Failure('not_found', `Found no ${what}.`);
}
