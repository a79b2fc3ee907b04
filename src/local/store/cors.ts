// Which web pages may call a bucket (S3 user guide, "Using cross-origin resource sharing").
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import type { Answer } from './s3/context.ts';
import { S3Error } from './s3-error.ts';
import { parseXml } from './xml.ts';

const METHODS = ['GET', 'PUT', 'HEAD', 'POST', 'DELETE'] as const;
/** S3 takes no more rules. */
const MAX_RULES = 100;

const Texts = Type.Union([Type.String(), Type.Array(Type.String())]);
const Method = Type.Union(METHODS.map((method) => Type.Literal(method)));
const Rule = Type.Object(
  {
    ID: Type.Optional(Type.String()),
    AllowedOrigin: Texts,
    AllowedMethod: Type.Union([Method, Type.Array(Method)]),
    AllowedHeader: Type.Optional(Texts),
    ExposeHeader: Type.Optional(Texts),
    MaxAgeSeconds: Type.Optional(Type.String({ pattern: '^\\d{1,9}$' })),
  },
  { additionalProperties: false },
);
const document = Compile(Type.Object({ CORSConfiguration: Type.Object({ CORSRule: Type.Union([Rule, Type.Array(Rule)]) }) }));

interface CorsRule {
  readonly origins: readonly string[];
  readonly methods: readonly string[];
  readonly headers: readonly string[];
  readonly exposed: readonly string[];
  readonly maxAge: string | undefined;
}

/** The rules of a bucket's CORS document, in their order; undefined where it is none. */
export function readCorsRules(text: string): readonly CorsRule[] | undefined {
  const parsed = parseXml(text.replace(/>\s+</g, '><').trim());
  if (!document.Check(parsed)) return undefined;
  const rules = listOf(parsed.CORSConfiguration.CORSRule);
  if (rules.length > MAX_RULES) return undefined;
  return rules.map((rule) => ({
    origins: listOf(rule.AllowedOrigin),
    methods: listOf(rule.AllowedMethod),
    headers: listOf(rule.AllowedHeader ?? []),
    exposed: listOf(rule.ExposeHeader ?? []),
    maxAge: rule.MaxAgeSeconds,
  }));
}

/** Answers a browser that asks whether it may send. Throws S3Error AccessForbidden when no rule lets it. */
export function preflight(rules: readonly CorsRule[] | undefined, headers: Readonly<Record<string, string>>): Answer {
  const { origin, 'access-control-request-method': method, 'access-control-request-headers': wanted = '' } = headers;
  if (origin === undefined || method === undefined)
    throw new S3Error('BadRequest', 'Insufficient information. Origin and Access-Control-Request-Method request headers needed.');
  if (rules === undefined) throw new S3Error('AccessForbidden', 'CORSResponse: CORS is not enabled for this bucket.');
  const names = wanted.split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim().toLowerCase()]));
  const rule = rules.find(
    (one) =>
      one.methods.includes(method) &&
      one.origins.some((pattern) => fits(pattern, origin)) &&
      names.every((name) => one.headers.some((pattern) => fits(pattern.toLowerCase(), name))),
  );
  if (rule === undefined)
    throw new S3Error(
      'AccessForbidden',
      'CORSResponse: This CORS request is not allowed. This is usually because the evaluation of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource’s CORS spec.',
    );
  return {
    status: 200,
    headers: {
      ...answerHeaders(rule, origin),
      ...(names.length === 0 ? {} : { 'access-control-allow-headers': names.join(', ') }),
      ...(rule.maxAge === undefined ? {} : { 'access-control-max-age': rule.maxAge }),
    },
  };
}

/** The answer to a page, refusals included: it may read it where a rule says so. */
export function readableByPage(
  rules: readonly CorsRule[] | undefined,
  request: { readonly method: string; readonly headers: Readonly<Record<string, string>> },
  answer: Answer,
): Answer {
  const { origin } = request.headers;
  if (origin === undefined || rules === undefined || request.method === 'OPTIONS') return answer;
  const rule = rules.find((one) => one.methods.includes(request.method) && one.origins.some((pattern) => fits(pattern, origin)));
  return rule === undefined ? answer : { ...answer, headers: { ...answer.headers, ...answerHeaders(rule, origin) } };
}

function answerHeaders(rule: CorsRule, origin: string): Record<string, string> {
  const everybody = rule.origins.find((pattern) => fits(pattern, origin)) === '*';
  return {
    'access-control-allow-origin': everybody ? '*' : origin,
    ...(everybody ? {} : { 'access-control-allow-credentials': 'true' }),
    'access-control-allow-methods': rule.methods.join(', '),
    ...(rule.exposed.length === 0 ? {} : { 'access-control-expose-headers': rule.exposed.join(', ') }),
    vary: 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method',
  };
}

/** A pattern has one `*` at most, which stands for anything. */
function fits(pattern: string, text: string): boolean {
  const at = pattern.indexOf('*');
  if (at < 0) return pattern === text;
  const [head, tail] = [pattern.slice(0, at), pattern.slice(at + 1)];
  return text.length >= head.length + tail.length && text.startsWith(head) && text.endsWith(tail);
}

function listOf<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? value : [value as T];
}
