// What IAM answers, as far as the policies of deploy/aws need it (IAM User Guide, "Policy evaluation logic"): a Deny wins, an Allow is needed.
import { parse, type ScalarTag } from 'yaml';

export interface Statement {
  Sid?: string;
  Effect: 'Allow' | 'Deny';
  Principal?: '*' | Record<string, string>;
  Action: string | string[];
  Resource?: string | string[];
  Condition?: Record<string, Record<string, string | string[]>>;
}
export interface Resource {
  Type: string;
  DeletionPolicy?: string;
  Properties: Record<string, unknown>;
}
export interface Template {
  Resources: Record<string, Resource>;
  Outputs: Record<string, { Description: string; Value: string }>;
}

/** One question to IAM: may `principal` do `action` on `resource`? `context` are the condition keys of the request. */
export interface Request {
  principal?: Record<string, string>;
  action: string;
  resource: string;
  context?: Record<string, string>;
}

export const ACCOUNT = '123456789012';
const REGION = 'us-east-1';

/** The template as CloudFormation would deploy it with these parameters: what it names by functions stands there as ARNs. */
export function readTemplate(text: string, parameters: Readonly<Record<string, string>>): Template {
  const tag = (name: string): ScalarTag => ({ tag: `!${name}`, resolve: (value) => ({ [name]: value }) });
  const list = (name: string) => ({ tag: `!${name}`, collection: 'seq' as const, resolve: (value: unknown) => value });
  const raw: unknown = parse(text, { customTags: [tag('Ref'), tag('GetAtt'), tag('Sub'), list('Not'), list('Equals'), list('If')] });
  if (!isRecord(raw) || !isRecord(raw['Resources'])) throw new Error('the template has no Resources');
  const resources = raw['Resources'];
  const nameOf = (id: string): string => {
    const resource = resources[id];
    if (!isRecord(resource) || !isRecord(resource['Properties'])) throw new Error(`the template has no resource ${id}`);
    const properties = resource['Properties'];
    const name = properties['QueueName'] ?? properties['BucketName'] ?? properties['UserName'] ?? properties['RoleName'];
    return String(resolved(name));
  };
  const arnOf = (id: string): string => {
    const resource = resources[id];
    const type = isRecord(resource) ? resource['Type'] : undefined;
    const name = nameOf(id);
    if (type === 'AWS::SQS::Queue') return `arn:aws:sqs:${REGION}:${ACCOUNT}:${name}`;
    if (type === 'AWS::S3::Bucket') return `arn:aws:s3:::${name}`;
    if (type === 'AWS::IAM::User') return `arn:aws:iam::${ACCOUNT}:user/${name}`;
    if (type === 'AWS::IAM::Role') return `arn:aws:iam::${ACCOUNT}:role/${name}`;
    throw new Error(`${id} is ${String(type)}, which has no ARN here`);
  };
  const ofReference = (name: string): string => {
    const pseudo = { 'AWS::Partition': 'aws', 'AWS::Region': REGION, 'AWS::AccountId': ACCOUNT }[name];
    if (pseudo !== undefined) return pseudo;
    const parameter = parameters[name];
    if (parameter !== undefined) return parameter;
    const [id = '', attribute] = name.split('.');
    return attribute === 'Arn' ? arnOf(id) : nameOf(id);
  };
  const resolved = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(resolved);
    if (!isRecord(value)) return value;
    const [[only = '', given] = []] = Object.entries(value);
    if ((only === 'Ref' || only === 'GetAtt') && typeof given === 'string') return ofReference(given);
    if (only === 'Sub' && typeof given === 'string') return given.replace(/\$\{([^}]+)\}/g, (_, name: string) => ofReference(name));
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, resolved(one)]));
  };
  return resolved({ Resources: resources, Outputs: raw['Outputs'] }) as Template;
}

/** Whether the statements of all policies that apply allow the request. */
export function allows(statements: readonly Statement[], request: Request): boolean {
  const matching = statements.filter((statement) => applies(statement, request));
  return matching.some(({ Effect }) => Effect === 'Allow') && matching.every(({ Effect }) => Effect !== 'Deny');
}

/** Whether one of the statements forbids the request. */
export function denies(statements: readonly Statement[], request: Request): boolean {
  return statements.some((statement) => statement.Effect === 'Deny' && applies(statement, request));
}

function applies(statement: Statement, { principal, action, resource, context = {} }: Request): boolean {
  const who = statement.Principal;
  if (who !== undefined && who !== '*' && !Object.entries(who).every(([kind, name]) => principal?.[kind] === name)) return false;
  if (!listed(statement.Action).some((pattern) => like(pattern, action))) return false;
  if (statement.Resource !== undefined && !listed(statement.Resource).some((pattern) => like(pattern, resource))) return false;
  return Object.entries(statement.Condition ?? {}).every(([operator, keys]) =>
    Object.entries(keys).every(([key, wanted]) => {
      const found = context[key];
      const test = OPERATORS[operator];
      if (test === undefined) throw new Error(`${statement.Sid}: the operator ${operator} is not known here`);
      return test(found, listed(wanted));
    }),
  );
}

const OPERATORS: Readonly<Record<string, (found: string | undefined, wanted: readonly string[]) => boolean>> = {
  ArnLike: (found, wanted) => found !== undefined && wanted.some((pattern) => like(pattern, found)),
  StringEquals: (found, wanted) => found !== undefined && wanted.includes(found),
  Bool: (found, wanted) => found !== undefined && wanted.includes(found),
  // a negated operator holds when the key is absent
  ArnNotEquals: (found, wanted) => found === undefined || !wanted.includes(found),
};

const listed = (value: string | readonly string[]): readonly string[] => (typeof value === 'string' ? [value] : value);
const like = (pattern: string, text: string): boolean =>
  new RegExp(
    `^${pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  ).test(text);
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
