// The OpenAPI 3.1 document of the REST API, made of the entries of its routes. TypeBox schemas are JSON Schema 2020-12, the
// dialect of OpenAPI 3.1, so they stand in it as they are.
import Type, { type TObject, type TSchema } from 'typebox';
import { FileHistory, FileList, ResourceView, TaskDetails, TaskLog, UploadForm, Validation } from '../schema/api-views.ts';
import { AuditEntry } from '../schema/audit-entry.ts';
import { allFailureCodes, type FailureCode, failureKind } from '../schema/failures.ts';
import { BackfillPage, LedgerAudit, LedgerView } from '../schema/ledger-view.ts';
import { HistoryEntry, RunPage, RunSummary, RunView, StepView, TaskView } from '../schema/run-view.ts';
import { TokenView } from '../schema/token-view.ts';
import type { ApiOperation, ApiRoute } from './api-route.ts';

/** As problem.ts writes it (RFC 9457). */
const ProblemDetails = Type.Object(
  {
    type: Type.String({ description: '`urn:autofiles:<code>`' }),
    title: Type.Union(
      allFailureCodes().map((code) => Type.Literal(code)),
      { description: 'Code of the failure, from one closed table' },
    ),
    status: Type.Integer({ description: 'HTTP status' }),
    detail: Type.String({ description: 'Where, what was found, what was expected, how to fix it' }),
    retry: Type.Boolean({ description: 'Whether the same call may succeed later without anybody changing anything' }),
  },
  { description: 'What went wrong' },
);

/** Schemas that have a name in the document. */
const NAMED: Readonly<Record<string, TSchema>> = {
  Problem: ProblemDetails,
  RunPage,
  RunSummary,
  RunView,
  StepView,
  TaskView,
  HistoryEntry,
  TaskDetails,
  TaskLog,
  FileList,
  FileHistory,
  UploadForm,
  Validation,
  ResourceView,
  LedgerView,
  LedgerAudit,
  BackfillPage,
  TokenView,
  AuditEntry,
};

/** What every route may answer. */
const ALWAYS: readonly FailureCode[] = [
  'request_invalid',
  'request_too_large',
  'unauthorized',
  'forbidden',
  'rate_limited',
  'redis_unavailable',
  'internal',
];

/** Headers of a 429, and of a 503 while Redis is away (RFC 9110, 10.2.3). */
const RETRY_AFTER = { 'Retry-After': { schema: { type: 'integer', minimum: 1 }, description: 'Seconds until a call is taken again' } };

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** The document; a JSON value. */
export function openApiDocument(routes: readonly ApiRoute[]): Readonly<Record<string, Json>> {
  const paths: Record<string, Record<string, Json>> = {};
  for (const { operation } of routes) {
    const path = `/v1${operation.path.replace('...}', '}')}`;
    paths[path] = { ...paths[path], [operation.method]: operationObject(operation) };
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Autofiles',
      version: '1',
      description:
        'Save a file; a workflow of one-off dynos runs. Every call belongs to one resource: that of its token. Errors are problem+json with codes from one closed table.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ token: [] }],
    tags: ['Runs', 'Tasks', 'Files', 'Workflows', 'Resource', 'Ledger', 'Credentials', 'Tokens', 'Webhooks', 'Audit']
      .filter((name) => routes.some(({ operation }) => operation.tag === name))
      .map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'A token made in the dashboard; locally AUTOFILES_TOKEN of .autofiles/env' },
      },
      schemas: Object.fromEntries(Object.entries(NAMED).map(([name, schema]) => [name, plain(schema, schema)])),
    },
  };
}

function operationObject(operation: ApiOperation): Json {
  const { id, tag, summary, description, status = 200, reply, media, body, examples } = operation;
  const content =
    media !== undefined
      ? { [media]: { schema: { type: 'string' } } }
      : reply === undefined
        ? undefined
        : { 'application/json': { schema: plain(reply) } };
  const bodies = examples.filter((example) => example.body !== undefined);
  const reads = operation.method === 'get' && media === undefined;
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(operation.method === 'get' || operation.retrieves ? {} : { 'x-scope': 'write' }),
    parameters: parametersOf(operation),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: {
              'application/json': {
                schema: plain(body),
                examples: Object.fromEntries(
                  bodies.map((example, n) => [`example${n + 1}`, { summary: example.summary, value: asJson(example.body) }]),
                ),
              },
            },
          },
        }),
    responses: {
      [String(status)]: {
        description: status === 204 ? 'Done' : summary,
        ...(content === undefined ? {} : { content }),
        ...(reads ? { headers: { ETag: { schema: { type: 'string' }, description: 'Send it as If-None-Match' } } } : {}),
      },
      ...(reads ? { '304': { description: 'Nothing has changed since the answer with this ETag' } } : {}),
      ...problems([...ALWAYS, ...(operation.failures ?? [])]),
    },
  };
}

function parametersOf({ path, params = {}, query, examples, body }: ApiOperation): readonly Json[] {
  const inPath = [...path.matchAll(/\{(\w+)(?:\.\.\.)?\}/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
    description: params[name] ?? name,
    ...exampleOf(examples.map((example) => example.path?.[name])),
  }));
  const inQuery = Object.entries(query?.properties ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: isRequired(query, name),
    schema: plain(schema),
    ...('items' in schema ? { style: 'form', explode: false } : {}),
    ...('description' in schema && typeof schema.description === 'string' ? { description: schema.description } : {}),
  }));
  const repeats = body !== undefined && /retry|bulk/.test(path);
  const key = {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    schema: { type: 'string' },
    description: 'The same key names the same effect',
  };
  return [...inPath, ...inQuery, ...(repeats ? [key] : [])];
}

function exampleOf(values: readonly (string | undefined)[]): { example?: string } {
  const value = values.find((one) => one !== undefined);
  return value === undefined ? {} : { example: value };
}

function isRequired(schema: TObject | undefined, name: string): boolean {
  // TypeBox leaves the member out when nothing is required
  const required: unknown = schema !== undefined && 'required' in schema ? schema.required : [];
  return Array.isArray(required) && required.includes(name);
}

/** One response per status, which names the failures that lead to it. */
function problems(codes: readonly FailureCode[]): Record<string, Json> {
  const byStatus = new Map<number, FailureCode[]>();
  for (const code of new Set(codes)) {
    const { status } = failureKind(code);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, all]) => [
      String(status),
      {
        description: all.map((code) => `\`${code}\`: ${failureKind(code).message}`).join('\n\n'),
        ...(all.some((code) => code === 'rate_limited' || code === 'redis_unavailable') ? { headers: RETRY_AFTER } : {}),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  );
}

/** A schema as JSON, with references in place of what has a name; `itself` is the one that is being named. */
function plain(schema: unknown, itself?: TSchema): Json {
  if (Array.isArray(schema)) return schema.map((one) => plain(one));
  if (typeof schema !== 'object' || schema === null) return asJson(schema);
  if (schema !== itself) {
    const name = Object.keys(NAMED).find((one) => NAMED[one] === schema);
    if (name !== undefined) return { $ref: `#/components/schemas/${name}` };
  }
  return Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, plain(value)]));
}

/** What JSON makes of a value. */
function asJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value) ?? 'null') as Json;
}
