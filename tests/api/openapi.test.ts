// The document says what is: valid, complete, and each of its examples is sent.
import { Validator } from '@seriousme/openapi-schema-validator';
import { Redis } from 'ioredis';
import Schema from 'typebox/schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiRoutes } from '../../src/http/api.ts';
import type { ApiExample, ApiOperation } from '../../src/http/api-route.ts';
import { root, runStore, type TestStore } from '../store/running-store.ts';
import { startRedis, type TestRedis } from '../support/redis-server.ts';
import { openTestWeb, type TestWeb } from '../support/test-web.ts';
import { makeExampleWorld } from './example-world.ts';

interface Document {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly responses: Readonly<Record<string, { content?: Record<string, { schema: unknown }> }>> }>>
    >
  >;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

let server: TestRedis;
let store: TestStore;
let redis: Redis;
let web: TestWeb;
let document: Document;

beforeAll(async () => {
  server = await startRedis();
  store = await runStore();
  redis = new Redis({ path: server.socket });
  web = await openTestWeb(server, {
    env: {
      AUTOFILES_ARCHIVE_BUCKET: 'autofiles-archive',
      AUTOFILES_S3_ENDPOINT: store.endpoint,
      AUTOFILES_ACCESS_KEY_ID: root.accessKeyId,
      AUTOFILES_SECRET_ACCESS_KEY: root.secretAccessKey,
    },
  });
  document = (await (await web.call('GET', '/openapi.json', { token: undefined })).json()) as Document;
});

afterAll(async () => {
  await web?.close();
  redis?.disconnect();
  await store?.close();
  await server?.stop();
});

const makeWorld = async () => await makeExampleWorld({ redis, store, resource: web.resource });

/** References in place, so that a schema stands alone. */
function resolved(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(resolved);
  if (typeof schema !== 'object' || schema === null) return schema;
  if ('$ref' in schema) return resolved(document.components.schemas[String(schema.$ref).split('/').at(-1) ?? '']);
  return Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, resolved(value)]));
}

// only their entries are read: nothing is called
const operations: readonly ApiOperation[] = apiRoutes({ tasks: {}, files: {}, resources: {}, webhooks: {} } as unknown as Parameters<
  typeof apiRoutes
>[0]).map(({ operation }) => operation);
const everyExample = operations.flatMap((operation) => operation.examples.map((example) => ({ operation, example })));

const filled = ({ path }: ApiOperation, example: ApiExample) =>
  path.replace(/\{(\w+)(?:\.\.\.)?\}/g, (_, name: string) => {
    const value = example.path?.[name];
    if (value === undefined) throw new Error(`no example of {${name}} in ${path}`);
    return value;
  });

describe('the OpenAPI document', () => {
  it('is a valid OpenAPI 3.1 document', async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(structuredClone(document) as unknown as Record<string, unknown>);
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    expect(validator.version).toBe('3.1');
  });

  it('has every route under /v1, and no other', () => {
    const spelled = (path: string) => path.replace(/:(\w+)(\{[^}]*\})?/g, '{$1}');
    const served = web.routes
      .filter(({ method, path }) => method !== 'ALL' && path.startsWith('/v1'))
      .map(({ method, path }) => `${method} ${spelled(path)}`);
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect([...new Set(served)].sort()).toEqual(described.sort());
  });

  it('names every operation once', () => {
    expect(new Set(operations.map(({ id }) => id)).size).toBe(operations.length);
  });
});

describe('each example', () => {
  it.each(everyExample.map(({ operation, example }) => [`${operation.id}: ${example.summary}`, operation, example] as const))(
    '%s',
    async (_, operation, example) => {
      await makeWorld();
      const path = `/v1${filled(operation, example)}${example.query === undefined ? '' : `?${new URLSearchParams(example.query)}`}`;
      const stop = new AbortController();
      const response = await web.call(operation.method.toUpperCase(), path, {
        ...(example.body === undefined ? {} : { body: example.body }),
        signal: stop.signal,
      });
      const status = operation.status ?? 200;
      if (operation.media === 'text/event-stream') {
        expect(response.status).toBe(200);
        expect(response.headers.get('content-type')).toContain('text/event-stream');
        const first = await response.body?.getReader().read();
        expect(new TextDecoder().decode(first?.value)).toMatch(/^(event|id|data): /);
        stop.abort();
        return;
      }
      const text = await response.text();
      expect(response.status, text).toBe(status);
      const described = document.paths[`/v1${operation.path.replace('...}', '}')}`]?.[operation.method]?.responses[String(status)];
      const schema = described?.content?.['application/json']?.schema;
      if (schema === undefined) return expect(text).toBe('');
      const [, faults] = Schema.Errors(resolved(schema) as object, JSON.parse(text));
      expect(faults, text).toEqual([]);
    },
  );
});

it('shows people the same as a page without a script', async () => {
  const response = await web.call('GET', '/reference', { token: undefined });
  const page = await response.text();
  expect(response.headers.get('content-type')).toContain('text/html');
  expect(page).not.toContain('<script');
  for (const { id, summary } of operations) {
    expect(page).toContain(`id="${id}"`);
    expect(page).toContain(summary.replaceAll("'", '&#39;').replaceAll('"', '&quot;'));
  }
});
