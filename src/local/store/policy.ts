import Type from 'typebox';
import { Compile } from 'typebox/compile';

/** What a session may do: a pure question, answered from the policy it was made with. */
export type Policy = {
  /** Whether `action` (`s3:GetObject`) is allowed on `resource` (`arn:aws:s3:::bucket/key`); a Deny wins over any Allow. */
  allows(action: string, resource: string): boolean;
};

/** The policy document cannot be used; the message says where and why. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
}

const OneOrMore = Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })]);
const Statement = Type.Object(
  {
    Sid: Type.Optional(Type.String()),
    Effect: Type.Union([Type.Literal('Allow'), Type.Literal('Deny')]),
    Action: OneOrMore,
    Resource: OneOrMore,
  },
  // A member that we would not obey (Condition, NotAction, Principal …) must not be accepted in silence.
  { additionalProperties: false },
);
const Document = Type.Object(
  {
    Version: Type.Optional(Type.Union([Type.Literal('2012-10-17'), Type.Literal('2008-10-17')])),
    Id: Type.Optional(Type.String()),
    Statement: Type.Union([Statement, Type.Array(Statement, { minItems: 1 })]),
  },
  { additionalProperties: false },
);
const document = Compile(Document);

/** AWS' limit for an inline session policy, in characters (STS API reference, `Policy`). */
const MAX_POLICY_CHARACTERS = 2048;

/**
 * Reads a session policy: statements with Effect, Action and Resource, `*` and `?` as wild cards.
 * Throws PolicyError for anything else, a Condition for example, so that no restriction is ever overlooked.
 */
export function parsePolicy(text: string): Policy {
  if (text.length > MAX_POLICY_CHARACTERS) {
    throw new PolicyError(`the policy has ${text.length} characters, expected at most ${MAX_POLICY_CHARACTERS}`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new PolicyError('the policy is not JSON', { cause });
  }
  if (!document.Check(parsed)) {
    const fault = document.Errors(parsed)[0];
    throw new PolicyError(
      `the policy is not one this store can enforce: ${fault?.instancePath || '/'} ${fault?.message ?? 'is wrong'}; expected statements of Effect, Action and Resource only`,
    );
  }
  const statements = (Array.isArray(parsed.Statement) ? parsed.Statement : [parsed.Statement]).map((statement) => ({
    allow: statement.Effect === 'Allow',
    actions: list(statement.Action).map((pattern) => wildcard(pattern, 'i')),
    resources: list(statement.Resource).map((pattern) => wildcard(pattern, '')),
  }));
  return {
    allows(action, resource) {
      let allowed = false;
      for (const { allow, actions, resources } of statements) {
        if (!actions.some((pattern) => pattern.test(action)) || !resources.some((pattern) => pattern.test(resource))) continue;
        if (!allow) return false;
        allowed = true;
      }
      return allowed;
    },
  };
}

function list(value: string | string[]): string[] {
  return typeof value === 'string' ? [value] : value;
}

function wildcard(pattern: string, flags: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '[^]*')
    .replaceAll('?', '[^]');
  return new RegExp(`^${source}$`, flags);
}
