// What the policy of a form allows (S3 API reference, "POST policy"): every condition must hold, and every field must have one.
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { S3Error } from '../s3-error.ts';

/** Fields by their lower-case names. */
export type FormFields = ReadonlyMap<string, string>;

const Scalar = Type.Union([Type.String(), Type.Number()]);
const Condition = Type.Union([Type.Record(Type.String(), Scalar), Type.Array(Scalar, { minItems: 3, maxItems: 3 })]);
const Policy = Compile(Type.Object({ expiration: Type.String(), conditions: Type.Array(Condition) }));
type Conditions = readonly (Readonly<Record<string, string | number>> | readonly (string | number)[])[];

/** Fields that need no condition. */
const FREE: readonly string[] = ['policy', 'x-amz-signature', 'file', 'awsaccesskeyid'];

/** The conditions, when all of them hold. Throws S3Error InvalidPolicyDocument, or AccessDenied naming what does not fit. */
export function checkPolicy(fields: FormFields, place: { bucket: string; now: number }): Conditions {
  const policy = readPolicy(fields.get('policy') ?? '');
  const expires = Date.parse(policy.expiration);
  if (Number.isNaN(expires)) throw new S3Error('InvalidPolicyDocument', "Invalid Policy: Invalid 'expiration' value.");
  if (place.now > expires) throw denied('Policy expired.');
  const named = new Set(FREE);
  for (const condition of policy.conditions) {
    const [how, name, value] = normal(condition);
    if (how === 'content-length-range') continue;
    named.add(name);
    const found = name === 'bucket' ? place.bucket : (fields.get(name) ?? '');
    const holds = how === 'eq' ? found === value : found.startsWith(value);
    if (!holds) throw denied(`Policy Condition failed: ["${how}", "$${name}", "${value}"]`);
  }
  for (const name of fields.keys()) {
    if (!named.has(name) && !name.startsWith('x-ignore-')) throw denied(`Extra input fields: ${name}`);
  }
  return policy.conditions;
}

/** Bytes that the file may have. */
export function sizesOf(conditions: Conditions): { least: number; most: number } {
  let least = 0;
  // 5 GiB: the largest body of one request
  let most = 5 * 1024 ** 3;
  for (const condition of conditions) {
    if (!Array.isArray(condition) || String(condition[0]).toLowerCase() !== 'content-length-range') continue;
    least = Math.max(least, Number(condition[1]));
    most = Math.min(most, Number(condition[2]));
  }
  return { least, most };
}

function readPolicy(base64: string): { expiration: string; conditions: Conditions } {
  let policy: unknown;
  try {
    policy = JSON.parse(Buffer.from(base64, 'base64').toString('utf8'));
  } catch {
    throw new S3Error('InvalidPolicyDocument', 'Invalid Policy: Invalid JSON.');
  }
  if (!Policy.Check(policy)) throw new S3Error('InvalidPolicyDocument', "Invalid Policy: expected 'expiration' and 'conditions'.");
  return policy;
}

/** `{"name": value}` and `["eq", "$name", value]` are the same. */
function normal(condition: Conditions[number]): [how: 'eq' | 'starts-with' | 'content-length-range', name: string, value: string] {
  if (!Array.isArray(condition)) {
    const entries = Object.entries(condition);
    const [entry] = entries;
    if (entry === undefined || entries.length !== 1)
      throw new S3Error(
        'InvalidPolicyDocument',
        'Invalid Policy: Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.',
      );
    return ['eq', entry[0].toLowerCase(), String(entry[1])];
  }
  const how = String(condition[0]).toLowerCase();
  if (how === 'content-length-range') return [how, '', ''];
  const name = String(condition[1]);
  if ((how !== 'eq' && how !== 'starts-with') || !name.startsWith('$'))
    throw new S3Error('InvalidPolicyDocument', `Invalid Policy: Invalid Condition: ${JSON.stringify(condition).slice(0, 100)}.`);
  return [how, name.slice(1).toLowerCase(), String(condition[2])];
}

function denied(why: string): S3Error {
  return new S3Error('AccessDenied', `Invalid according to Policy: ${why}`);
}
